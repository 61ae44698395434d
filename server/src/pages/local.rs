//! Signing in; with a password where the server has accounts of its own.

use askama::Template;
use axum::extract::State;
use axum::http::header::{RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use meshwire_protocol::{ErrorCode, check_login};
use serde::Deserialize;

use crate::app::App;
use crate::error::{ApiError, Refusal, Result};
use crate::extract::Query;
use crate::pages::visitor::{Posted, Visitor};
use crate::pages::{html, see_other};
use crate::sign_in::tickets::LoginForm;
use crate::sign_in::{self, Accounts, Passwords, ReturnTo};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginView<'a> {
    /// Where the GitHub button leads; `None` where people have passwords.
    github: Option<String>,
    /// Nobody has an account yet.
    nobody: bool,
    ticket: String,
    login: &'a str,
    error: Option<String>,
}

/// The query of the sign-in page.
#[derive(Deserialize)]
pub(crate) struct LoginQuery {
    return_to: Option<String>,
}

/// The sign-in form.
#[derive(Deserialize)]
pub(crate) struct LoginFields {
    #[serde(default)]
    login: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    ticket: String,
}

/// `GET /login`
pub(crate) async fn login_page(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query<LoginQuery>,
) -> Result<Response> {
    let return_to = ReturnTo::new(query.return_to.as_deref());
    if visitor.session.is_some() {
        return Ok(see_other(return_to.as_str()));
    }
    let nobody = match app.sign_in.accounts {
        Accounts::Github(_) => false,
        Accounts::Local(_) => !app.store.any_user().await?,
    };
    Ok(html(StatusCode::OK, &LoginView { nobody, ..login_view(&app, &return_to, "") }))
}

/// `POST /login`
pub(crate) async fn log_in(
    State(app): State<App>,
    visitor: Visitor,
    Posted(form): Posted<LoginFields>,
) -> Result<Response> {
    let passwords = passwords(&app)?;
    let now = app.clock.now();
    let login = form.login.trim().to_lowercase();
    let Some(ticket) = app.sign_in.tickets.read::<LoginForm>(&form.ticket, now) else {
        let error = Some("This page had been open for too long. Please try again.".to_owned());
        let view = LoginView { error, ..login_view(&app, &ReturnTo::new(None), &login) };
        return Ok(html(StatusCode::FORBIDDEN, &view));
    };
    let return_to = ReturnTo::new(Some(&ticket.return_to));

    // No account has such a login: it is looked up like any other, and shares one count.
    let counted = if check_login(&login).is_ok() { login.as_str() } else { "" };
    let guess = match app.sign_in.guesses.password(counted, visitor.address, now) {
        Ok(guess) => guess,
        Err(seconds) => {
            let error =
                Some(format!("Too many wrong passwords. Try again in {}.", minutes(seconds)));
            let view = LoginView { error, ..login_view(&app, &return_to, &login) };
            let headers = [(RETRY_AFTER, HeaderValue::from(seconds))];
            let reason = Some("wrong passwords");
            let mut page = (headers, html(StatusCode::TOO_MANY_REQUESTS, &view)).into_response();
            page.extensions_mut().insert(Refusal { code: ErrorCode::RateLimited, reason });
            return Ok(page);
        }
    };
    let user = app.store.user_by_login(counted).await?;
    let phc = user.as_ref().and_then(|user| user.password.clone());
    let right = passwords.verify(form.password, phc).await?;
    let cookie = match user.filter(|_| right) {
        Some(user) => sign_in::start_with_password(&app, &visitor.headers, &user).await?,
        None => None,
    };
    let Some(cookie) = cookie else {
        let error = Some("Login and password do not fit together.".to_owned());
        let view = LoginView { error, ..login_view(&app, &return_to, &login) };
        return Ok(html(StatusCode::FORBIDDEN, &view));
    };
    guess.right();
    Ok(([(SET_COOKIE, cookie)], see_other(return_to.as_str())).into_response())
}

/// A time to wait, in minutes.
pub(crate) fn minutes(seconds: u64) -> String {
    match seconds.div_ceil(60) {
        1 => "1 minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    }
}

fn login_view<'a>(app: &App, return_to: &ReturnTo, login: &'a str) -> LoginView<'a> {
    let return_to = return_to.as_str();
    let github = match app.sign_in.accounts {
        Accounts::Github(_) => Some(github_button(return_to)),
        Accounts::Local(_) => None,
    };
    let ticket = LoginForm { return_to: return_to.to_owned() };
    let ticket = app.sign_in.tickets.issue(&ticket, app.clock.now());
    LoginView { github, nobody: false, ticket, login, error: None }
}

pub(crate) fn github_button(return_to: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("return_to", return_to);
    format!("/auth/github?{}", query.finish())
}

pub(crate) fn passwords(app: &App) -> Result<&Passwords> {
    match &app.sign_in.accounts {
        Accounts::Local(passwords) => Ok(passwords),
        Accounts::Github(_) => Err(ApiError::new(
            ErrorCode::NotFound,
            "This server has no passwords: people sign in with GitHub.",
        )
        .hint("Sign in from the start page.")),
    }
}
