from .harness import Harness


class Pi(Harness):
    name = "pi"

    def install(self, tools):
        return tools.npm("@mariozechner/pi-coding-agent@0.73.1") / ".bin/pi"

    def configure(self):
        model = {"id": "stub", "name": "stub", "reasoning": False, "input": ["text"], "contextWindow": 100000,
                 "maxTokens": 1000, "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}}
        provider = {"baseUrl": f"{self.model.url}/v1", "apiKey": "stub", "api": "openai-completions",
                    "models": [model]}
        self.computer.write(".pi/agent/models.json", {"providers": {"stub": provider}})

    def env(self):
        return {"PI_OFFLINE": "1"}

    def headless(self, prompt):
        return [self.program, "--provider", "stub", "--model", "stub", "-p", prompt]

    def interactive(self):
        return [self.program, "--provider", "stub", "--model", "stub"]
