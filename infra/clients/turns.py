"""A headless turn of each real client after `meshwire init`, offline: the model sees the five tools, calls the one that
sends, and another agent receives the message.
"""

from stand_in_model import CONTENT, Model

TOOLS = ["send_message", "reply_to_message", "get_messages", "list_agents", "status"]


def claude(computer, model, bin):
    env = {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "stub", "DISABLE_AUTOUPDATER": "1",
           "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    allowed = "mcp__meshwire__*,mcp__plugin_meshwire_meshwire__*"
    return computer.run([bin / "claude", "-p", "say hello to the receiver", "--allowedTools", allowed], **env)


def gemini(computer, model, bin):
    computer.merge(".gemini/settings.json", {"security": {"auth": {"selectedType": "gemini-api-key"}}})
    env = {"GEMINI_API_KEY": "stub", "GOOGLE_GEMINI_BASE_URL": model.url, "GEMINI_CLI_TRUST_WORKSPACE": "true"}
    return computer.run([bin / "gemini", "-m", "gemini-2.5-pro", "-p", "say hello to the receiver", "--yolo"], **env)


def codex(computer, model, bin):
    config = computer.home / ".codex/config.toml"
    text = config.read_text() if config.exists() else ""
    head = f'model = "stub"\nmodel_provider = "stub"\n'
    tail = (f'\n[model_providers.stub]\nname = "stub"\nbase_url = "{model.url}/v1"\nwire_api = "responses"\n'
            f'[projects."{computer.project}"]\ntrust_level = "trusted"\n')
    computer.write(".codex/config.toml", head + text + tail)
    command = [bin / "codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox",
               "say hello to the receiver"]
    return computer.run(command)


def opencode(computer, model, bin):
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "stub", "models": {"stub": {"name": "stub"}},
                "options": {"baseURL": f"{model.url}/v1", "apiKey": "stub"}}
    computer.write("project/opencode.json", {"provider": {"stub": provider}, "model": "stub/stub",
                                            "permission": "allow", "autoupdate": False})
    return computer.run([bin / "opencode", "run", "-m", "stub/stub", "say hello to the receiver"])


def copilot(computer, model, bin):
    env = {"COPILOT_OFFLINE": "true", "COPILOT_PROVIDER_BASE_URL": f"{model.url}/v1", "COPILOT_MODEL": "stub"}
    return computer.run([bin / "copilot", "-p", "say hello to the receiver", "--allow-all-tools"], **env)


CLIENTS = {"claude": claude, "gemini": gemini, "codex": codex, "opencode": opencode, "copilot": copilot}


def turn(place, name, bin):
    """Fails when anything is not as it should be."""
    computer, model = place.computer(name), Model()
    try:
        computer.init(name)
        said = CLIENTS[name](computer, model, bin)
        seen = [tool for tool in TOOLS if any(it.endswith(tool) for it in model.seen_tools)]
        assert seen == TOOLS, f"the model has seen {sorted(model.seen_tools)}; {name} said:\n{said[-3000:]}"
        assert place.received(CONTENT, f"{name}-agent"), f"nothing was received; {name} said:\n{said[-3000:]}"
    finally:
        model.close()
