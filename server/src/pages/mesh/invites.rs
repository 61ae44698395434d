//! Invites, as admins make and withdraw them on the page of the people.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use meshwire_protocol::{CreateInvite, ErrorCode};
use serde::Deserialize;

use super::people;
use super::{OneOf, Visit};
use crate::app::App;
use crate::error::{ApiError, Result};
use crate::mesh::NewInvite;
use crate::pages::join::invite_url;
use crate::pages::see_other;
use crate::pages::visitor::Posted;
use crate::pages::when::When;
use crate::store::{InviteRow, Micros, Roster};

/// How long an invite lasts when nothing else is chosen, in hours.
const USUAL_HOURS: &str = "168";
/// The lifetimes to choose from.
const LIFETIMES: [(&str, &str); 4] =
    [("24", "A day"), ("168", "A week"), ("720", "30 days"), ("8760", "A year")];

/// The form as it was filled in, with what is wrong with it.
#[derive(Deserialize, Default)]
pub(crate) struct InviteForm {
    #[serde(default)]
    ticket: String,
    /// Empty: whoever has the link.
    #[serde(default)]
    pub(super) login: String,
    #[serde(default)]
    hours: String,
    #[serde(default)]
    pub(super) uses: String,
    #[serde(skip)]
    pub(super) errors: InviteErrors,
}

#[derive(Default)]
pub(super) struct InviteErrors {
    pub(super) general: Option<String>,
    pub(super) login: Option<String>,
    pub(super) hours: Option<String>,
    pub(super) uses: Option<String>,
}

pub(super) struct Lifetime {
    pub(super) hours: &'static str,
    pub(super) name: &'static str,
    pub(super) chosen: bool,
}

/// An invite that was just made: the only page that shows its code.
pub(super) struct MadeInvite {
    pub(super) id: String,
    pub(super) login: Option<String>,
    pub(super) url: String,
    pub(super) command: String,
}

/// An invite in the list.
pub(super) struct InviteView {
    pub(super) id: String,
    pub(super) login: Option<String>,
    pub(super) by: String,
    pub(super) uses: u32,
    pub(super) max_uses: u32,
    pub(super) expires: When,
    pub(super) is_over: bool,
    pub(super) is_new: bool,
}

/// `POST /meshes/{mesh}/invites`: the answer is the one page that shows the link.
pub(super) async fn create(
    State(app): State<App>,
    visit: Visit,
    Posted(mut form): Posted<InviteForm>,
) -> Result<Response> {
    visit.check_ticket(&app, &form.ticket)?;
    let person = &visit.person;
    let made = match form.request().and_then(NewInvite::try_from) {
        Ok(new) => app.meshes.invite(person.mesh(), &person.user.id, &new).await,
        Err(error) => Err(error),
    };
    match made {
        Ok((invite, code)) => {
            let url = invite_url(&app, person.mesh(), &code);
            let command = format!("meshwire mesh join '{url}'");
            let made = MadeInvite { id: invite.id, login: invite.login, url, command };
            people::view(&app, &visit, StatusCode::OK, &InviteForm::usual(), Some(made)).await
        }
        Err(error) => {
            form.errors = InviteErrors::of(error)?;
            people::view(&app, &visit, StatusCode::BAD_REQUEST, &form, None).await
        }
    }
}

/// `POST /meshes/{mesh}/invites/withdraw`
pub(super) async fn withdraw(
    State(app): State<App>,
    visit: Visit,
    Posted(form): Posted<OneOf>,
) -> Result<Response> {
    visit.check_ticket(&app, &form.ticket)?;
    let person = &visit.person;
    app.meshes.withdraw_invite(person.mesh(), &person.user.id, &form.which).await?;
    Ok(see_other(&format!("/meshes/{}/people", person.mesh())))
}

impl InviteForm {
    /// The form before anything was chosen.
    pub(super) fn usual() -> Self {
        Self { hours: USUAL_HOURS.to_owned(), uses: "1".to_owned(), ..Self::default() }
    }

    /// What a program would send for this.
    fn request(&self) -> Result<CreateInvite> {
        let number = |field: &str, text: &str| match text.trim() {
            "" => Ok(None),
            text => {
                text.parse().map(Some).map_err(|_| ApiError::field(field, "must be a whole number"))
            }
        };
        let login = Some(self.login.trim().trim_start_matches('@')).filter(|it| !it.is_empty());
        let uses = number("max_uses", &self.uses)?;
        Ok(CreateInvite {
            // One person joins once, whatever number still stands in the form.
            max_uses: uses.filter(|_| login.is_none()),
            login: login.map(str::to_owned),
            expires_in_hours: number("expires_in_hours", &self.hours)?,
        })
    }

    /// The lifetimes to choose from.
    pub(super) fn lifetimes(&self) -> [Lifetime; LIFETIMES.len()] {
        LIFETIMES.map(|(hours, name)| Lifetime { hours, name, chosen: hours == self.hours })
    }
}

impl InviteErrors {
    /// The error beside the field that it is about; given back when it is about none of them.
    fn of(error: ApiError) -> Result<Self> {
        let field = |name: &str| {
            let reason = error.field_reason(name)?;
            Some(format!("It {}.", reason.trim_end_matches('.')))
        };
        let mut errors = Self {
            // The other reason names the login itself.
            login: error.field_reason("login").map(|reason| match reason {
                reason if reason.starts_with("is ") => format!("It {reason}."),
                reason => format!("{reason}."),
            }),
            hours: field("expires_in_hours"),
            uses: field("max_uses"),
            general: None,
        };
        if error.code() == ErrorCode::LimitReached {
            errors.general = Some(format!("{} Withdraw one first.", error.detail()));
        }
        let any = [&errors.login, &errors.hours, &errors.uses, &errors.general];
        if any.into_iter().any(Option::is_some) { Ok(errors) } else { Err(error) }
    }
}

impl InviteView {
    pub(super) fn new(invite: InviteRow, roster: &Roster, is_new: bool, now: Micros) -> Self {
        let by = roster.member(&invite.created_by);
        Self {
            by: by.map_or_else(String::new, |by| by.login.clone()),
            uses: invite.uses,
            max_uses: invite.max_uses,
            is_over: invite.expires_at <= now || invite.uses >= invite.max_uses,
            expires: When::new(invite.expires_at, now),
            is_new,
            id: invite.id,
            login: invite.login,
        }
    }
}
