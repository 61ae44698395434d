//! Accounts of this server: the first one, and signing in.

use askama::Template;
use axum::extract::State;
use axum::http::header::{RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use meshwire_protocol::{ErrorCode, check_login, limits};
use serde::Deserialize;

use crate::app::App;
use crate::error::{ApiError, Refusal, Result};
use crate::extract::Query;
use crate::pages::visitor::{Posted, Visitor, stale_form};
use crate::pages::{html, see_other};
use crate::secret;
use crate::sign_in::tickets::{LoginForm, SetupForm};
use crate::sign_in::{self, Accounts, Passwords, ReturnTo, check_password, clean};
use crate::store::{NewAccount, NewUser};

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

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupView<'a> {
    ticket: &'a str,
    login: &'a str,
    name: &'a str,
    errors: SetupErrors,
}

/// What is wrong, field by field.
#[derive(Default)]
struct SetupErrors {
    login: Option<String>,
    name: Option<String>,
    password: Option<&'static str>,
    again: Option<&'static str>,
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

/// The query of the set-up page.
#[derive(Deserialize)]
pub(crate) struct SetupQuery {
    #[serde(default)]
    code: String,
}

/// The set-up form.
#[derive(Deserialize)]
pub(crate) struct SetupFields {
    #[serde(default)]
    login: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    password_again: String,
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
    if let Err(seconds) = app.sign_in.guesses.begin(counted, visitor.address, now) {
        let minutes = seconds.div_ceil(60);
        let unit = if minutes == 1 { "minute" } else { "minutes" };
        let error = Some(format!("Too many wrong passwords. Try again in {minutes} {unit}."));
        let view = LoginView { error, ..login_view(&app, &return_to, &login) };
        let headers = [(RETRY_AFTER, HeaderValue::from(seconds))];
        let reason = Some("wrong passwords");
        let mut page = (headers, html(StatusCode::TOO_MANY_REQUESTS, &view)).into_response();
        page.extensions_mut().insert(Refusal { code: ErrorCode::RateLimited, reason });
        return Ok(page);
    }
    let user = app.store.user_by_login(counted).await?;
    let phc = user.as_ref().and_then(|user| user.password.clone());
    let right = passwords.verify(form.password, phc).await?;
    let Some(user) = user.filter(|_| right) else {
        let error = Some("Login and password do not fit together.".to_owned());
        let view = LoginView { error, ..login_view(&app, &return_to, &login) };
        return Ok(html(StatusCode::FORBIDDEN, &view));
    };
    app.sign_in.guesses.right(counted, visitor.address);
    let cookie = sign_in::start(&app, &visitor.headers, &user.id).await?;
    Ok(([(SET_COOKIE, cookie)], see_other(return_to.as_str())).into_response())
}

/// `GET /setup`
pub(crate) async fn setup_page(
    State(app): State<App>,
    _: Visitor,
    Query(query): Query<SetupQuery>,
) -> Result<Response> {
    passwords(&app)?;
    let now = app.clock.now();
    if !app.store.setup_code(&secret::digest(&query.code), now).await? {
        return Err(setup_over(&app).await);
    }
    let ticket = app.sign_in.tickets.issue(&SetupForm { code: query.code }, now);
    let errors = SetupErrors::default();
    Ok(html(StatusCode::OK, &SetupView { ticket: &ticket, login: "", name: "", errors }))
}

/// `POST /setup`
pub(crate) async fn set_up(
    State(app): State<App>,
    visitor: Visitor,
    Posted(form): Posted<SetupFields>,
) -> Result<Response> {
    let passwords = passwords(&app)?;
    let now = app.clock.now();
    let ticket = app.sign_in.tickets.read::<SetupForm>(&form.ticket, now).ok_or_else(stale_form)?;
    let code = secret::digest(&ticket.code);
    if !app.store.setup_code(&code, now).await? {
        return Err(setup_over(&app).await);
    }

    let login = form.login.trim();
    let name = form.name.trim();
    let refuse = |errors| {
        let view = SetupView { ticket: &form.ticket, login, name, errors };
        html(StatusCode::BAD_REQUEST, &view)
    };
    let errors = check_fields(&form, login, name);
    if errors.any() {
        return Ok(refuse(errors));
    }
    let user = NewUser {
        id: secret::user_id(),
        identity: format!("local:{login}"),
        login: login.to_owned(),
        name: if name.is_empty() { login.to_owned() } else { clean(name, limits::MAX_NAME) },
        password: Some(passwords.hash(form.password.clone()).await?),
        now,
    };
    match app.store.create_local_user(user, &code).await? {
        NewAccount::Created(user) => {
            tracing::info!(user = user.id.as_str(), "the first account was made");
            let cookie = sign_in::start(&app, &visitor.headers, &user.id).await?;
            Ok(([(SET_COOKIE, cookie)], see_other("/")).into_response())
        }
        NewAccount::CodeInvalid => Err(setup_over(&app).await),
        NewAccount::LoginTaken => Ok(refuse(SetupErrors {
            login: Some("This login is taken.".to_owned()),
            ..SetupErrors::default()
        })),
    }
}

impl SetupErrors {
    fn any(&self) -> bool {
        self.login.is_some()
            || self.name.is_some()
            || self.password.is_some()
            || self.again.is_some()
    }
}

fn check_fields(form: &SetupFields, login: &str, name: &str) -> SetupErrors {
    let sentence = |rule: &str| format!("It {}.", rule.trim_end_matches('.'));
    SetupErrors {
        login: check_login(login).err().map(|rule| sentence(rule.0)),
        name: meshwire_protocol::check_printable(name, limits::MAX_NAME)
            .err()
            .map(|rule| sentence(rule.0)),
        password: check_password(&form.password, login).err(),
        again: (form.password != form.password_again)
            .then_some("The two passwords are not the same."),
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

fn github_button(return_to: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("return_to", return_to);
    format!("/auth/github?{}", query.finish())
}

fn passwords(app: &App) -> Result<&Passwords> {
    match &app.sign_in.accounts {
        Accounts::Local(passwords) => Ok(passwords),
        Accounts::Github(_) => Err(ApiError::new(
            ErrorCode::NotFound,
            "This server has no passwords: people sign in with GitHub.",
        )
        .hint("Sign in from the start page.")),
    }
}

/// A set-up link that does not work, or not any more.
async fn setup_over(app: &App) -> ApiError {
    match app.store.any_user().await {
        Err(error) => error.into(),
        Ok(true) => ApiError::new(
            ErrorCode::InvalidGrant,
            "This set-up link has been used: the first account is there.",
        )
        .hint("Sign in with it at `/login`."),
        Ok(false) => ApiError::new(
            ErrorCode::InvalidGrant,
            "This set-up link is not valid, or not any more: it works once, for 24 hours, and ends when \
             the server is started again.",
        )
        .hint("Restart `meshwire-server`: it prints a new link."),
    }
}
