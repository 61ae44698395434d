//! Where the one-time links of accounts lead: the first account, one that the operator adds, a new password.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse as _, Response};
use meshwire_protocol::{ErrorCode, check_login, limits};
use serde::Deserialize;

use crate::app::App;
use crate::error::{ApiError, Result};
use crate::extract::Query;
use crate::pages::local::passwords;
use crate::pages::visitor::{Posted, Visitor, stale_form};
use crate::pages::{html, see_other};
use crate::secret;
use crate::sign_in::tickets::SetupForm;
use crate::sign_in::{self, Passwords, check_password, clean};
use crate::store::{Digest, LinkPurpose, Micros, NewAccount, NewUser, UserRow};

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupView<'a> {
    purpose: &'a LinkPurpose,
    ticket: &'a str,
    account: AccountView<'a>,
}

/// The fields of a new account, or of one with a new password, as `account_fields.html` shows them.
#[derive(Default)]
pub(crate) struct AccountView<'a> {
    /// The login, and whether it can be chosen.
    pub login: &'a str,
    pub login_is_fixed: bool,
    /// The name; `None`: it is not asked for.
    pub name: Option<&'a str>,
    pub errors: AccountErrors,
}

/// What is wrong, field by field.
#[derive(Default)]
pub(crate) struct AccountErrors {
    pub login: Option<String>,
    pub name: Option<String>,
    pub password: Option<&'static str>,
    pub again: Option<&'static str>,
}

/// The query of such a link.
#[derive(Deserialize)]
pub(crate) struct SetupQuery {
    #[serde(default)]
    code: String,
}

/// The form of an account.
#[derive(Deserialize)]
pub(crate) struct AccountFields {
    #[serde(default)]
    pub login: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub password: String,
    #[serde(default)]
    pub password_again: String,
    #[serde(default)]
    pub ticket: String,
}

/// `GET /setup`
pub(crate) async fn page(
    State(app): State<App>,
    _: Visitor,
    Query(query): Query<SetupQuery>,
) -> Result<Response> {
    passwords(&app)?;
    let purpose = purpose(&app, &secret::digest(&query.code)).await?;
    let ticket = app.sign_in.tickets.issue(&SetupForm { code: query.code }, app.clock.now());
    let account = view(&purpose, "", "", AccountErrors::default());
    Ok(html(StatusCode::OK, &SetupView { purpose: &purpose, ticket: &ticket, account }))
}

/// `POST /setup`
pub(crate) async fn finish(
    State(app): State<App>,
    visitor: Visitor,
    Posted(form): Posted<AccountFields>,
) -> Result<Response> {
    let passwords = passwords(&app)?;
    let now = app.clock.now();
    let ticket = app.sign_in.tickets.read::<SetupForm>(&form.ticket, now).ok_or_else(stale_form)?;
    let link = secret::digest(&ticket.code);
    let purpose = purpose(&app, &link).await?;
    let login = match &purpose {
        LinkPurpose::First => form.login.trim(),
        LinkPurpose::Add(login) | LinkPurpose::Reset(login) => login,
    };
    let refuse = |errors| {
        let account = view(&purpose, login, form.name.trim(), errors);
        let view = SetupView { purpose: &purpose, ticket: &form.ticket, account };
        html(StatusCode::BAD_REQUEST, &view)
    };
    let mut errors = AccountErrors::check(&form, login);
    if let LinkPurpose::Reset(_) = purpose {
        // Neither is asked for, and the login may be one that could not be chosen today.
        errors = AccountErrors { login: None, name: None, ..errors };
    }
    if errors.any() {
        return Ok(refuse(errors));
    }
    if let LinkPurpose::Reset(_) = purpose {
        let password = passwords.hash(form.password.clone()).await?;
        let Some(user) = app.store.reset_password(&link, &password, now).await? else {
            return Err(link_over(&app).await);
        };
        tracing::info!(user.login = user.login, "a password was reset; its sessions are ended");
        return welcome(&app, &visitor, &user).await;
    }
    let user = new_user(passwords, &form, login, now).await?;
    match app.store.create_local_user(user, &link).await? {
        NewAccount::Created(user) => {
            tracing::info!(user.login = user.login, "an account was made by a one-time link");
            welcome(&app, &visitor, &user).await
        }
        NewAccount::CodeInvalid => Err(link_over(&app).await),
        NewAccount::LoginTaken => Ok(refuse(AccountErrors::login_taken())),
    }
}

impl AccountErrors {
    /// Whether there is any.
    pub(crate) fn any(&self) -> bool {
        self.login.is_some()
            || self.name.is_some()
            || self.password.is_some()
            || self.again.is_some()
    }

    /// Looks at every field.
    pub(crate) fn check(form: &AccountFields, login: &str) -> Self {
        let sentence = |rule: &str| format!("It {}.", rule.trim_end_matches('.'));
        let name = form.name.trim();
        Self {
            login: check_login(login).err().map(|rule| sentence(rule.0)),
            name: meshwire_protocol::check_printable(name, limits::MAX_NAME)
                .err()
                .map(|rule| sentence(rule.0)),
            password: check_password(&form.password, login).err(),
            again: (form.password != form.password_again)
                .then_some("The two passwords are not the same."),
        }
    }

    pub(crate) fn login_taken() -> Self {
        Self { login: Some("This login is taken.".to_owned()), ..Self::default() }
    }
}

/// The account that a form asks for, whose fields were checked.
pub(crate) async fn new_user(
    passwords: &Passwords,
    form: &AccountFields,
    login: &str,
    now: Micros,
) -> Result<NewUser> {
    let name = form.name.trim();
    Ok(NewUser {
        id: secret::user_id(),
        identity: format!("local:{login}"),
        login: login.to_owned(),
        name: if name.is_empty() { login.to_owned() } else { clean(name, limits::MAX_NAME) },
        password: Some(passwords.hash(form.password.clone()).await?),
        now,
    })
}

fn view<'a>(
    purpose: &'a LinkPurpose,
    login: &'a str,
    name: &'a str,
    errors: AccountErrors,
) -> AccountView<'a> {
    match purpose {
        LinkPurpose::First => {
            AccountView { login, login_is_fixed: false, name: Some(name), errors }
        }
        LinkPurpose::Add(login) => {
            AccountView { login, login_is_fixed: true, name: Some(name), errors }
        }
        LinkPurpose::Reset(login) => {
            AccountView { login, login_is_fixed: true, name: None, errors }
        }
    }
}

async fn purpose(app: &App, link: &Digest) -> Result<LinkPurpose> {
    match app.store.account_link(link, app.clock.now()).await? {
        Some(purpose) => Ok(purpose),
        None => Err(link_over(app).await),
    }
}

async fn welcome(app: &App, visitor: &Visitor, user: &UserRow) -> Result<Response> {
    let cookie = sign_in::start(app, &visitor.headers, &user.id).await?;
    Ok(([(SET_COOKIE, cookie)], see_other("/")).into_response())
}

/// A link that does not work, or not any more.
async fn link_over(app: &App) -> ApiError {
    match app.store.any_user().await {
        Err(error) => error.into(),
        Ok(true) => ApiError::new(
            ErrorCode::InvalidGrant,
            "This link is not valid, or not any more: it works once, for 24 hours, and ends when a newer one \
             is made.",
        )
        .hint("Sign in at `/login`, or ask whoever runs this server for a new link."),
        Ok(false) => ApiError::new(
            ErrorCode::InvalidGrant,
            "This set-up link is not valid, or not any more: it works once, for 24 hours, and ends when \
             the server is started again.",
        )
        .hint("Restart `meshwire-server`: it prints a new link."),
    }
}
