//! What a log should answer, computed in the plainest way.

use std::collections::HashSet;

use meshwire_protocol::{AgentId, MessageId};
use meshwire_server::store::{HistoryPage, LogPage, Stored, Stream};

use crate::fixture::ids;

/// A log in memory.
#[derive(Default)]
pub(crate) struct Model {
    /// Oldest first.
    pub(crate) log: Vec<Stored>,
}

impl Model {
    pub(crate) fn head(&self) -> MessageId {
        self.log.last().map_or(MessageId::ZERO, |stored| stored.message.id)
    }

    pub(crate) fn after(&self, streams: &[Stream], after: MessageId) -> Vec<Stored> {
        let asked =
            |stored: &&Stored| stored.message.id > after && streams.contains(&stored.stream);
        self.log.iter().filter(asked).cloned().collect()
    }

    /// Newest first.
    pub(crate) fn visible_before(&self, agents: &[AgentId], before: MessageId) -> Vec<Stored> {
        let visible = |stored: &&Stored| {
            stored.message.id < before
                && (stored.stream == Stream::All
                    || agents.contains(&stored.message.from_agent_id)
                    || agents.iter().any(|agent| stored.stream == Stream::Agent(agent.clone())))
        };
        self.log.iter().rev().filter(visible).cloned().collect()
    }

    /// Whether a page is one that may be answered: whole up to `seen_to`, and leading on.
    pub(crate) fn check_page(
        &self,
        streams: &[Stream],
        after: MessageId,
        limit: u32,
        page: &LogPage,
    ) {
        let expected = self.after(streams, after);
        assert!(page.messages.len() <= limit as usize, "no longer than asked for");
        assert!(expected.starts_with(&page.messages), "the oldest first, without a hole");
        if page.more {
            assert!(page.seen_to > after, "it leads on");
            let whole = expected.iter().filter(|stored| stored.message.id <= page.seen_to).count();
            assert_eq!(page.messages.len(), whole, "whole up to where it says");
        } else {
            assert_eq!(page.messages.len(), expected.len(), "all there is");
            assert_eq!(page.seen_to, self.head(), "seen to the head");
        }
    }

    /// Whether a page of the history is one that may be answered.
    pub(crate) fn check_history(
        &self,
        agents: &[AgentId],
        before: MessageId,
        limit: u32,
        page: &HistoryPage,
    ) {
        let expected = self.visible_before(agents, before);
        assert!(page.messages.len() <= limit as usize, "no longer than asked for");
        assert!(expected.starts_with(&page.messages), "the newest first, without a hole");
        match page.before {
            None => assert_eq!(page.messages.len(), expected.len(), "all there is"),
            Some(next) => {
                assert!(next < before, "it leads on");
                let shown: HashSet<_> = ids(&page.messages).into_iter().collect();
                let skipped = expected.iter().find(|stored| {
                    stored.message.id >= next && !shown.contains(&stored.message.id)
                });
                assert_eq!(skipped, None, "nothing is passed over");
            }
        }
    }
}
