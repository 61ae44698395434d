from .harness import Harness


class Gemini(Harness):
    name = "gemini"
    is_pushed = False

    def install(self, tools):
        return tools.npm("@google/gemini-cli@0.61.0") / ".bin/gemini"

    def configure(self):
        self.computer.merge(".gemini/settings.json", {"security": {"auth": {"selectedType": "gemini-api-key"}}})

    def env(self):
        return {"GEMINI_API_KEY": "stub", "GOOGLE_GEMINI_BASE_URL": self.model.url,
                "GEMINI_CLI_TRUST_WORKSPACE": "true"}

    def headless(self, prompt):
        return [self.program, "-m", "gemini-2.5-pro", "-p", prompt, "--yolo"]
