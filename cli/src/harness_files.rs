//! The files that harnesses load to reach us: extensions, plugins, hooks and skills. Their sources stand in
//! `cli/harness/`; here the path of this program is put into them.
//!
//! They are thin on purpose. Settings, sign-in, retries and what is unread are this program's alone.

use meshwire_protocol::Harness;

use crate::mesh_file::harness_name;

const PROGRAM_JS: &str = include_str!("../harness/program.js");
const COPILOT_JS: &str = include_str!("../harness/copilot.js");
const COPILOT_START_JS: &str = include_str!("../harness/copilot-start.js");
const OPENCODE_JS: &str = include_str!("../harness/opencode.js");
const PI_JS: &str = include_str!("../harness/pi.js");
const HERMES_PLUGIN: &str = include_str!("../harness/hermes/plugin.yaml");
const HERMES_PY: &str = include_str!("../harness/hermes/__init__.py");
const CLAUDE_PLUGIN: &str = include_str!("../harness/claude/plugin.json");
const CLAUDE_MCP: &str = include_str!("../harness/claude/mcp.json");
const CLAUDE_MONITORS: &str = include_str!("../harness/claude/monitors.json");
const CLAUDE_HOOKS: &str = include_str!("../harness/claude/hooks.json");
const SKILL: &str = include_str!("../harness/skill.md");
const HEADLESS: &str = include_str!("../harness/headless.md");

/// A file of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HarnessFile {
    /// Below the plugin's folder, with `/` between its parts.
    pub(crate) path: &'static str,
    /// What stands in it.
    pub(crate) text: String,
}

/// The plugin of Claude Code: a folder `meshwire` below `~/.claude/skills/`.
pub(crate) fn claude_plugin(program: &str) -> Vec<HarnessFile> {
    let listen = command(program, &["listen", "--harness", "claude"]);
    // So that no shell stands between the harness and what it ends.
    let listen = if cfg!(windows) { listen } else { format!("exec {listen}") };
    let hook = command(program, &["hook", "--harness", "claude"]);
    let fill = |template: &str| {
        template
            .replace("{{version}}", env!("CARGO_PKG_VERSION"))
            .replace("{{program}}", &inside_json(program))
            .replace("{{listen}}", &inside_json(&listen))
            .replace("{{hook}}", &inside_json(&hook))
    };
    vec![
        HarnessFile { path: ".claude-plugin/plugin.json", text: fill(CLAUDE_PLUGIN) },
        HarnessFile { path: "SKILL.md", text: SKILL.to_owned() },
        HarnessFile { path: ".mcp.json", text: fill(CLAUDE_MCP) },
        HarnessFile { path: "monitors/monitors.json", text: fill(CLAUDE_MONITORS) },
        HarnessFile { path: "hooks/hooks.json", text: fill(CLAUDE_HOOKS) },
    ]
}

/// `extension.mjs` of GitHub Copilot CLI, in a folder `meshwire` below `~/.copilot/extensions/`.
pub(crate) fn copilot_extension(program: &str) -> String {
    javascript(program, &[PROGRAM_JS, COPILOT_JS, COPILOT_START_JS])
}

/// `meshwire.js` of opencode, below `~/.config/opencode/plugins/`.
pub(crate) fn opencode_plugin(program: &str) -> String {
    javascript(program, &[PROGRAM_JS, OPENCODE_JS])
}

/// `meshwire.ts` of Pi, below `~/.pi/agent/extensions/`.
pub(crate) fn pi_extension(program: &str) -> String {
    javascript(program, &[PROGRAM_JS, PI_JS])
}

/// The plugin of Hermes Agent: a folder `meshwire` below `~/.hermes/plugins/`.
pub(crate) fn hermes_plugin(program: &str) -> Vec<HarnessFile> {
    vec![
        HarnessFile {
            path: "plugin.yaml",
            text: HERMES_PLUGIN.replace("{{version}}", env!("CARGO_PKG_VERSION")),
        },
        HarnessFile {
            path: "__init__.py",
            // An escape of JSON is one of Python as well.
            text: HERMES_PY.replace("{{program}}", &inside_json(program)),
        },
    ]
}

/// `SKILL.md` for agents that have the tools.
pub(crate) fn skill() -> &'static str {
    SKILL
}

/// `MESHWIRE_SKILL.md` for agents that have the command line and `.env.meshwire`.
pub(crate) fn headless_skill() -> &'static str {
    HEADLESS
}

/// The shell command by which a harness runs a hook of ours at an event.
pub(crate) fn hook_command(program: &str, harness: Harness, event: &str) -> String {
    command(program, &["hook", "--harness", &harness_name(harness), event])
}

fn javascript(program: &str, parts: &[&str]) -> String {
    format!(
        "// Written by `meshwire init`, which also takes it away: `meshwire init --undo`.\n\n\
         const PROGRAM = \"{}\";\n\n{}",
        inside_json(program),
        parts.concat()
    )
}

/// A command line for the shell that harnesses use: `sh`, and on Windows whichever they find. The words after
/// the program need no quotes.
fn command(program: &str, words: &[&str]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/\\:._-".contains(c);
    let program = if cfg!(windows) {
        // A path cannot contain the quote itself.
        if program.chars().all(plain) { program.to_owned() } else { format!("\"{program}\"") }
    } else {
        format!("'{}'", program.replace('\'', r"'\''"))
    };
    format!("{program} {}", words.join(" "))
}

/// Whether a line is one that [`command`] makes with these words, whatever the program. What somebody has put around
/// such a line is theirs.
pub(crate) fn is_command(line: &str, words: &str) -> bool {
    let quoted = line.strip_suffix(words).and_then(|rest| rest.strip_suffix(' '));
    let program = quoted.and_then(|quoted| {
        if cfg!(windows) {
            Some(quoted.trim_matches('"').to_owned()).filter(|program| !program.contains('"'))
        } else {
            Some(quoted.strip_prefix('\'')?.strip_suffix('\'')?.replace(r"'\''", "'"))
        }
    });
    program.is_some_and(|program| !program.is_empty() && command(&program, &[words]) == line)
}

/// Text for the inside of a string of JSON, and of what takes its escapes over.
fn inside_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGE: &str = "/home/o'neill \"x\"/\\bin/meshwire";

    #[test]
    fn the_path_arrives_in_every_file_as_it_is() {
        let files = claude_plugin(STRANGE);
        for file in files.iter().filter(|file| file.path != "SKILL.md") {
            let value: serde_json::Value = serde_json::from_str(&file.text).unwrap();
            assert!(!file.text.contains("{{"), "{}", file.path);
            let text = value.to_string();
            let quoted = serde_json::Value::from(STRANGE).to_string();
            match file.path {
                ".mcp.json" => assert!(text.contains(&quoted), "{text}"),
                "monitors/monitors.json" => {
                    let command = value[0]["command"].as_str().unwrap();
                    assert!(command.ends_with(" listen --harness claude"), "{command}");
                }
                _ => {}
            }
        }
        for text in [copilot_extension(STRANGE), opencode_plugin(STRANGE), pi_extension(STRANGE)] {
            let line = text.lines().find(|line| line.starts_with("const PROGRAM")).unwrap();
            let quoted = line.trim_start_matches("const PROGRAM = ").trim_end_matches(';');
            assert_eq!(serde_json::from_str::<String>(quoted).unwrap(), STRANGE);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_runs_the_command_as_it_was_meant() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("it's \"$HOME\" `x` here");
        std::os::unix::fs::symlink("/bin/echo", &program).unwrap();
        let line = hook_command(program.to_str().unwrap(), Harness::Gemini, "BeforeAgent");
        let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "hook --harness gemini BeforeAgent\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_line_is_ours_only_as_a_whole() {
        let words = "hook --harness gemini AfterAgent";
        for program in ["/opt/meshwire", STRANGE, "'", "/a b/m"] {
            assert!(is_command(&hook_command(program, Harness::Gemini, "AfterAgent"), words));
        }
        for line in [
            "'/my/log.sh' && '/opt/meshwire' hook --harness gemini AfterAgent",
            "/my/log.sh && '/opt/meshwire' hook --harness gemini AfterAgent",
            "'/opt/meshwire' hook --harness gemini AfterAgent | tee /tmp/l",
            "'/opt/meshwire' hook --harness gemini AfterAgentX",
            "/opt/meshwire hook --harness gemini AfterAgent",
            "'' hook --harness gemini AfterAgent",
            "hook --harness gemini AfterAgent",
        ] {
            assert!(!is_command(line, words), "{line}");
        }
    }

    #[test]
    fn extensions_import_nothing_but_node_and_the_sdk() {
        for text in [copilot_extension("/m"), opencode_plugin("/m"), pi_extension("/m")] {
            for line in text.lines().filter(|line| line.starts_with("import ")) {
                assert!(
                    line.contains("from \"node:")
                        || line.contains("from \"@github/copilot-sdk/extension\""),
                    "{line}"
                );
            }
            assert!(!text.contains("fetch("), "only the program speaks HTTP");
        }
    }
}
