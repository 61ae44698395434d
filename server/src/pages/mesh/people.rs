//! Who is in a mesh, who is invited, who asks to join.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use meshwire_protocol::{ErrorCode, Role};

use super::invites::{InviteForm, InviteView, MadeInvite};
use super::{Head, OneOf, Tab, Visit};
use crate::access::{Action, PersonInMesh};
use crate::app::App;
use crate::error::{ApiError, Result};
use crate::pages::frame::{Frame, Here};
use crate::pages::visitor::Posted;
use crate::pages::when::When;
use crate::pages::{html, see_other};
use crate::store::{MemberRow, Micros};

#[derive(Template)]
#[template(path = "mesh/people.html")]
struct View<'a> {
    frame: Frame,
    head: Head,
    ticket: String,
    members: Vec<MemberView>,
    /// Who asks to join and who is invited; `None` for those who may not decide that.
    door: Option<Door<'a>>,
}

impl View<'_> {
    /// Whether the viewer may give anyone another role.
    fn sets_roles(&self) -> bool {
        self.members.iter().any(|member| member.may_own)
    }

    /// Whether the viewer may remove anyone, or leave.
    fn removes(&self) -> bool {
        self.members.iter().any(|member| member.may_go)
    }
}

/// What admins see of who may come in.
struct Door<'a> {
    requests: Vec<RequestView>,
    made: Option<MadeInvite>,
    invites: Vec<InviteView>,
    form: &'a InviteForm,
}

struct MemberView {
    login: String,
    name: String,
    role: Role,
    joined: When,
    is_self: bool,
    /// The role that they may be given besides `owner`.
    other_role: Option<Role>,
    may_own: bool,
    /// They may be removed, or leave.
    may_go: bool,
}

struct RequestView {
    login: String,
    name: String,
    asked: When,
}

/// `GET /meshes/{mesh}/people`
pub(super) async fn page(State(app): State<App>, visit: Visit) -> Result<Response> {
    view(&app, &visit, StatusCode::OK, &InviteForm::usual(), None).await
}

/// The page; also with an invite that was just made, or with a form that makes one and holds an error.
pub(super) async fn view(
    app: &App,
    visit: &Visit,
    status: StatusCode,
    form: &InviteForm,
    made: Option<MadeInvite>,
) -> Result<Response> {
    let person = &visit.person;
    let now = app.clock.now();
    let door = if person.may(Action::ListInvites) {
        Some(door(app, person, form, made).await?)
    } else {
        None
    };
    let members = person.roster.members.iter();
    let mut members: Vec<_> = members.map(|member| MemberView::new(member, person, now)).collect();
    // Those who decide come first; the roster has them by login, and the sort is stable.
    members.sort_by_key(|member| std::cmp::Reverse(member.role));
    let view = View {
        frame: Frame::new(app, &visit.visitor, Here::Mesh),
        head: Head::new(app, person, Tab::People).await?,
        ticket: visit.ticket(app),
        members,
        door,
    };
    Ok(html(status, &view))
}

async fn door<'a>(
    app: &App,
    person: &PersonInMesh,
    form: &'a InviteForm,
    made: Option<MadeInvite>,
) -> Result<Door<'a>> {
    let now = app.clock.now();
    let requests = app.meshes.join_requests(person.mesh()).await?;
    let requests = requests.into_iter().map(|request| RequestView {
        login: request.login,
        name: request.name,
        asked: When::new(request.requested_at, now),
    });
    let invites = app.meshes.invites(person.mesh()).await?;
    let new = made.as_ref().map(|made| made.id.as_str());
    let invites = invites.into_iter().map(|invite| {
        let is_new = new == Some(invite.id.as_str());
        InviteView::new(invite, &person.roster, is_new, now)
    });
    Ok(Door { requests: requests.collect(), invites: invites.collect(), made, form })
}

impl MemberView {
    fn new(member: &MemberRow, viewer: &PersonInMesh, now: Micros) -> Self {
        let is_self = member.user == viewer.user.id;
        let sets_roles = viewer.may(Action::ChangeMember) && !is_self;
        Self {
            login: member.login.clone(),
            name: member.name.clone(),
            role: member.role,
            joined: When::new(member.joined_at, now),
            is_self,
            other_role: match member.role {
                Role::Member if sets_roles => Some(Role::Admin),
                Role::Admin if sets_roles => Some(Role::Member),
                _ => None,
            },
            may_own: sets_roles,
            // As `Meshes::remove_member` decides it.
            may_go: member.role != Role::Owner
                && (is_self
                    || viewer.member.role >= Role::Admin && member.role < viewer.member.role),
        }
    }

    /// Whether anything can be done about them.
    fn has_acts(&self) -> bool {
        self.may_go || self.may_own
    }
}

/// `POST /meshes/{mesh}/people/role`; `which` is a login and a role.
pub(super) async fn change(
    State(app): State<App>,
    visit: Visit,
    Posted(form): Posted<OneOf>,
) -> Result<Response> {
    visit.check_ticket(&app, &form.ticket)?;
    let person = &visit.person;
    let (login, role) = form.which.split_once(' ').unwrap_or((&form.which, ""));
    let role = [Role::Member, Role::Admin, Role::Owner].into_iter().find(|it| it.as_str() == role);
    let role = role.ok_or_else(|| ApiError::field("role", "is not one of the roles"))?;
    app.meshes.set_role(person.mesh(), &person.user.id, login, role).await?;
    Ok(see_other(&path(&visit)))
}

/// `POST /meshes/{mesh}/people/remove`; `which` is a login.
pub(super) async fn remove(
    State(app): State<App>,
    visit: Visit,
    Posted(form): Posted<OneOf>,
) -> Result<Response> {
    visit.check_ticket(&app, &form.ticket)?;
    let person = &visit.person;
    let removed = app.meshes.remove_member(person.mesh(), &person.user.id, &form.which).await;
    removed.map_err(|error| match error.code() {
        ErrorCode::OwnerMustStay => error.hint("Hand the mesh over to another member first."),
        ErrorCode::MemberNotFound => error.hint("They may have left already."),
        _ => error,
    })?;
    let left = form.which.eq_ignore_ascii_case(&person.user.login);
    Ok(if left { see_other("/") } else { see_other(&path(&visit)) })
}

/// `POST /meshes/{mesh}/requests`; `which` is `accept` or `refuse`, and a login.
pub(super) async fn decide(
    State(app): State<App>,
    visit: Visit,
    Posted(form): Posted<OneOf>,
) -> Result<Response> {
    visit.check_ticket(&app, &form.ticket)?;
    let person = &visit.person;
    let (accept, login) = match form.which.split_once(' ') {
        Some(("accept", login)) => (true, login),
        Some(("refuse", login)) => (false, login),
        _ => return Err(ApiError::field("which", "says neither to accept nor to refuse")),
    };
    app.meshes.decide(person.mesh(), &person.user.id, login, accept).await?;
    Ok(see_other(&path(&visit)))
}

fn path(visit: &Visit) -> String {
    format!("/meshes/{}/people", visit.person.mesh())
}
