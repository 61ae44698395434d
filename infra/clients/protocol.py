"""The MCP servers, `meshwire mcp` and `/mcp`, against the official inspector, conformance suite and SDKs."""

import json
import os
import pathlib
import re
import shutil

from proxy import Proxy

TOOLS = [f"meshwire_{it}" for it in ["get_messages", "list_agents", "reply_to_message", "send_message", "status"]]

# What the suite has for a server that has tools only. The rest wants tools that are fixtures of its own.
SCENARIOS = ["server-initialize", "ping", "tools-list", "dns-rebinding-protection"]
NEW_SCENARIOS = ["tools-list", "http-header-validation", "dns-rebinding-protection", "server-stateless"]
NEWEST_REVISION = "2026-07-28"
# What `server-stateless` tries with fixtures of its own: tools that need a capability of the client, stream or log.
NEEDS_FIXTURES = {
    "sep-2575-server-rejects-undeclared-capability", "sep-2575-missing-capability-http-400",
    "sep-2575-http-server-no-independent-requests-on-stream", "sep-2575-server-no-log-without-loglevel"}


def url_of(place, agent):
    """Where a hosted agent finds its tools."""
    return f"{place.url}/mcp?mesh={place.mesh}&agent={agent}"


def computer_of(place, agent):
    """A computer with a folder in which this agent runs `meshwire mcp`."""
    computer = place.computer(agent)
    computer.meshwire("init", "--harness", "generic", "--mesh", place.mesh, "--agent", agent)
    return computer


def inspect(place, agent, server):
    """Lists the tools, with strict schemas, and calls the one that sends and one with a mistake."""
    computer = computer_of(place, agent)
    inspector = place.tools.npm("@modelcontextprotocol/inspector@2.12.0") / ".bin/mcp-inspector"

    def ask(*arguments):
        said = computer.run([inspector, "--cli", *server, *arguments])
        start = said.find("{")
        assert start >= 0, said
        # It may say something more behind the answer.
        return json.JSONDecoder().raw_decode(said, start)[0]
    tools = ask("--method", "tools/list", "--strict")["tools"]
    assert sorted(tool["name"] for tool in tools) == TOOLS, tools
    send = ["--method", "tools/call", "--tool-name", "meshwire_send_message"]
    sent = ask(*send, "--tool-arg", "content=hello from the inspector", "--tool-arg", "to=receiver")
    assert not sent.get("isError"), sent
    assert place.received("hello from the inspector", agent), "nothing was received"
    refused = ask(*send, "--tool-arg", "content=hello", "--tool-arg", "to=nobody")
    assert refused["isError"], refused


def inspect_stdio(place):
    inspect(place, "inspector-stdio", [place.programs / "meshwire", "mcp"])


def inspect_http(place):
    header = f"Authorization: Bearer {place.account.token}"
    agent = "inspector-http"
    inspect(place, agent, [url_of(place, agent), "--transport", "http", "--header", header])


def conform(place, version, scenario, *more):
    suite = place.tools.npm(f"@modelcontextprotocol/conformance@{version}") / ".bin/conformance"
    computer = computer_of(place, f"conformance-{version}-{scenario}")
    proxy = Proxy(url_of(place, "conformance"), place.account.token)
    try:
        said = computer.run([suite, "server", "--url", proxy.url, "--scenario", scenario, *more], NO_COLOR="1")
        # One line for each check: its name in brackets, and what became of it.
        failed = re.findall(r"\[([\w-]+) *\] (?:\x1b\[\d+m)?FAILURE", said)
        summary = re.search(r"Passed: ([1-9]\d*)/\d+, (\d+) failed", said)
        assert summary and int(summary[2]) == len(failed) and NEEDS_FIXTURES.issuperset(failed), said
        return f"{summary[1]} passed" + (f", {len(failed)} need fixtures" if failed else "")
    finally:
        proxy.close()


def conversation(place, agents, command, **env):
    """Two sessions of an SDK, one on stdio and one on HTTP: one sends, the other one answers."""
    computer = computer_of(place, agents[0])
    settings = {"program": str(place.programs / "meshwire"), "url": url_of(place, agents[1]),
                "token": place.account.token, "agents": agents, "tools": TOOLS}
    computer.write("project/conversation.json", settings)
    computer.run(command(computer), succeeds=True, **env)
    history = place.api("GET", "/messages?limit=100")["messages"]
    said = [(it["from"], it["content"]) for it in reversed(history) if it["from"] in agents]
    assert said == [(agents[0], "What is six by seven?"), (agents[1], "Forty-two.")], said


HERE = pathlib.Path(__file__).resolve().parent / "sdk"


def python_sdk(place):
    python = place.tools.pypi("mcp==2.3.0") / "python"
    conversation(place, ["python-a", "python-b"], lambda _: [python, HERE / "conversation.py"])


def typescript_sdk(place):
    modules = place.tools.npm("@modelcontextprotocol/client@2.3.1")

    def command(computer):
        # Node looks for packages beside the script.
        script = computer.home / "sdk/conversation.mjs"
        script.parent.mkdir()
        shutil.copy(HERE / script.name, script)
        os.symlink(modules, script.parent / "node_modules")
        return ["node", script]
    conversation(place, ["typescript-a", "typescript-b"], command)


def scenarios():
    for version, names, more in [("0.1.16", SCENARIOS, []),
                                 ("0.2.0-alpha.12", NEW_SCENARIOS, ["--spec-version", NEWEST_REVISION])]:
        for name in names:
            yield f"{name} of {version}", lambda place, version=version, name=name, more=more: conform(
                place, version, name, *more)


CHECKS = {
    "inspector": [("strict schemas and calls on stdio", inspect_stdio), ("strict schemas and calls on /mcp", inspect_http)],
    "conformance": list(scenarios()),
    "sdk": [("conversation in Python", python_sdk), ("conversation in TypeScript", typescript_sdk)],
}
