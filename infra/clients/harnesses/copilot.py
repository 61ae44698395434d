from .harness import Harness


class Copilot(Harness):
    name = "copilot"

    def install(self, tools):
        return tools.npm("@github/copilot@1.0.102") / ".bin/copilot"

    def configure(self):
        self.computer.merge(".copilot/config.json", {"trusted_folders": [str(self.computer.project)]})

    def env(self):
        return {"COPILOT_OFFLINE": "true", "COPILOT_PROVIDER_BASE_URL": f"{self.model.url}/v1",
                "COPILOT_MODEL": "stub"}

    def headless(self, prompt):
        return [self.program, "-p", prompt, "--allow-all-tools"]

    def interactive(self):
        return [self.program, "--allow-all-tools"]
