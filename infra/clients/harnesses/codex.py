from .harness import Harness


class Codex(Harness):
    name = "codex"

    def install(self, tools):
        return tools.npm("@openai/codex@0.169.0") / ".bin/codex"

    def configure(self):
        config = self.computer.home / ".codex/config.toml"
        head = 'model = "stub"\nmodel_provider = "stub"\n'
        tail = (f'\n[model_providers.stub]\nname = "stub"\nbase_url = "{self.model.url}/v1"\nwire_api = "responses"\n'
                f'[projects."{self.computer.project}"]\ntrust_level = "trusted"\n')
        self.computer.write(".codex/config.toml", head + config.read_text() + tail)

    def env(self):
        # Its push starts `codex`, which a user has on the path.
        return {"PATH": f"{self.program.parent}:{self.computer.env()['PATH']}"}

    def headless(self, prompt):
        return [self.program, "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", prompt]

    def interactive(self):
        # The user trusts the hooks once; here nobody is asked.
        return [self.program, "--dangerously-bypass-approvals-and-sandbox", "--dangerously-bypass-hook-trust"]
