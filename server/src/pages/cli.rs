//! Letting the command line in.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{IntoResponse as _, Response};
use meshwire_protocol::{CliTokenAnswer, CliTokenRequest};
use serde::Deserialize;

use crate::app::App;
use crate::error::Result;
use crate::extract::{Json, Query};
use crate::pages::visitor::{Posted, Visitor, stale_form};
use crate::pages::{content_security_policy, html, see_other};
use crate::sign_in::cli::{self, CliRequest};
use crate::sign_in::tickets::CliForm;

#[derive(Template)]
#[template(path = "cli.html")]
struct Confirm<'a> {
    login: &'a str,
    name: &'a str,
    host: &'a str,
    server: &'a str,
    ticket: String,
}

/// The query of `GET /auth/cli`; what else stands there is ignored (RFC 6749 section 3.1).
#[derive(Deserialize)]
pub(crate) struct CliQuery {
    port: Option<String>,
    state: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    host: Option<String>,
}

/// The form with the one button.
#[derive(Deserialize)]
pub(crate) struct AllowForm {
    #[serde(default)]
    ticket: String,
}

/// `GET /auth/cli`: asks the person.
pub(crate) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query<CliQuery>,
) -> Result<Response> {
    let asked = CliRequest::check(
        query.port.as_deref(),
        query.state.as_deref(),
        query.code_challenge.as_deref(),
        query.code_challenge_method.as_deref(),
        query.host.as_deref(),
    )?;
    let Some((session, user)) = &visitor.session else {
        let mut login = url::form_urlencoded::Serializer::new(String::new());
        login.append_pair("return_to", &asked.path());
        return Ok(see_other(&format!("/login?{}", login.finish())));
    };
    let form_action = format!("'self' {}", cli::loopback(asked.port));
    let form = CliForm {
        session: session.id.clone(),
        port: asked.port,
        state: asked.state,
        challenge: asked.challenge,
        host: asked.host.clone(),
    };
    let page = Confirm {
        login: &user.login,
        name: &user.name,
        host: &asked.host,
        server: &app.sign_in.origin,
        ticket: app.sign_in.tickets.issue(&form, app.clock.now()),
    };
    let policy = [(CONTENT_SECURITY_POLICY, content_security_policy(&form_action))];
    Ok((policy, html(StatusCode::OK, &page)).into_response())
}

/// `POST /auth/cli`: the person has agreed.
pub(crate) async fn allow(
    State(app): State<App>,
    visitor: Visitor,
    Posted(form): Posted<AllowForm>,
) -> Result<Response> {
    let (session, user) = visitor.signed_in()?;
    let asked = app
        .sign_in
        .tickets
        .read::<CliForm>(&form.ticket, app.clock.now())
        .filter(|asked| asked.session == session.id)
        .ok_or_else(|| stale_form().hint("Run `meshwire login` again."))?;
    Ok(see_other(&cli::allow(&app, &user.id, asked).await?))
}

/// Exchange a sign-in code for a token
///
/// For a command line that listened on loopback while a person signed in with a browser (RFC 8252). The code works
/// once, for 60 s, and only with the PKCE verifier (RFC 7636, S256) whose challenge was given to `GET /auth/cli`. A
/// wrong verifier ends the code; a second use revokes the token that the first one got. No cookie counts here.
#[utoipa::path(
    post,
    path = "/auth/cli/token",
    operation_id = "exchange_cli_code",
    tag = "Sign-in",
    request_body = CliTokenRequest,
    responses(
        (status = 200, description = "The token, shown this once, and whose it is.", body = CliTokenAnswer),
    )
)]
pub(crate) async fn token(
    State(app): State<App>,
    Json(request): Json<CliTokenRequest>,
) -> Result<Response> {
    let answer = cli::exchange(&app, &request).await?;
    let body = serde_json::to_vec(&answer).expect("strings serialise");
    Ok(([(axum::http::header::CONTENT_TYPE, "application/json")], body).into_response())
}
