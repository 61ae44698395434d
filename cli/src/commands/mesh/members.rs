//! `meshwire mesh members`, `invite`, `join`, `leave`, `requests`, `approve`, `refuse`, `role`,
//! `remove`

use clap::Args;
use jiff::Timestamp;
use meshwire_protocol::clean::clean_line;
use meshwire_protocol::limits::{MAX_INVITE_HOURS, MAX_INVITE_USES};
use meshwire_protocol::{CreateInvite, JoinStatus, MeshId, Role};
use url::Url;

use super::{confirm, forget, parse};
use crate::args::{AsJson, InMesh};
use crate::client::Client;
use crate::failure::{Failure, Outcome};
use crate::identity;
use crate::output::{Style, ago, day, note, print, print_json};
use crate::server_url::ServerUrl;
use crate::settings::Settings;

/// For commands that list something of a mesh.
#[derive(Debug, Args)]
pub(crate) struct Listed {
    #[command(flatten)]
    target: InMesh,
    #[command(flatten)]
    output: AsJson,
}

/// For commands on one person.
#[derive(Debug, Args)]
pub(crate) struct Person {
    /// Their login
    #[arg(value_name = "LOGIN")]
    login: String,
    #[command(flatten)]
    target: InMesh,
}

#[derive(Debug, Args)]
pub(crate) struct NewRole {
    #[command(flatten)]
    person: Person,
    /// owner (hands the mesh over), admin or member
    #[arg(value_name = "ROLE", value_parser = role)]
    role: Role,
}

fn role(text: &str) -> Result<Role, String> {
    [Role::Owner, Role::Admin, Role::Member]
        .into_iter()
        .find(|role| role.as_str() == text)
        .ok_or_else(|| "expected owner, admin or member".to_owned())
}

const INVITE_EXAMPLES: &str = "\
Examples:
  meshwire mesh invite octocat             they run `meshwire mesh join ID`
  meshwire mesh invite --uses 5            a link for five people
  meshwire mesh invite --expires 24        one that runs out after a day

Without a login, only the link goes to standard output. It is shown this once.";

#[derive(Debug, Args)]
#[command(after_help = INVITE_EXAMPLES)]
pub(crate) struct Invite {
    /// Whom to invite [default: whoever has the link]
    #[arg(value_name = "LOGIN")]
    login: Option<String>,
    /// Hours until it runs out [default: 168]
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_INVITE_HOURS)))]
    expires: Option<u32>,
    /// How many people the link lets in [default: 1]
    #[arg(long, value_name = "N", conflicts_with = "login", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_INVITE_USES)))]
    uses: Option<u32>,
    #[command(flatten)]
    target: InMesh,
    #[command(flatten)]
    output: AsJson,
}

#[derive(Debug, Args)]
pub(crate) struct Join {
    /// The mesh, or the link of an invite
    #[arg(value_name = "ID-OR-LINK")]
    target: String,
    #[command(flatten)]
    output: AsJson,
}

#[derive(Debug, Args)]
pub(crate) struct Leave {
    #[command(flatten)]
    target: InMesh,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

async fn target(settings: &Settings, target: &InMesh) -> Outcome<(Client, MeshId)> {
    let client = settings.client()?;
    let mesh = identity::mesh(settings, &client, target.mesh.as_deref()).await?;
    Ok((client, mesh))
}

pub(super) async fn members(settings: &Settings, args: &Listed) -> Outcome<()> {
    let (client, mesh) = target(settings, &args.target).await?;
    let list = client.members(&mesh).await?;
    if args.output.json {
        return print_json(&list);
    }
    print(&format!("🕸 Members of mesh {mesh} ({})\n", list.members.len()))?;
    let style = Style::for_stdout();
    for member in &list.members {
        let (login, name) = (clean_line(&member.login), clean_line(&member.name));
        let name = if name == login { String::new() } else { format!(" ({name})") };
        print(&format!(
            "{}{name} {}, since {}",
            style.bold(&login),
            member.role.as_str(),
            day(member.joined_at)
        ))?;
    }
    Ok(())
}

pub(super) async fn invite(settings: &Settings, args: Invite) -> Outcome<()> {
    let (client, mesh) = target(settings, &args.target).await?;
    let wanted = CreateInvite {
        login: args.login.map(|login| login.trim().trim_start_matches('@').to_owned()),
        expires_in_hours: args.expires,
        max_uses: args.uses,
    };
    let created = client.create_invite(&mesh, &wanted).await?;
    if args.output.json {
        return print_json(&created);
    }
    let until = day(created.invite.expires_at);
    if let Some(login) = &wanted.login {
        let done = Style::for_stdout().green("✓");
        print(&format!("{done} Invited {} to mesh {mesh}, until {until}", clean_line(login)))?;
        note(&format!("They join with: meshwire mesh join {mesh}"));
        return Ok(());
    }
    print(&clean_line(&created.url))?;
    let people = match created.invite.max_uses {
        1 => "one person".to_owned(),
        several => format!("{several} people"),
    };
    note(&format!("It lets {people} in, until {until}, with: meshwire mesh join LINK"));
    note("It is shown this once.");
    Ok(())
}

pub(super) async fn join(settings: &Settings, args: &Join) -> Outcome<()> {
    let (mesh, code) = read_target(&args.target, &settings.url)?;
    let joined = settings.client()?.join(&mesh, code).await?;
    if args.output.json {
        return print_json(&joined);
    }
    let done = Style::for_stdout().green("✓");
    match joined.status {
        JoinStatus::Member => {
            print(&format!("{done} You are a member of mesh {mesh}"))?;
            note(&format!("Run `meshwire mesh use {mesh}` to activate it."));
        }
        JoinStatus::Requested => {
            print(&format!("{done} Asked to join mesh {mesh}"))?;
            note("An admin of the mesh decides. `meshwire mesh list` shows it once you are in.");
        }
    }
    Ok(())
}

/// A mesh, or the link of an invite to one on this server.
fn read_target(text: &str, server: &ServerUrl) -> Outcome<(MeshId, Option<String>)> {
    let text = text.trim();
    if !text.contains("://") {
        return Ok((parse(text)?, None));
    }
    let wrong = || {
        Failure::usage("this is not the link of an invite")
            .hint("it looks like https://SERVER/join/MESH?invite=CODE")
    };
    let mut url = Url::parse(text).map_err(|_| wrong())?;
    let code = url.query_pairs().find(|(name, _)| name == "invite").map(|(_, code)| code.into());
    let mut segments: Vec<String> =
        url.path_segments().ok_or_else(wrong)?.map(str::to_owned).collect();
    let mesh = segments.pop().and_then(|id| id.parse().ok()).ok_or_else(wrong)?;
    if segments.pop().as_deref() != Some("join") {
        return Err(wrong());
    }
    url.set_query(None);
    url.set_fragment(None);
    url.set_path(&segments.join("/"));
    let of_link = ServerUrl::parse(url.as_str(), "the link")?;
    if of_link != *server {
        // A token goes only to the server that issued it.
        return Err(Failure::usage(format!(
            "this invite is from {of_link}, and you work with {server}"
        ))
        .hint(format!(
            "sign in there with `meshwire login --url {of_link}`, and pass --url here too"
        )));
    }
    Ok((mesh, code))
}

pub(super) async fn leave(settings: &Settings, args: &Leave) -> Outcome<()> {
    let (client, mesh) = target(settings, &args.target).await?;
    if !args.yes {
        confirm(
            &format!("Leave mesh {mesh}? Your agents in it end, and the tokens bound to it."),
            "you are still a member",
        )?;
    }
    let login = client.me().await?.user.login;
    client.remove_member(&mesh, &login).await?;
    forget(settings, &mesh)?;
    print(&format!("{} Left mesh {mesh}", Style::for_stdout().green("✓")))
}

pub(super) async fn requests(settings: &Settings, args: &Listed) -> Outcome<()> {
    let (client, mesh) = target(settings, &args.target).await?;
    let list = client.join_requests(&mesh).await?;
    if args.output.json {
        return print_json(&list);
    }
    print(&format!("🕸 Requests to join mesh {mesh} ({})", list.requests.len()))?;
    if list.requests.is_empty() {
        return Ok(());
    }
    print("")?;
    let (style, now) = (Style::for_stdout(), Timestamp::now());
    for request in &list.requests {
        print(&format!(
            "{} ({}) asked {}",
            style.bold(&clean_line(&request.login)),
            clean_line(&request.name),
            ago(Some(request.requested_at), now)
        ))?;
    }
    note("Decide with `meshwire mesh approve LOGIN`, or `meshwire mesh refuse LOGIN`.");
    Ok(())
}

pub(super) async fn decide(settings: &Settings, args: &Person, accept: bool) -> Outcome<()> {
    let (client, mesh) = target(settings, &args.target).await?;
    let decided = client.decide(&mesh, login(args), accept).await?;
    let login = clean_line(&decided.login);
    let done = Style::for_stdout().green("✓");
    if accept {
        print(&format!("{done} {login} is a {} of mesh {mesh}", Role::Member.as_str()))
    } else {
        print(&format!("{done} Refused {login}"))
    }
}

pub(super) async fn set_role(settings: &Settings, args: &NewRole) -> Outcome<()> {
    let (client, mesh) = target(settings, &args.person.target).await?;
    let member = client.set_role(&mesh, login(&args.person), args.role).await?;
    let done = Style::for_stdout().green("✓");
    let role = member.role.as_str();
    print(&format!("{done} {} is {role} of mesh {mesh} now", clean_line(&member.login)))
}

pub(super) async fn remove(settings: &Settings, args: &Person) -> Outcome<()> {
    let (client, mesh) = target(settings, &args.target).await?;
    client.remove_member(&mesh, login(args)).await?;
    let login = clean_line(login(args));
    print(&format!("{} Removed {login} from mesh {mesh}", Style::for_stdout().green("✓")))
}

/// People are also written as their agents are named.
fn login(args: &Person) -> &str {
    args.login.trim().trim_start_matches('@')
}

pub(super) async fn pause(settings: &Settings, args: &InMesh, paused: bool) -> Outcome<()> {
    let (client, mesh) = target(settings, args).await?;
    client.pause(&mesh, paused).await?;
    let done = Style::for_stdout().green("✓");
    if paused {
        print(&format!("{done} Paused mesh {mesh}: nothing can be sent, reading goes on"))
    } else {
        print(&format!("{done} Resumed mesh {mesh}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_when_it_is_of_this_server() {
        let server = ServerUrl::parse("https://mesh.example/mw", "--url").unwrap();
        let read = |text: &str| read_target(text, &server).map_err(|failure| failure.exit());
        let mesh: MeshId = "kR9xQpLmW3aZ".parse().unwrap();
        assert_eq!(read(" kR9xQpLmW3aZ ").unwrap(), (mesh.clone(), None));
        let link = "https://MESH.example:443/mw/join/kR9xQpLmW3aZ";
        assert_eq!(read(link).unwrap(), (mesh.clone(), None));
        let link = format!("{link}?invite=abc");
        assert_eq!(read(&link).unwrap(), (mesh, Some("abc".to_owned())));
        for wrong in [
            "kR9x",
            "https://mesh.example/mw/kR9xQpLmW3aZ",
            "https://mesh.example/join/kR9xQpLmW3aZ?invite=abc",
            "https://evil.example/mw/join/kR9xQpLmW3aZ?invite=abc",
            "http://mesh.example/mw/join/kR9xQpLmW3aZ?invite=abc",
            "https://mesh.example/mw/join/?invite=abc",
            "file:///mw/join/kR9xQpLmW3aZ",
        ] {
            assert_eq!(read(wrong).unwrap_err(), crate::failure::Exit::Usage, "{wrong}");
        }
    }
}
