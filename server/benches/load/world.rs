//! Accounts, meshes and agents, made in the store before a server has it.

use std::path::Path;

use futures_util::StreamExt as _;
use meshwire_protocol::{AgentKind, MeshId, Scope};
use meshwire_server::clock::Clock;
use meshwire_server::secret;
use meshwire_server::settings::Place;
use meshwire_server::store::{
    self, AgentChange, NewAgent, NewMesh, NewUser, Register, Store, TokenMade, TokenRow, UserRow,
};

use crate::settings::Engine;
use crate::{dynamodb, postgres};

/// Acts on the store at the same time.
const AT_ONCE: usize = 64;

/// Where a server is to keep its data.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) engine: Engine,
    pub(crate) place: Place,
    /// The same as `MESHWIRE_STORE` names it.
    pub(crate) setting: String,
}

impl Site {
    /// A new one.
    pub(crate) async fn fresh(engine: Engine, folder: &Path) -> Self {
        let (place, setting) = match engine {
            Engine::Sqlite => {
                let file = folder.join(format!("{:016x}.db", rand::random::<u64>()));
                let setting = format!("sqlite:{}", file.display());
                (Place::Sqlite(file), setting)
            }
            Engine::Postgres => {
                let url = postgres::schema().await;
                (Place::postgres(url.clone()), url)
            }
            Engine::Dynamodb => {
                let table = dynamodb::table();
                let setting = format!("dynamodb:{table}");
                (Place::DynamoDb(table), setting)
            }
        };
        Self { engine, place, setting }
    }
}

/// What is there before anything is measured.
pub(crate) struct World {
    /// Of the whole account.
    pub(crate) token: String,
    pub(crate) meshes: Vec<MeshId>,
}

impl World {
    /// One account with so many meshes, each with so many agents.
    pub(crate) async fn make(site: &Site, meshes: usize, agents: usize) -> Self {
        let store = store::open(&site.place).await.expect("the place can be used");
        let world = Self::fill(&*store, meshes, agents).await;
        store.close().await;
        world
    }

    async fn fill(store: &dyn Store, meshes: usize, agents: usize) -> Self {
        let now = Clock::default().now();
        let user = NewUser {
            id: secret::user_id(),
            identity: "github:1".to_owned(),
            login: "load".to_owned(),
            name: "load".to_owned(),
            password: None,
            now,
        };
        let user = store.sign_in_github(user).await.expect("an account");
        let token = secret::token();
        let row = TokenRow {
            hash: secret::digest(&token),
            id: secret::token_id(),
            suffix: token[33..].to_owned(),
            user: user.id.clone(),
            name: "load".to_owned(),
            scopes: Scope::ALL.to_vec(),
            mesh: None,
            agent: None,
            created_at: now,
            last_used_at: None,
            expires_at: None,
            revoked_at: None,
        };
        assert_eq!(store.create_token(row, 0).await.expect("a token"), TokenMade::Created);
        let made = futures_util::stream::iter(0..meshes).map(|_| mesh(store, &user, agents, now));
        let meshes = made.buffer_unordered(AT_ONCE).collect().await;
        Self { token, meshes }
    }
}

async fn mesh(store: &dyn Store, user: &UserRow, agents: usize, now: i64) -> MeshId {
    let id = secret::mesh_id();
    let owner = user.id.clone();
    let mesh = NewMesh { id: id.clone(), name: "load".to_owned(), owner, created_at: now };
    assert!(store.create_mesh(mesh, 0).await.expect("a mesh"));
    for number in 0..agents {
        let agent = NewAgent {
            mesh: id.clone(),
            id: secret::agent_id(),
            name: agent_name(number),
            kind: AgentKind::Agent,
            user: user.id.clone(),
            fields: AgentChange::default(),
            now,
        };
        let made = store.register_agent(agent, 0).await.expect("an agent");
        assert!(matches!(made, Register::Created(_)), "{made:?}");
    }
    id
}

pub(crate) fn agent_name(number: usize) -> String {
    format!("agent-{number}")
}
