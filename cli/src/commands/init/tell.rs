//! What `init` says.

use std::path::Path;

use meshwire_protocol::clean::{clean, clean_line};
use meshwire_protocol::{Harness, MeshId, Registered};
use serde_json::json;

use super::Init;
use crate::failure::Outcome;
use crate::harness::Wiring;
use crate::mesh_file::{FILE_NAME, MeshFile, harness_name};
use crate::output::{Style, note, print, print_json};
use crate::settings::Settings;
use crate::wiring::plan::Plan;

/// What a run was about.
pub(super) struct Told<'a> {
    pub(super) args: &'a Init,
    pub(super) file: &'a MeshFile,
    pub(super) settings: &'a Settings,
    pub(super) mesh: &'a MeshId,
    pub(super) agent: &'a str,
}

/// What would change.
pub(super) fn dry_run(args: &Init, plan: &Plan) -> Outcome<()> {
    let text = plan.diff();
    if args.output.json {
        return print_json(&json!({"dry_run": true, "diff": text, "notes": plan.notes}));
    }
    for told in &plan.notes {
        note(&clean_line(told));
    }
    if text.is_empty() {
        note("Nothing would change on this computer.");
        return Ok(());
    }
    print(clean(&text).trim_end())?;
    note("Nothing was changed: this was a dry run.");
    Ok(())
}

impl Told<'_> {
    pub(super) fn done(
        &self,
        harness: Harness,
        registered: &Registered,
        wiring: &Wiring,
        plan: &Plan,
    ) -> Outcome<()> {
        let name = harness_name(harness);
        let path = self.file.path();
        let others = || plan.files().map(|(path, _)| path).filter(|other| *other != path);
        if self.args.output.json {
            return print_json(&json!({
                "path": path,
                "mesh_id": self.mesh,
                "agent_id": registered.agent_id,
                "agent_name": registered.name,
                "harness": name,
                "files": others().collect::<Vec<_>>(),
                "notes": wiring.notes,
                "steps": wiring.steps,
            }));
        }
        let done = Style::for_stdout().green("✓");
        // In a folder of the project, it is the project's own file that has changed.
        let here = path.parent() == std::env::current_dir().ok().as_deref();
        let shown =
            if here { FILE_NAME.to_owned() } else { clean_line(&path.display().to_string()) };
        let how = if plan.changes(path) { "written" } else { "is as it should be" };
        print(&format!("{done} {shown} {how}"))?;
        let agent = self.agent;
        print(&format!("  mesh_id: {}\n  agent_name: {agent}\n  harness: {name}\n", self.mesh))?;
        for other in others() {
            print(&format!("{done} {} written", tidy(other)))?;
        }
        let registered_name = clean_line(&registered.name);
        print(&format!("{done} Registered as {registered_name} ({})\n", registered.agent_id))?;
        print(&format!("{done} {} harness ready!\n", title(harness)))?;
        if harness == Harness::Generic {
            self.generic(&registered_name)?;
        }
        for told in &wiring.notes {
            print(&format!("Note: {told}"))?;
        }
        for (number, step) in wiring.steps.iter().enumerate() {
            print(&format!("{}. {step}", number + 1))?;
        }
        note(&clean_line(&format!(
            "Commit {} so that your teammates share the mesh.",
            path.display()
        )));
        Ok(())
    }

    fn generic(&self, name: &str) -> Outcome<()> {
        let (mesh, url) = (self.mesh, &self.settings.url);
        print(&clean(&format!(
            "Give your agent's process these settings:\n\
             \x20 MESHWIRE_URL={url}\n\
             \x20 MESHWIRE_MESH_ID={mesh}\n\
             \x20 MESHWIRE_AGENT_NAME={name}\n\
             and, where you are not signed in, MESHWIRE_TOKEN, a token of its own:\n\
             \x20 meshwire token create {name} --mesh {mesh} --agent {name} --scope read --scope send\n\
             \n\
             Then it can run:\n\
             \x20 meshwire send \"hello\" --to NAME       send, as {name}\n\
             \x20 meshwire listen --exec COMMAND       run a command for each message\n\
             \x20 meshwire inbox --ack --json          or look for messages now and then\n\
             \x20 meshwire mcp                         or start this MCP server in the project\n\
             \x20 meshwire integrate                   the guide to the HTTP API"
        )))
    }
}

/// What was taken out.
pub(super) fn undone(args: &Init, plan: &Plan, agent: &str) -> Outcome<()> {
    if args.output.json {
        return print_json(&json!({
            "files": plan.files().map(|(path, _)| path).collect::<Vec<_>>(),
            "notes": plan.notes,
        }));
    }
    let done = Style::for_stdout().green("✓");
    for (path, gone) in plan.files() {
        print(&format!("{done} {} {}", tidy(path), if gone { "removed" } else { "restored" }))?;
    }
    for told in &plan.notes {
        note(&format!("note: {}", clean_line(told)));
    }
    if !agent.is_empty() {
        note(agent);
    }
    Ok(())
}

/// A path as people write it.
fn tidy(path: &Path) -> String {
    let home = etcetera::home_dir().ok();
    let below = home.as_deref().and_then(|home| path.strip_prefix(home).ok());
    clean_line(&match below {
        Some(below) => format!("~/{}", below.display()),
        None => path.display().to_string(),
    })
}

/// The product's name.
fn title(harness: Harness) -> &'static str {
    match harness {
        Harness::Copilot => "Copilot",
        Harness::Claude => "Claude Code",
        Harness::ClaudeDesktop => "Claude Desktop",
        Harness::Cursor => "Cursor",
        Harness::Codex => "Codex",
        Harness::Gemini => "Gemini",
        Harness::Kiro => "Kiro",
        Harness::Opencode => "opencode",
        Harness::Vscode => "VS Code",
        Harness::Windsurf => "Windsurf",
        Harness::Hermes => "Hermes",
        Harness::Pi => "Pi",
        Harness::Generic => "Generic",
    }
}
