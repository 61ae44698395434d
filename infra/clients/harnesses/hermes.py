from .harness import Harness


class Hermes(Harness):
    name = "hermes"

    def install(self, tools):
        return tools.pypi("hermes-agent[mcp]==0.19.0") / "hermes"

    def configure(self):
        config = self.computer.home / ".hermes/config.yaml"
        model = (f'model:\n  default: stub\n  provider: custom\n  base_url: "{self.model.url}/v1"\n  api_key: stub\n')
        self.computer.write(".hermes/config.yaml", config.read_text() + model)

    def headless(self, prompt):
        return [self.program, "-z", prompt]

    def settle(self, session):
        session.shows("5 tool(s)")
