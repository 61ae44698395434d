from .harness import Harness


class Claude(Harness):
    name = "claude"

    def install(self, tools):
        return tools.npm("@anthropic-ai/claude-code@2.1.332") / ".bin/claude"

    def configure(self):
        # The first start asks about the looks, the key and the folder.
        project = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
        self.computer.merge(".claude.json", {
            "hasCompletedOnboarding": True, "theme": "dark", "projects": {str(self.computer.project): project},
            "customApiKeyResponses": {"approved": ["stub"], "rejected": []}})

    def env(self):
        return {"ANTHROPIC_BASE_URL": self.model.url, "ANTHROPIC_API_KEY": "stub", "DISABLE_AUTOUPDATER": "1",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}

    def headless(self, prompt):
        allowed = "mcp__meshwire__*,mcp__plugin_meshwire_meshwire__*"
        return [self.program, "-p", prompt, "--allowedTools", allowed]

    def settle(self, session):
        # It has started the monitor of our plugin.
        session.shows("1 monitor")

    def rest(self, session):
        session.loses("esc to interrupt")
