//! What may happen to a mesh, and how it is thought up.

use meshwire_server::store::Micros;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::model::DAY;

/// Names of agents that come and go.
pub(crate) const NAMES: usize = 4;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// All at once.
    Send(Vec<Draft>),
    Poll {
        agent: usize,
        after: Place,
        ack: bool,
        limit: u32,
    },
    PutCursor {
        agent: usize,
        to: Place,
    },
    Register(usize),
    Remove(usize),
    Pause(bool),
    Receipts(usize),
    History(u32),
    Trim,
    /// Only the trim point, as when a pass breaks off: what lies up to it is still in the file.
    TrimPoint,
    Clock(Micros),
    Restart {
        /// What is in memory is lost.
        crash: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) from: usize,
    pub(crate) to: To,
    /// An idempotency key.
    pub(crate) key: Option<u8>,
    pub(crate) text: u8,
}

impl Draft {
    pub(crate) fn content(&self) -> String {
        format!("text {}", self.text)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    All,
    One(usize),
}

/// A place in the log.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Kept,
    Earliest,
    Latest,
    Zero,
    /// Far behind the head.
    Beyond,
    /// A message that there once was, or one place beside it.
    Message(usize, i64),
}

fn name() -> impl Strategy<Value = usize> {
    0..NAMES
}

fn draft() -> impl Strategy<Value = Draft> {
    let to = prop_oneof![Just(To::All), name().prop_map(To::One)];
    let key = option::weighted(0.4, 0..2_u8);
    (name(), to, key, 0..2_u8).prop_map(|(from, to, key, text)| Draft { from, to, key, text })
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        3 => Just(Place::Kept),
        1 => Just(Place::Earliest),
        1 => Just(Place::Latest),
        1 => Just(Place::Zero),
        1 => Just(Place::Beyond),
        6 => (any::<usize>(), -1..=1_i64).prop_map(|(n, beside)| Place::Message(n, beside)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let limit = prop_oneof![1..5_u32, Just(100)];
    let poll = (name(), place(), any::<bool>(), limit)
        .prop_map(|(agent, after, ack, limit)| Step::Poll { agent, after, ack, limit });
    let clock = prop_oneof![
        3 => Just(DAY),
        2 => Just(8 * DAY),
        1 => Just(-DAY),
        1 => Just(61_000_000),
    ];
    prop_oneof![
        10 => vec(draft(), 1..2).prop_map(Step::Send),
        3 => vec(draft(), 2..7).prop_map(Step::Send),
        12 => poll,
        3 => (name(), place()).prop_map(|(agent, to)| Step::PutCursor { agent, to }),
        3 => name().prop_map(Step::Register),
        1 => name().prop_map(Step::Remove),
        1 => any::<bool>().prop_map(Step::Pause),
        2 => any::<usize>().prop_map(Step::Receipts),
        1 => (1..6_u32).prop_map(Step::History),
        4 => Just(Step::Trim),
        2 => Just(Step::TrimPoint),
        5 => clock.prop_map(Step::Clock),
        1 => any::<bool>().prop_map(|crash| Step::Restart { crash }),
    ]
}

/// A story of a mesh in which two agents are at the beginning.
pub(crate) fn story(longest: usize) -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..=longest).prop_map(|mut steps| {
        steps.splice(..0, [Step::Register(0), Step::Register(1)]);
        steps
    })
}
