//! The tokens of a person: a list, a form that makes one, and their end.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use meshwire_protocol::{AgentKind, CreateToken, ErrorCode, MeshId, Scope, TokenId, mask_token};
use serde::Deserialize;

use crate::app::App;
use crate::error::{ApiError, Result};
use crate::extract::Query;
use crate::pages::frame::{Frame, Here};
use crate::pages::visitor::{Posted, Visitor, check_session_ticket, session_ticket, stale_form};
use crate::pages::when::When;
use crate::pages::{html, see_other};
use crate::secret;
use crate::sign_in::tickets::TokenForm;
use crate::store::{Micros, Roster, TokenRow, UserRow};
use crate::tokens::{self, Grantor};

const PATH: &str = "/account/tokens";
/// Most tokens on a page, which shall stay below 100 KB.
const LISTED: usize = 30;

/// What a new token may do when nothing else is chosen.
const USUAL_SCOPES: [Scope; 2] = [Scope::Read, Scope::Send];
/// How long it lives when nothing else is chosen, in days.
const USUAL_DAYS: &str = "90";
/// The lifetimes to choose from; without days: for ever.
const LIFETIMES: [(&str, &str); 5] =
    [("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "A year"), ("", "Never")];

#[derive(Template)]
#[template(path = "tokens.html")]
struct View<'a> {
    frame: Frame,
    ticket: String,
    made: Option<Made>,
    tokens: Vec<Shown>,
    /// How many come before those, and how many there are.
    first: usize,
    all: usize,
    form: FormView<'a>,
}

/// A token that was just made: the only page that shows it.
struct Made {
    name: String,
    secret: String,
    url: String,
    command: String,
}

/// A token in the list.
struct Shown {
    id: TokenId,
    name: String,
    masked: String,
    scopes: String,
    bound_to: String,
    created: When,
    used: Option<When>,
    expires: Option<When>,
    is_new: bool,
}

struct FormView<'a> {
    ticket: String,
    fields: &'a Fields,
    scopes: Vec<ScopeChoice>,
    meshes: Vec<MeshChoice>,
    lifetimes: Vec<Lifetime>,
    errors: Errors,
}

struct ScopeChoice {
    name: &'static str,
    meaning: &'static str,
    checked: bool,
}

struct MeshChoice {
    name: String,
    value: String,
    chosen: bool,
    agents: Vec<AgentChoice>,
}

struct AgentChoice {
    name: String,
    value: String,
    chosen: bool,
}

struct Lifetime {
    days: &'static str,
    name: &'static str,
    chosen: bool,
}

/// What is wrong with the form.
#[derive(Default)]
struct Errors {
    general: Option<String>,
    name: Option<String>,
    scopes: Option<String>,
    binding: Option<String>,
    expires: Option<String>,
}

/// The form as it was filled in.
#[derive(Deserialize, Default)]
pub(crate) struct Fields {
    #[serde(default)]
    ticket: String,
    #[serde(default)]
    name: String,
    read: Option<String>,
    send: Option<String>,
    agents: Option<String>,
    admin: Option<String>,
    /// Empty, `MESH`, or `MESH/AGENT`. Our form always has this and the next one: what a program leaves out shall not
    /// make a token of the whole account for ever.
    #[serde(rename = "for")]
    bound_to: Option<String>,
    /// Days, or empty.
    expires: Option<String>,
}

/// The query of the page.
#[derive(Deserialize)]
pub(crate) struct ListQuery {
    /// How many tokens to leave out at the start of the list.
    first: Option<String>,
}

/// The form that revokes a token.
#[derive(Deserialize)]
pub(crate) struct RevokeForm {
    #[serde(default)]
    ticket: String,
}

/// `GET /account/tokens`
pub(crate) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query<ListQuery>,
) -> Result<Response> {
    let Some((_, user)) = &visitor.session else {
        return Ok(see_other(&format!("/login?return_to={PATH}")));
    };
    let rosters = app.meshes.of_user(&user.id).await?;
    let first = query.first.and_then(|first| first.parse().ok()).unwrap_or(0);
    view(&app, &visitor, &rosters, first, &Fields::usual(), Errors::default(), None).await
}

/// `POST /account/tokens`: the answer is the one page that shows the token. Sent again, the form makes none.
pub(crate) async fn create(
    State(app): State<App>,
    visitor: Visitor,
    Posted(fields): Posted<Fields>,
) -> Result<Response> {
    let (session, user) = visitor.signed_in()?;
    let form = app
        .sign_in
        .tickets
        .read::<TokenForm>(&fields.ticket, app.clock.now())
        .filter(|form| form.session == session.id)
        .ok_or_else(stale_form)?;
    let made = match fields.request() {
        Ok(request) => tokens::create(&app, Grantor::person(&user.id), form.id, request).await,
        Err(error) => Err(error),
    };
    let rosters = app.meshes.of_user(&user.id).await?;
    match made {
        Ok((row, secret)) => {
            let made =
                Made { command: example(&row, &rosters), name: row.name, secret, url: app.url("") };
            let fields = Fields::usual();
            let made = Some((row.id, made));
            view(&app, &visitor, &rosters, 0, &fields, Errors::default(), made).await
        }
        Err(error) => {
            let errors = Errors::of(error)?;
            view(&app, &visitor, &rosters, 0, &fields, errors, None).await
        }
    }
}

/// `POST /account/tokens/{id}/revoke`
pub(crate) async fn revoke(
    State(app): State<App>,
    Path(id): Path<String>,
    visitor: Visitor,
    Posted(form): Posted<RevokeForm>,
) -> Result<Response> {
    let (session, user) = visitor.signed_in()?;
    check_session_ticket(&app, session, &form.ticket)?;
    tokens::revoke(&app, &user.id, &id).await.map_err(|error| match error.code() {
        ErrorCode::TokenNotFound => error.hint("It may have ended already: see your tokens."),
        _ => error,
    })?;
    Ok(see_other(PATH))
}

async fn view(
    app: &App,
    visitor: &Visitor,
    rosters: &[Arc<Roster>],
    first: usize,
    fields: &Fields,
    errors: Errors,
    made: Option<(TokenId, Made)>,
) -> Result<Response> {
    let (session, user) = visitor.signed_in()?;
    let now = app.clock.now();
    let rows = app.store.tokens(&user.id, now).await?;
    let (new, made) = made.unzip();
    let status = if errors.any() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let form = TokenForm { session: session.id.clone(), id: secret::token_id() };
    let view = View {
        frame: Frame::new(app, visitor, Here::Tokens),
        ticket: session_ticket(app, session),
        made,
        all: rows.len(),
        first,
        tokens: rows
            .into_iter()
            .skip(first)
            .take(LISTED)
            .map(|row| Shown::new(row, rosters, new.as_ref(), now))
            .collect(),
        form: FormView {
            ticket: app.sign_in.tickets.issue(&form, now),
            scopes: fields.scope_choices(),
            meshes: rosters.iter().map(|roster| fields.mesh_choice(roster, user)).collect(),
            lifetimes: LIFETIMES
                .map(|(days, name)| Lifetime {
                    days,
                    name,
                    chosen: Some(days) == fields.expires.as_deref(),
                })
                .into(),
            fields,
            errors,
        },
    };
    Ok(html(status, &view))
}

impl View<'_> {
    /// Where the list goes on, if it does.
    fn next(&self) -> Option<usize> {
        Some(self.first + LISTED).filter(|next| *next < self.all)
    }
}

impl Fields {
    /// The form before anything was chosen.
    fn usual() -> Self {
        let on = |scope| USUAL_SCOPES.contains(&scope).then(|| "on".to_owned());
        Self {
            read: on(Scope::Read),
            send: on(Scope::Send),
            agents: on(Scope::Agents),
            admin: on(Scope::Admin),
            expires: Some(USUAL_DAYS.to_owned()),
            ..Self::default()
        }
    }

    fn has(&self, scope: Scope) -> bool {
        match scope {
            Scope::Read => &self.read,
            Scope::Send => &self.send,
            Scope::Agents => &self.agents,
            Scope::Admin => &self.admin,
        }
        .is_some()
    }

    fn scope_choices(&self) -> Vec<ScopeChoice> {
        let choice = |scope: Scope, meaning| ScopeChoice {
            name: scope.as_str(),
            meaning,
            checked: self.has(scope),
        };
        vec![
            choice(Scope::Read, "see meshes, agents and messages, and listen"),
            choice(Scope::Send, "send messages"),
            choice(Scope::Agents, "register, change and remove agents, and join meshes"),
            choice(Scope::Admin, "make and change meshes, and, for the whole account, tokens"),
        ]
    }

    fn mesh_choice(&self, roster: &Roster, user: &UserRow) -> MeshChoice {
        let mesh = roster.mesh.id.as_str();
        let own = roster.agents.iter();
        let own = own.filter(|agent| agent.user == user.id && agent.kind == AgentKind::Agent);
        MeshChoice {
            name: roster.mesh.name.clone(),
            value: mesh.to_owned(),
            chosen: self.bound_to.as_deref() == Some(mesh),
            agents: own
                .map(|agent| {
                    let value = format!("{mesh}/{}", agent.id);
                    let chosen = self.bound_to.as_ref() == Some(&value);
                    AgentChoice { name: agent.name.clone(), value, chosen }
                })
                .collect(),
        }
    }

    /// What a program would send for this.
    fn request(&self) -> Result<CreateToken> {
        let missing = |field| ApiError::field(field, "is missing");
        let bound_to = self.bound_to.as_deref().ok_or_else(|| missing("for"))?;
        let (mesh, agent) = match bound_to.split_once('/') {
            Some((mesh, agent)) => (Some(mesh), Some(agent)),
            None => (Some(bound_to).filter(|mesh| !mesh.is_empty()), None),
        };
        let days = Some(self.expires.as_deref().ok_or_else(|| missing("expires"))?.trim())
            .filter(|days| !days.is_empty());
        let days = days
            .map(|days| {
                days.parse()
                    .map_err(|_| ApiError::field("expires_in_days", "must be a number of days"))
            })
            .transpose()?;
        Ok(CreateToken {
            name: self.name.trim().to_owned(),
            mesh_id: mesh.map(str::to_owned),
            agent_id: agent.map(str::to_owned),
            scopes: Some(Scope::ALL.into_iter().filter(|scope| self.has(*scope)).collect()),
            expires_in_days: days,
        })
    }
}

impl Errors {
    /// The error beside the field that it is about; given back when it is about none of them.
    fn of(error: ApiError) -> Result<Self> {
        let field = |name: &str| {
            error.field_reason(name).map(|reason| format!("It {}.", reason.trim_end_matches('.')))
        };
        let mut errors = Self {
            name: field("name"),
            scopes: field("scopes").map(|_| "Choose at least one.".to_owned()),
            binding: field("agent_id").or_else(|| field("for")),
            expires: field("expires_in_days").or_else(|| field("expires")),
            general: None,
        };
        match error.code() {
            _ if errors.any() => {}
            ErrorCode::MeshNotFound
            | ErrorCode::AgentNotFound
            | ErrorCode::NotAMember
            | ErrorCode::NotYourAgent => errors.binding = Some(error.detail().to_owned()),
            ErrorCode::LimitReached => {
                errors.general = Some(format!("{} Revoke one first.", error.detail()));
            }
            ErrorCode::InvalidRequest => {
                let hint = error.hint_text().unwrap_or_default();
                errors.general = Some(format!("{} {hint}", error.detail()));
            }
            _ => return Err(error),
        }
        Ok(errors)
    }

    fn any(&self) -> bool {
        [&self.general, &self.name, &self.scopes, &self.binding, &self.expires]
            .into_iter()
            .any(Option::is_some)
    }
}

impl Shown {
    fn new(row: TokenRow, rosters: &[Arc<Roster>], new: Option<&TokenId>, now: Micros) -> Self {
        let scopes: Vec<_> = row.scopes.iter().map(|scope| scope.as_str()).collect();
        let when = |at: Option<Micros>| at.map(|at| When::new(at, now));
        Self {
            is_new: new == Some(&row.id),
            masked: mask_token(&row.suffix),
            scopes: scopes.join(", "),
            bound_to: bound_to(&row, rosters),
            created: When::new(row.created_at, now),
            used: when(row.last_used_at),
            expires: when(row.expires_at),
            id: row.id,
            name: row.name,
        }
    }
}

/// What a token is for, in words.
fn bound_to(row: &TokenRow, rosters: &[Arc<Roster>]) -> String {
    let Some(mesh) = &row.mesh else { return "the whole account".to_owned() };
    let roster = rosters.iter().find(|roster| roster.mesh.id == *mesh);
    let name = roster.map_or(mesh.as_str(), |roster| roster.mesh.name.as_str());
    match &row.agent {
        None => format!("all of the mesh {name}"),
        Some(agent) => {
            let known = roster.and_then(|roster| roster.agent_by_id(agent));
            let agent = known.map_or(agent.as_str(), |agent| agent.name.as_str());
            format!("the agent {agent} in the mesh {name}")
        }
    }
}

/// A first command that the token may run.
fn example(row: &TokenRow, rosters: &[Arc<Roster>]) -> String {
    let mesh = match (&row.mesh, rosters) {
        // The command line finds the mesh by itself.
        (Some(_), _) | (None, [_]) => String::new(),
        (None, rosters) => {
            let first = rosters.first().map(|roster| &roster.mesh.id);
            format!(" --mesh {}", first.map_or("MESH_ID", MeshId::as_str))
        }
    };
    if row.scopes.contains(&Scope::Send) {
        format!("meshwire send{mesh} \"The build is green.\"")
    } else if row.scopes.contains(&Scope::Read) {
        format!("meshwire history{mesh}")
    } else {
        "meshwire whoami".to_owned()
    }
}
