//! Where the link of an invite leads in a browser: it asks who is signed in whether they want to join. On a
//! server with accounts of its own, who has none makes one here. Opening the link uses nothing up.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse as _, Response};
use meshwire_protocol::{ErrorCode, MeshId};
use serde::Deserialize;

use crate::app::App;
use crate::error::{ApiError, Result};
use crate::extract::{PathVariable, Query};
use crate::pages::account::{AccountErrors, AccountFields, AccountView, new_user};
use crate::pages::home::login_command;
use crate::pages::html;
use crate::pages::local::{github_button, passwords};
use crate::pages::visitor::{Posted, Visitor, stale_form};
use crate::secret;
use crate::sign_in::tickets::JoinForm;
use crate::sign_in::{self, Accounts};
use crate::store::{InviteRow, NewMember};

#[derive(Template)]
#[template(path = "join.html")]
struct Invitation<'a> {
    mesh: &'a MeshId,
    invited: bool,
    who: Who<'a>,
    login_command: String,
    join_command: String,
}

/// Who has opened the link.
enum Who<'a> {
    /// Someone who is signed in.
    SignedIn { login: &'a str, ticket: String },
    /// Someone who can only sign in, there.
    Stranger { sign_in: String, github: bool },
    /// Someone who may make an account.
    New { sign_in: String, ticket: String, account: AccountView<'a> },
}

#[derive(Template)]
#[template(path = "joined.html")]
struct Joined<'a> {
    mesh: &'a MeshId,
    /// Admitted; else an admin decides.
    member: bool,
    login_command: String,
}

/// The query of the link.
#[derive(Deserialize)]
pub(crate) struct JoinQuery {
    invite: Option<String>,
}

/// `GET /join/{mesh}`
pub(crate) async fn page(
    State(app): State<App>,
    PathVariable(mesh): PathVariable,
    visitor: Visitor,
    Query(query): Query<JoinQuery>,
) -> Result<Response> {
    let mesh: MeshId = mesh.parse().map_err(|_| broken())?;
    // What stands here is pasted into a shell.
    if query.invite.as_deref().is_some_and(|code| !is_code(code)) {
        return Err(broken());
    }
    let form = |session| JoinForm { session, mesh: mesh.clone(), invite: query.invite.clone() };
    let ticket = |form| app.sign_in.tickets.issue(&form, app.clock.now());
    let return_to = path(&mesh, query.invite.as_deref());
    let mut invite = None;
    let who = match (&visitor.session, &app.sign_in.accounts, &query.invite) {
        (Some((session, user)), ..) => {
            Who::SignedIn { login: &user.login, ticket: ticket(form(Some(session.id.clone()))) }
        }
        (None, Accounts::Github(_), _) => {
            Who::Stranger { sign_in: github_button(&return_to), github: true }
        }
        (None, Accounts::Local(_), None) => {
            Who::Stranger { sign_in: login_path(&return_to), github: false }
        }
        (None, Accounts::Local(_), Some(code)) => {
            let invite = invite.insert(usable_invite(&app, &visitor, &mesh, code).await?);
            let account = account_view(invite, "", "", AccountErrors::default());
            Who::New { sign_in: login_path(&return_to), ticket: ticket(form(None)), account }
        }
    };
    let invited = query.invite.is_some();
    Ok(html(StatusCode::OK, &invitation(&app, &mesh, &return_to, invited, who)))
}

/// `POST /join/{mesh}`
pub(crate) async fn join(
    State(app): State<App>,
    PathVariable(mesh): PathVariable,
    visitor: Visitor,
    Posted(form): Posted<AccountFields>,
) -> Result<Response> {
    let now = app.clock.now();
    let asked = app
        .sign_in
        .tickets
        .read::<JoinForm>(&form.ticket, now)
        .filter(|asked| asked.mesh.as_str() == mesh)
        .ok_or_else(stale_form)?;
    let mesh = &asked.mesh;
    if let Some(of_session) = &asked.session {
        let (session, user) = visitor.signed_in()?;
        if session.id != *of_session {
            return Err(stale_form());
        }
        let guess = guess(&app, &visitor)?;
        let member = app.meshes.join(mesh, user, asked.invite.as_deref()).await?;
        guess.right();
        return Ok(joined(&app, mesh, member));
    }

    let passwords = passwords(&app)?;
    let code = asked.invite.as_deref().ok_or_else(stale_form)?;
    // Looked at before anything that costs more; the store looks again when it acts.
    let invite = usable_invite(&app, &visitor, mesh, code).await?;
    let login = invite.login.as_deref().unwrap_or_else(|| form.login.trim());
    let refuse = |errors| {
        let return_to = path(mesh, Some(code));
        let account = account_view(&invite, login, form.name.trim(), errors);
        let who =
            Who::New { sign_in: login_path(&return_to), ticket: form.ticket.clone(), account };
        html(StatusCode::BAD_REQUEST, &invitation(&app, mesh, &return_to, true, who))
    };
    let errors = AccountErrors::check(&form, login);
    if errors.any() {
        return Ok(refuse(errors));
    }
    let user = new_user(passwords, &form, login, now).await?;
    match app.store.create_member(user, mesh, &secret::digest(code)).await? {
        NewMember::Created(user) => {
            tracing::info!(user.login = user.login, "an account was made by an invite");
            let cookie = sign_in::start(&app, &visitor.headers, &user.id).await?;
            Ok(([(SET_COOKIE, cookie)], joined(&app, mesh, true)).into_response())
        }
        NewMember::LoginTaken => Ok(refuse(AccountErrors::login_taken())),
        NewMember::InviteNotFound => Err(not_found()),
        NewMember::InviteExpired => Err(expired()),
    }
}

/// The invite with this code, when it can still be used. Wrong codes are counted.
async fn usable_invite(
    app: &App,
    visitor: &Visitor,
    mesh: &MeshId,
    code: &str,
) -> Result<InviteRow> {
    let guess = guess(app, visitor)?;
    let invite = app.store.invite_by_code(mesh, &secret::digest(code)).await?;
    let invite = invite.ok_or_else(not_found)?;
    guess.right();
    if invite.expires_at <= app.clock.now() || invite.uses >= invite.max_uses {
        return Err(expired());
    }
    Ok(invite)
}

fn guess<'a>(app: &'a App, visitor: &Visitor) -> Result<sign_in::Try<'a>> {
    app.sign_in.guesses.invite(visitor.address, app.clock.now()).map_err(|seconds| {
        ApiError::new(ErrorCode::RateLimited, "Too many wrong invites came from your address.")
            .hint("Check the link, and try again in a minute.")
            .retry_after(seconds)
    })
}

fn account_view<'a>(
    invite: &'a InviteRow,
    login: &'a str,
    name: &'a str,
    errors: AccountErrors,
) -> AccountView<'a> {
    AccountView {
        login: invite.login.as_deref().unwrap_or(login),
        login_is_fixed: invite.login.is_some(),
        name: Some(name),
        errors,
    }
}

fn invitation<'a>(
    app: &App,
    mesh: &'a MeshId,
    return_to: &str,
    invited: bool,
    who: Who<'a>,
) -> Invitation<'a> {
    Invitation {
        mesh,
        invited,
        who,
        login_command: login_command(app),
        join_command: format!("meshwire mesh join '{}'", app.url(return_to)),
    }
}

fn joined(app: &App, mesh: &MeshId, member: bool) -> Response {
    html(StatusCode::OK, &Joined { mesh, member, login_command: login_command(app) })
}

/// The link of an invite, which `meshwire mesh join` reads too.
pub(crate) fn invite_url(app: &App, mesh: &MeshId, code: &str) -> String {
    app.url(&path(mesh, Some(code)))
}

fn path(mesh: &MeshId, code: Option<&str>) -> String {
    match code {
        Some(code) => format!("/join/{mesh}?invite={code}"),
        None => format!("/join/{mesh}"),
    }
}

/// Where one signs in to come to a page.
pub(crate) fn login_path(return_to: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("return_to", return_to);
    format!("/login?{}", query.finish())
}

fn is_code(code: &str) -> bool {
    !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn broken() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "This link is not whole.").hint("Ask for it again.")
}

fn not_found() -> ApiError {
    ApiError::new(
        ErrorCode::InviteNotFound,
        "This is no invite to this mesh, or it was withdrawn, or it is for somebody else.",
    )
    .hint("Ask whoever sent it for a new one.")
}

fn expired() -> ApiError {
    ApiError::new(ErrorCode::InviteExpired, "This invite has run out or is used up.")
        .hint("Ask whoever sent it for a new one.")
}
