//! What only the server can tell. The token goes to the server that issued it, and to no other.

use jiff::{SignedDuration, Timestamp};
use meshwire_protocol::clean::clean_line;
use meshwire_protocol::{ErrorCode, Health, Me, MeToken, MeshId, Scope, person_name};

use super::Report;
use crate::client::Client;
use crate::failure::Failure;
use crate::identity::{self, Identity, Wanted};
use crate::output::day;
use crate::settings::{Settings, Source};

/// A clock may go this wrong.
const DRIFT: SignedDuration = SignedDuration::from_secs(30);
/// A token that expires sooner than this is worth a word.
const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

pub(super) async fn check(report: &mut Report, settings: &Settings, mesh: Option<&str>) {
    if !settings.url.is_https() && !settings.url.is_loopback() {
        report.warn(
            "server",
            format!(
                "{} is not https: whoever is on the way reads tokens and messages",
                settings.url
            ),
            "use the server's https address",
        );
    }
    let token = settings.token();
    let said = report.take("mesh", settings.mesh(mesh));
    let reader = report.take("agent", identity::reader(settings, None));
    // A server that only a cloned project names learns nothing at all while a token is at hand.
    let lured = settings.token_is_of_environment()
        && settings.refuse_url_of_mesh_file("MESHWIRE_TOKEN").is_err();
    let reached = !lured && check_server(report, settings).await;
    let Some(token) = report.take("sign-in", token) else { return };
    if !reached {
        report
            .ok("sign-in", format!("token {} is at hand, and cannot be tried now", token.masked()));
        return;
    }
    let masked = token.masked();
    let Some(client) = report.take("sign-in", Client::new(settings.url.clone(), Some(token)))
    else {
        return;
    };
    let client = client.impatient();
    let Some(me) = report.take("sign-in", client.me().await) else { return };
    check_token(report, &me, &masked);
    let Some(said) = said else { return };
    let Some(mesh) = check_mesh(report, &client, &me, said).await else { return };
    if let Some(reader) = reader {
        check_agent(report, settings, &client, &me, &mesh, reader).await;
    }
}

/// Whether the server is there; asked without the token.
async fn check_server(report: &mut Report, settings: &Settings) -> bool {
    let client = Client::new(settings.url.clone(), None).map(|client| client.impatient());
    let Some(client) = report.take("server", client) else { return false };
    let before = Timestamp::now();
    let answer = client.health_answer().await;
    let after = Timestamp::now();
    let Some(answer) = report.take("server", answer) else { return false };
    let Some(health) = report.take("server", answer.json::<Health>()) else { return false };
    let (own, other) = (env!("CARGO_PKG_VERSION"), clean_line(&health.version));
    let release = |version: &str| version.rsplit_once('.').map(|(release, _)| release.to_owned());
    if release(own) == release(&other) {
        report.ok("server", format!("{} answers, version {other}", settings.url));
    } else {
        report.warn(
            "server",
            format!("{} answers, version {other}, while this is {own}", settings.url),
            "install the version of meshwire that goes with the server",
        );
    }
    match client.ready().await {
        Ok(()) => report.ok("server", "its store is ready"),
        Err(failure) => report.wrong(
            "server",
            format!("its store is not ready: {}", failure.message()),
            "wait a little; if it stays so, the server's log says why",
        ),
    }
    match answer.date() {
        Some(date) => check_clock(report, before, after, date),
        None => report.warn(
            "clock",
            "the server does not say what time it is",
            "compare this computer's clock by hand",
        ),
    }
    true
}

/// The answer was made between `before` and `after`; its date is cut to whole seconds.
fn check_clock(report: &mut Report, before: Timestamp, after: Timestamp, date: Timestamp) {
    let ahead = before.duration_since(date) - SignedDuration::from_secs(1);
    let behind = date.duration_since(after);
    let (by, direction) = if ahead > behind { (ahead, "ahead of") } else { (behind, "behind") };
    if by > DRIFT {
        report.wrong(
            "clock",
            format!("this computer's clock is {} s {direction} the server's", by.as_secs()),
            "let it be set by the network (NTP), or mend the server's clock",
        );
    } else {
        report.ok("clock", "goes with the server's");
    }
}

fn check_token(report: &mut Report, me: &Me, masked: &str) {
    let login = clean_line(&me.user.login);
    let bound = bound_to(&me.token);
    report.ok("sign-in", format!("signed in as {login} with {masked}, for {bound}"));
    if let Some(expires) = me.token.expires_at
        && expires.duration_since(Timestamp::now()) < SOON
    {
        report.warn(
            "sign-in",
            format!("the token expires on {}", day(expires)),
            "make a new one in time: `meshwire login`, or `meshwire token create`",
        );
    }
    let missing: Vec<_> = [Scope::Read, Scope::Send, Scope::Agents]
        .into_iter()
        .filter(|scope| !me.token.scopes.contains(scope))
        .map(Scope::as_str)
        .collect();
    if !missing.is_empty() {
        report.warn(
            "sign-in",
            format!("the token lacks the scopes {}", missing.join(", ")),
            "if they are needed here, use a token that has them: to listen takes read, to send takes \
             send, to register an agent takes agents",
        );
    }
}

fn bound_to(token: &MeToken) -> String {
    match (&token.mesh_id, &token.agent_id) {
        (Some(mesh), Some(agent)) => format!("the agent {agent} in the mesh {mesh}"),
        (Some(mesh), None) => format!("the mesh {mesh}"),
        _ => "the whole account".to_owned(),
    }
}

/// The mesh that a command here would work in.
async fn check_mesh(
    report: &mut Report,
    client: &Client,
    me: &Me,
    said: Option<(MeshId, Source)>,
) -> Option<MeshId> {
    let bound = me.token.mesh_id.clone().map(|mesh| (mesh, "the token".to_owned()));
    let said = said.map(|(mesh, source)| (mesh, source.to_string())).or(bound);
    let (id, source) = match said {
        Some(said) => said,
        None => (only_mesh(report, client).await?, "your only one".to_owned()),
    };
    let mesh = match client.mesh(&id).await {
        Ok(mesh) => mesh,
        Err(failure) => {
            let failure = match failure.code() {
                Some(ErrorCode::NotAMember) => {
                    failure.hint(format!("ask to join with `meshwire mesh join {id}`"))
                }
                _ => failure,
            };
            report.failure("mesh", &failure);
            return None;
        }
    };
    let name = clean_line(&mesh.name);
    report.ok("mesh", format!("{id} \"{name}\" ({source}), you are its {}", mesh.role.as_str()));
    if mesh.paused {
        report.warn(
            "mesh",
            "it is paused: nothing can be sent",
            "an admin of it resumes it: `meshwire mesh resume`",
        );
    }
    Some(id)
}

/// The mesh of somebody who has only one.
async fn only_mesh(report: &mut Report, client: &Client) -> Option<MeshId> {
    let meshes = report.take("mesh", client.meshes().await)?.meshes;
    match meshes.as_slice() {
        [only] => return Some(only.mesh_id.clone()),
        [] => report.wrong("mesh", "you have no mesh yet", "run `meshwire mesh create NAME`"),
        several => report.wrong(
            "mesh",
            format!("you have {} meshes and none is chosen", several.len()),
            "run `meshwire mesh list`, then `meshwire mesh use ID`",
        ),
    }
    None
}

/// The agent that `listen` would read for.
async fn check_agent(
    report: &mut Report,
    settings: &Settings,
    client: &Client,
    me: &Me,
    mesh: &MeshId,
    reader: Identity,
) {
    let Identity::Agent(wanted) = reader else {
        let own = match &me.token.agent_id {
            Some(agent) => format!("the agent {agent}, which the token is bound to"),
            None => format!("yourself ({})", person_name(&clean_line(&me.user.login))),
        };
        report.ok("agent", format!("none is named here: you listen as {own}"));
        return;
    };
    let Some(name) = report.take("agent", identity::real_name(settings, mesh, &wanted)) else {
        return;
    };
    match client.agent(mesh, &name).await {
        Ok(agent) if agent.owner != me.user.login => of_another(report, me, &wanted, &agent.owner),
        Ok(agent) if me.token.agent_id.as_ref().is_some_and(|own| *own != agent.agent_id) => {
            report.wrong(
                "agent",
                format!("{name} is not the agent that the token is bound to"),
                "name no agent here, or use another token",
            );
        }
        Ok(agent) => {
            report.ok("agent", format!("{name} ({}) is registered and yours", agent.agent_id));
        }
        Err(failure) if failure.is(ErrorCode::AgentNotFound) => report.warn(
            "agent",
            format!("{name} is not registered in this mesh"),
            "it will be when it first listens or speaks: `meshwire listen`",
        ),
        Err(failure) => report.failure("agent", &failure),
    }
}

fn of_another(report: &mut Report, me: &Me, wanted: &Wanted, owner: &str) {
    let (name, owner) = (&wanted.name, clean_line(owner));
    if wanted.of_project {
        report.warn(
            "agent",
            format!("the project's name {name} belongs to @{owner} here"),
            format!("`meshwire init` registers yours as {name}-{}", clean_line(&me.user.login)),
        );
    } else {
        let failure = Failure::refused(format!("the agent {name} belongs to @{owner}"))
            .hint("choose another name in MESHWIRE_AGENT_NAME");
        report.failure("agent", &failure);
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_clock_may_go_half_a_minute_wrong() {
        let at = |second: i64| Timestamp::from_second(1_748_000_000 + second).unwrap();
        for (before, after, date, state) in [
            (0, 0, 0, State::Ok),
            (30, 31, 0, State::Ok),
            (0, 0, 30, State::Ok),
            // A slow answer says nothing about the clock.
            (0, 60, 50, State::Ok),
            (33, 33, 0, State::Wrong),
            (0, 0, 31, State::Wrong),
            (0, 5, 40, State::Wrong),
        ] {
            let mut report = Report::default();
            check_clock(&mut report, at(before), at(after), at(date));
            assert_eq!(report.0[0].state, state, "{before} {after} {date}");
        }
    }
}
