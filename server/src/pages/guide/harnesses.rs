//! What the setup guide says of each harness. What `init` writes is decided in `cli/src/harness/`; when that changes,
//! these texts do.

use meshwire_protocol::Harness;

/// A harness in the guide.
pub(crate) struct Tab {
    /// As `init --harness` takes it; also its anchor.
    pub name: &'static str,
    /// As people call it.
    pub title: &'static str,
    /// What `init` writes.
    pub writes: &'static str,
    /// How messages reach the agent.
    pub receives: &'static str,
    /// What is left to do.
    pub then: &'static str,
}

/// All of them; the first one is shown first.
const ORDER: [Harness; 13] = [
    Harness::Claude,
    Harness::Copilot,
    Harness::Codex,
    Harness::Gemini,
    Harness::Cursor,
    Harness::Vscode,
    Harness::Windsurf,
    Harness::Kiro,
    Harness::Opencode,
    Harness::Hermes,
    Harness::Pi,
    Harness::ClaudeDesktop,
    Harness::Generic,
];

/// The tabs of the guide.
pub(crate) fn tabs() -> [Tab; ORDER.len()] {
    ORDER.map(tab)
}

#[expect(clippy::too_many_lines, reason = "a table of texts")]
fn tab(harness: Harness) -> Tab {
    match harness {
        Harness::Claude => Tab {
            name: "claude",
            title: "Claude Code",
            writes: "A plugin of its own in `~/.claude/skills/meshwire`, with the tools, a monitor and hooks. Claude \
                     Code loads it by itself; nothing of yours is changed.",
            receives: "Pushed into the running session at once, also while it is idle. Where no monitor runs, as \
                       under `claude -p`, hooks show messages at the borders of a turn.",
            then: "Restart Claude Code in this folder. `claude mcp list` then shows `plugin:meshwire:meshwire`.",
        },
        Harness::Copilot => Tab {
            name: "copilot",
            title: "Copilot CLI",
            writes: "An extension in `~/.copilot/extensions/meshwire`, an entry in `mcp-config.json`, and \
                     `\"experimental\": true` in `settings.json`: Copilot CLI loads extensions only with that, and \
                     it turns on its other experimental features, too.",
            receives: "Pushed into the session at once, also while it is idle.",
            then: "Restart Copilot CLI in this folder.",
        },
        Harness::Codex => Tab {
            name: "codex",
            title: "Codex",
            writes: "An MCP server in `~/.codex/config.toml`, and hooks in `hooks.json` beside it.",
            receives: "Pushed into the session at once, also while it is idle, and at the borders of a turn.",
            then: "Start Codex in this folder and trust the folder. Then trust the hooks when Codex asks, or with \
                   `/hooks`: it runs none before that.",
        },
        Harness::Gemini => Tab {
            name: "gemini",
            title: "Gemini CLI",
            writes: "An MCP server and hooks in `~/.gemini/settings.json`.",
            receives: "At the borders of a turn. Gemini CLI has no way to wake an idle session.",
            then: "Start Gemini CLI in this folder and trust the folder: elsewhere it starts neither servers nor \
                   hooks.",
        },
        Harness::Cursor => Tab {
            name: "cursor",
            title: "Cursor",
            writes: "An MCP server in `~/.cursor/mcp.json`, and a hook in `hooks.json` beside it.",
            receives: "At the end of a turn: Cursor then goes on with what has come meanwhile, up to ten times in a \
                       row.",
            then: "Restart Cursor and open this folder. Switch `meshwire` on under Settings, MCP when it is off.",
        },
        Harness::Vscode => Tab {
            name: "vscode",
            title: "VS Code",
            writes: "An MCP server in `.vscode/mcp.json` of this folder. It names the path of `meshwire` on this \
                     computer, so teammates run the same command rather than take the file from you.",
            receives: "When the model calls the tool that reads messages. Ask it to look, or tell it to do so now \
                       and then.",
            then: "Open `.vscode/mcp.json` in VS Code, press Start above `meshwire`, and trust it.",
        },
        Harness::Windsurf => Tab {
            name: "windsurf",
            title: "Windsurf",
            writes: "An MCP server in `~/.codeium/windsurf/mcp_config.json`. Windsurf does not start servers in the \
                     project, so the entry names this mesh and this agent.",
            receives: "When the model calls the tool that reads messages.",
            then: "Restart Windsurf, or press the refresh button of its MCP servers.",
        },
        Harness::Kiro => Tab {
            name: "kiro",
            title: "Kiro",
            writes: "An MCP server in `~/.kiro/settings/mcp.json`, and an agent named `meshwire` in \
                     `~/.kiro/agents`, since hooks belong to an agent there.",
            receives: "At the start of a turn, with that agent. Other agents have the tools only.",
            then: "Start Kiro CLI in this folder with `kiro-cli chat --agent meshwire`.",
        },
        Harness::Opencode => Tab {
            name: "opencode",
            title: "opencode",
            writes: "An MCP server in the configuration below `~/.config/opencode`, and a plugin in `plugins` \
                     there.",
            receives: "Pushed into the session at once, also while it is idle.",
            then: "Restart opencode in this folder. The first start with a plugin takes longer, since opencode \
                   downloads what plugins need.",
        },
        Harness::Hermes => Tab {
            name: "hermes",
            title: "Hermes",
            writes: "An MCP server in `~/.hermes/config.yaml`, a plugin and a skill. In the project: \
                     `.env.meshwire` with a token of the agent's own, which `.gitignore` keeps out of git, and \
                     `MESHWIRE_SKILL.md`.",
            receives: "Pushed into the session at once, also while it is idle.",
            then: "Restart Hermes in this folder; `hermes mcp test meshwire` tries the connection. It needs \
                   `pip install 'hermes-agent[mcp]'`.",
        },
        Harness::Pi => Tab {
            name: "pi",
            title: "Pi",
            writes: "An extension and a skill below `~/.pi/agent`, since Pi takes no MCP. In the project: \
                     `.env.meshwire` with a token of the agent's own, which `.gitignore` keeps out of git, and \
                     `MESHWIRE_SKILL.md`.",
            receives: "Pushed into the session at once, also while it is idle.",
            then: "Restart Pi in this folder.",
        },
        Harness::ClaudeDesktop => Tab {
            name: "claude-desktop",
            title: "Claude Desktop",
            writes: "An entry in `claude_desktop_config.json`. Claude Desktop does not start servers in the \
                     project, so the entry names this mesh and this agent.",
            receives: "When the model calls the tool that reads messages.",
            then: "Quit Claude Desktop altogether, and start it again.",
        },
        Harness::Generic => Tab {
            name: "generic",
            title: "Anything else",
            writes: "Only `.mesh.json`. It prints what your agent's process needs, and how it sends and receives.",
            receives: "As you like: `meshwire listen --exec COMMAND` runs a command for each message, \
                       `meshwire inbox` looks now and then, `meshwire mcp` offers the tools to a model, and the \
                       HTTP API does all of it without our program.",
            then: "Where nobody is signed in, give the process a token of its own, as `init` says.",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_init_takes() {
        for harness in ORDER {
            let name = serde_json::to_value(harness).unwrap();
            assert_eq!(tab(harness).name, name);
        }
    }
}
