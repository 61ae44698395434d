from .harness import Harness


class OpenCode(Harness):
    name = "opencode"

    def install(self, tools):
        return tools.npm("opencode-ai@1.18.33") / ".bin/opencode"

    def configure(self):
        provider = {"npm": "@ai-sdk/openai-compatible", "name": "stub", "models": {"stub": {"name": "stub"}},
                    "options": {"baseURL": f"{self.model.url}/v1", "apiKey": "stub"}}
        self.computer.write("project/opencode.json", {
            "provider": {"stub": provider}, "model": "stub/stub", "permission": "allow", "autoupdate": False})

    def headless(self, prompt):
        return [self.program, "run", "-m", "stub/stub", prompt]

    def interactive(self):
        return [self.program, "-m", "stub/stub"]

    def settle(self, session):
        session.shows("1 MCP /status")
