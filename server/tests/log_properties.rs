//! Any story of a mesh leads to what a simple model says: sends, polls, acknowledgements, rewinds, comings
//! and goings, pauses, retention, restarts and clocks that are set, in any order.
//!
//! They are told to every engine. The stories are the same in every run. `MESHWIRE_TEST_LONG=1` tells more and longer ones, other ones each
//! time. What fails is told as the shortest story that fails.

#[path = "support/dynamodb.rs"]
mod dynamodb;
#[path = "log_properties/engine.rs"]
mod engine;
#[path = "log_properties/model.rs"]
mod model;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "log_properties/steps.rs"]
mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::join_all;
use meshwire_protocol::{ErrorCode, From, InboxPage, MeshId, SendMessage, TokenId, Via};
use meshwire_server::app::App;
use meshwire_server::clock::Clock;
use meshwire_server::mesh::{Poll, Speaker, Step as Reading};
use meshwire_server::secret;
use meshwire_server::store::{AgentChange, MeshChange, NewUser, Roster, UserRow};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use crate::engine::Engine;
use crate::model::{Agent, DAY, Model, id};
use crate::steps::{Draft, Place, Step, To};

/// One mesh on a server without sockets, and what should be in it.
struct World {
    engine: Arc<Engine>,
    clock: Arc<Clock>,
    app: App,
    user: UserRow,
    token: TokenId,
    mesh: MeshId,
    model: Model,
}

impl World {
    async fn new(engine: &Arc<Engine>) -> Result<Self> {
        let clock = Arc::new(Clock::default());
        // No story gets as far as the machine's clock, beyond which ids do not follow.
        clock.shift(-1_000 * DAY);
        let app = engine.open(&clock).await?;
        let user = NewUser {
            id: secret::user_id(),
            identity: "github:1".to_owned(),
            login: "ada".to_owned(),
            name: "Ada".to_owned(),
            password: None,
            now: clock.now(),
        };
        let user = app.store.sign_in_github(user).await?;
        let mesh = app.meshes.create(&user, "ours".to_owned()).await?.mesh.id.clone();
        let (token, model) = (secret::token_id(), Model::default());
        Ok(Self { engine: Arc::clone(engine), clock, app, user, token, mesh, model })
    }

    fn speaker(&self) -> Speaker {
        Speaker {
            user: self.user.id.clone(),
            login: self.user.login.clone(),
            token: self.token.clone(),
            via: Via::Account,
            agent: None,
            expires_at: None,
            revocations: self.app.meshes.revocations(),
        }
    }

    async fn roster(&self) -> Result<Arc<Roster>> {
        self.app.meshes.roster(&self.mesh).await?.context("the mesh is there")
    }

    async fn take(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Send(drafts) => self.send(drafts).await?,
            Step::Poll { agent, after, ack, limit } => {
                self.poll(*agent, *after, *ack, *limit).await?;
            }
            Step::PutCursor { agent, to } => self.put_cursor(*agent, *to).await?,
            Step::Register(name) => self.register(*name).await?,
            Step::Remove(name) => {
                if let Some(agent) = self.model.agents.remove(name) {
                    self.app.meshes.remove_agent(&self.mesh, &agent.id).await?;
                }
            }
            Step::Pause(paused) => {
                let change = MeshChange { name: None, paused: Some(*paused) };
                self.app.meshes.update(&self.mesh, change).await?;
                self.model.paused = *paused;
            }
            Step::Receipts(message) => self.receipts(*message).await?,
            Step::History(limit) => self.history(*limit).await?,
            Step::Trim => self.trim().await?,
            Step::TrimPoint => {
                let to = self.model.trim_point(self.clock.now());
                let trimmed = self.app.store.trim(&self.mesh, id(to)).await?;
                let trimmed = trimmed.context("the mesh is there")?.get();
                self.trimmed(trimmed, [to, to])?;
            }
            Step::Clock(by) => self.clock.shift(*by),
            Step::Restart { crash } => self.restart(*crash).await?,
        }
        self.check_numbers().await
    }

    async fn send(&mut self, drafts: &[Draft]) -> Result<()> {
        let speaker = self.speaker();
        let roster = self.app.meshes.roster(&self.mesh).await?.context("the mesh is there")?;
        let began = self.clock.now();
        let sends = drafts.iter().map(async |draft| {
            let request = SendMessage {
                content: draft.content(),
                to: match draft.to {
                    To::All => None,
                    To::One(to) => Some(name(to)),
                },
                from: Some(name(draft.from)),
                ..SendMessage::default()
            };
            let key = draft.key.map(|key| key.to_string());
            let sent = self.app.meshes.send(&roster, &speaker, request, key.as_deref()).await;
            let outcome = sent
                .map(|sent| (sent.stored.message.id.get(), sent.repeated))
                .map_err(|error| error.code());
            (draft.clone(), outcome)
        });
        let all = join_all(sends).await;
        self.model.sent(all, began, self.clock.now())
    }

    fn place(&self, place: Place) -> Option<From> {
        Some(match place {
            Place::Kept => return None,
            Place::Earliest => From::Earliest,
            Place::Latest => From::Latest,
            Place::Zero => From::Id(id(0)),
            Place::Beyond => From::Id(id(self.model.head + 9 * DAY)),
            Place::Message(message, beside) => {
                From::Id(id((self.model.id_of(message) + beside).max(0)))
            }
        })
    }

    async fn read(
        &self,
        agent: &Agent,
        after: Option<From>,
        ack: bool,
        limit: u32,
    ) -> Result<InboxPage> {
        let epoch = self.roster().await?.epoch;
        let poll = Poll { epoch, after, ack, limit, wait: Duration::ZERO };
        let speaker = self.speaker();
        let mut reader = self.app.meshes.reader(&self.mesh, &agent.id, &speaker, poll).await?;
        match reader.next().await? {
            Reading::Page(page) => Ok(page),
            Reading::Ended => anyhow::bail!("nothing has ended"),
        }
    }

    async fn poll(&mut self, name: usize, after: Place, ack: bool, limit: u32) -> Result<()> {
        let Some(agent) = self.model.agents.get(&name) else { return Ok(()) };
        let (after, now) = (self.place(after), self.clock.now());
        let page = self.read(agent, after, ack, limit).await?;
        self.model.polled(name, after, ack, usize::try_from(limit)?, now, &page)
    }

    async fn put_cursor(&mut self, name: usize, to: Place) -> Result<()> {
        let to = self.place(to).unwrap_or(From::Latest);
        let (head, trimmed) = (self.model.head, self.model.trimmed);
        let Some(agent) = self.model.agents.get_mut(&name) else { return Ok(()) };
        let moved = self.app.meshes.set_cursor(&self.mesh, &agent.id, to).await?;
        agent.cursor = match to {
            From::Earliest => trimmed,
            From::Latest => head,
            From::Id(id) => id.get().min(head),
        };
        ensure!(moved.get() == agent.cursor, "put to {moved} and not to {}", agent.cursor);
        Ok(())
    }

    async fn register(&mut self, number: usize) -> Result<()> {
        let now = self.clock.now();
        let fields = AgentChange::default();
        let (row, new) =
            self.app.meshes.register(&self.mesh, &self.user.id, name(number), fields).await?;
        if let Some(agent) = self.model.agents.get(&number) {
            ensure!(!new && row.id == agent.id, "it was there");
            return Ok(());
        }
        let head = self.model.head;
        ensure!(new && row.start.get() == head, "it starts at the head {head}: {row:?}");
        let (handed, read_at) = ((head, head), (now, now));
        let agent = Agent { id: row.id, start: head, cursor: head, handed, read_at };
        self.model.agents.insert(number, agent);
        Ok(())
    }

    async fn receipts(&mut self, message: usize) -> Result<()> {
        let wanted = self.model.id_of(message);
        let roster = self.roster().await?;
        let visible = roster.visible_to(&self.user.id, None);
        let found = match self.app.meshes.receipts(&roster, &visible, id(wanted)).await {
            Ok(shown) => {
                let deliveries = shown.deliveries.into_iter();
                let mut found: Vec<_> = deliveries.map(|one| (one.agent_id, one.state)).collect();
                found.sort_by(|(a, _), (b, _)| a.cmp(b));
                Some(found)
            }
            Err(error) => {
                ensure!(error.code() == ErrorCode::MessageNotFound, "{error}");
                None
            }
        };
        let expected = self.model.receipts(wanted);
        ensure!(found == expected, "receipts of {wanted}: {found:?} and not {expected:?}");
        Ok(())
    }

    async fn history(&mut self, limit: u32) -> Result<()> {
        let visible = self.roster().await?.visible_to(&self.user.id, None);
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = self.app.meshes.history(&self.mesh, &visible, before, limit).await?;
            ensure!(page.messages.len() <= usize::try_from(limit)?, "a page is too long");
            found.extend(page.messages.into_iter().map(|one| one.message));
            before = page.before;
            if before.is_none() {
                break;
            }
        }
        let found: Vec<_> = found.iter().map(|one| (one.id.get(), one.content.as_str())).collect();
        let expected: Vec<_> =
            self.model.shown().rev().map(|entry| (entry.id, entry.content.as_str())).collect();
        ensure!(found == expected, "history: {found:?} and not {expected:?}");
        Ok(())
    }

    async fn trim(&mut self) -> Result<()> {
        let began = self.clock.now();
        self.app.meshes.trim_all().await;
        self.model.flushed();
        let expected = [began, self.clock.now()].map(|now| self.model.trim_point(now));
        let head = self.app.store.head(&self.mesh).await?.context("the mesh is there")?;
        self.trimmed(head.trimmed.get(), expected)
    }

    /// The trim point has moved, to one of two places; or, where messages lie in batches, to an end of one before.
    fn trimmed(&mut self, to: i64, expected: [i64; 2]) -> Result<()> {
        let fits = if self.engine.trims_batches() {
            let is_message = self.model.log.iter().any(|entry| entry.id == to);
            to <= expected[1]
                && (to == self.model.trimmed || (to > self.model.trimmed && is_message))
        } else {
            expected.contains(&to)
        };
        ensure!(fits, "trimmed to {to} and not to {expected:?}");
        self.model.trimmed = to;
        Ok(())
    }

    async fn restart(&mut self, crash: bool) -> Result<()> {
        if crash {
            self.model.crashed();
        } else {
            self.app.meshes.flush().await;
            self.model.flushed();
        }
        self.app.store.close().await;
        self.app = self.engine.open(&self.clock).await?;
        Ok(())
    }

    /// The head, the trim point, and all cursors (I8: none moves but as the model says).
    async fn check_numbers(&self) -> Result<()> {
        let head = self.app.store.head(&self.mesh).await?.context("the mesh is there")?;
        ensure!((head.head.get(), head.trimmed.get()) == (self.model.head, self.model.trimmed));
        for agent in self.model.agents.values() {
            let position = self.app.store.position(&self.mesh, &agent.id).await?;
            let position = position.context("the agent is there")?;
            ensure!(
                (position.start.get(), position.cursor.get()) == (agent.start, agent.cursor),
                "{position:?} and not {agent:?}"
            );
        }
        Ok(())
    }

    /// Everyone reads all that is kept, on pages of some size.
    async fn read_all(&mut self) -> Result<()> {
        let names: BTreeMap<usize, Agent> = self.model.agents.clone().into_iter().collect();
        for (name, agent) in names {
            let (mut after, mut more) = (Some(From::Earliest), true);
            while more {
                let now = self.clock.now();
                let page = self.read(&agent, after, false, 3).await?;
                self.model.polled(name, after, false, 3, now, &page)?;
                (after, more) = (Some(From::Id(page.cursor)), page.more);
            }
        }
        self.history(4).await
    }
}

fn name(number: usize) -> String {
    format!("agent-{number}")
}

async fn tell(engine: &Arc<Engine>, story: &[Step]) -> Result<()> {
    let mut world = World::new(engine).await?;
    let mut told = Ok(());
    for (number, step) in story.iter().enumerate() {
        told = world.take(step).await.with_context(|| format!("step {number}, {step:?}"));
        if told.is_err() {
            break;
        }
    }
    if told.is_ok() {
        told = world.read_all().await.context("reading all in the end");
    }
    world.app.meshes.delete(&world.mesh).await?;
    world.app.store.close().await;
    told
}

fn any_story_goes_as_a_simple_model_says(engine: Engine, short: u32, long: u32) {
    let (cases, longest, rng_seed) = if std::env::var_os("MESHWIRE_TEST_LONG").is_some() {
        (long, 100, RngSeed::Random)
    } else {
        (short, 60, RngSeed::Fixed(1))
    };
    let config = Config { cases, rng_seed, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let engine = Arc::new(engine);
    let outcome = TestRunner::new(config).run(&steps::story(longest), |story| {
        runtime
            .block_on(tell(&engine, &story))
            .map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, story)) => {
            let steps: Vec<String> = story.iter().map(|step| format!("  {step:?}")).collect();
            panic!("{why}\nin the story\n{}", steps.join("\n"));
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

#[test]
fn any_story_of_a_mesh_on_sqlite_goes_as_a_simple_model_says() {
    any_story_goes_as_a_simple_model_says(Engine::sqlite(), 300, 3_000);
}

#[test]
fn any_story_of_a_mesh_on_postgres_goes_as_a_simple_model_says() {
    any_story_goes_as_a_simple_model_says(Engine::postgres(), 40, 1_000);
}

#[test]
fn any_story_of_a_mesh_on_dynamodb_goes_as_a_simple_model_says() {
    any_story_goes_as_a_simple_model_says(Engine::dynamodb(), 30, 500);
}

/// The model is not so lenient that it takes anything.
#[test]
fn the_model_notices_what_is_lost_or_doubled() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let send = Step::Send(vec![Draft { from: 0, to: To::All, key: None, text: 0 }]);
    for loss in [true, false] {
        let noticed = runtime.block_on(async {
            let mut world = World::new(&Arc::new(Engine::sqlite())).await?;
            for step in [Step::Register(0), Step::Register(1), send.clone(), send.clone()] {
                world.take(&step).await?;
            }
            let entry = world.model.log.remove(0);
            if !loss {
                world.model.log.splice(0..0, [entry.clone(), entry]);
            }
            let noticed = world.read_all().await.is_err();
            world.app.store.close().await;
            Ok::<bool, anyhow::Error>(noticed)
        });
        assert!(noticed.expect("the store answers"), "loss: {loss}");
    }
}
