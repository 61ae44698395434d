//! Says whether what was sent and what was read fit together.
//!
//! Every attempt and every answer draws a ticket from one counter, so that "before" is known across tasks.
//! The rules have the numbers under which the project speaks of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use meshwire_protocol::MessageId;
use meshwire_server::store::{Stored, Stream};

/// What happened before what.
#[derive(Default)]
pub(crate) struct Tickets(AtomicU64);

impl Tickets {
    pub(crate) fn draw(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// A message that somebody tried to send. Its text is `sender-counter`.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) sender: usize,
    pub(crate) counter: usize,
    pub(crate) stream: Stream,
    /// Drawn before the store was asked.
    pub(crate) asked: u64,
    /// Drawn after the store had answered, with the id it gave.
    pub(crate) answered: Option<(u64, MessageId)>,
}

impl Attempt {
    pub(crate) fn text(sender: usize, counter: usize) -> String {
        format!("{sender}-{counter}")
    }
}

/// What one reader saw, in the order in which it saw it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sight {
    pub(crate) streams: Vec<Stream>,
    pub(crate) read: Vec<(MessageId, String)>,
}

impl Sight {
    pub(crate) fn add(&mut self, messages: &[Stored]) {
        let seen = messages.iter().map(|stored| &stored.message);
        self.read.extend(seen.map(|message| (message.id, message.content.clone())));
    }
}

/// Holds all sights against all attempts; the first rule that is broken.
pub(crate) fn check(attempts: &[Attempt], sights: &[Sight]) -> Result<(), String> {
    let by_text: HashMap<String, &Attempt> = attempts
        .iter()
        .map(|attempt| (Attempt::text(attempt.sender, attempt.counter), attempt))
        .collect();
    let mut id_of: HashMap<&str, MessageId> = HashMap::new();
    let mut text_of: HashMap<MessageId, &str> = HashMap::new();
    for (reader, sight) in sights.iter().enumerate() {
        let mut last = MessageId::ZERO;
        for (id, text) in &sight.read {
            let attempt = by_text
                .get(text)
                .filter(|attempt| sight.streams.contains(&attempt.stream))
                .ok_or_else(|| {
                    format!("I2: reader {reader} was shown {text}, which it was not sent")
                })?;
            if *id <= last {
                return Err(format!("I3: reader {reader} was shown {id} after {last}"));
            }
            last = *id;
            let acked = attempt.answered.map_or(*id, |(_, id)| id);
            if *id_of.entry(text).or_insert(acked) != *id {
                return Err(format!("I4: {text} has more than one id, {id} is one of them"));
            }
            if *text_of.entry(*id).or_insert(text) != text {
                return Err(format!("I7: {id} is not the same message for all readers"));
            }
        }
        for attempt in attempts.iter().filter(|attempt| sight.streams.contains(&attempt.stream)) {
            let text = Attempt::text(attempt.sender, attempt.counter);
            if let Some((_, id)) = attempt.answered
                && sight.read.binary_search_by_key(&id, |(id, _)| *id).is_err()
            {
                return Err(format!(
                    "I1: {text} was answered with {id}, and reader {reader} lost it"
                ));
            }
        }
    }
    check_order(attempts)
}

/// The order of the answered ones among themselves.
fn check_order(attempts: &[Attempt]) -> Result<(), String> {
    let mut answered: Vec<(&Attempt, u64, MessageId)> = attempts
        .iter()
        .filter_map(|attempt| attempt.answered.map(|(at, id)| (attempt, at, id)))
        .collect();
    answered.sort_by_key(|(_, _, id)| *id);
    let mut counters: HashMap<usize, usize> = HashMap::new();
    for (attempt, _, id) in &answered {
        let last = counters.insert(attempt.sender, attempt.counter);
        if last.is_some_and(|last| last >= attempt.counter) {
            return Err(format!("I5: {id} of sender {} is out of order", attempt.sender));
        }
    }

    // Walk through real time: whoever asks must get an id above all that were answered before.
    let mut events: Vec<(u64, Option<MessageId>, MessageId)> = Vec::new();
    for (attempt, at, id) in &answered {
        events.push((attempt.asked, None, *id));
        events.push((*at, Some(*id), *id));
    }
    events.sort_by_key(|(ticket, _, _)| *ticket);
    let mut highest = MessageId::ZERO;
    for (_, answer, id) in events {
        match answer {
            Some(answered) => highest = highest.max(answered),
            None if id <= highest => {
                return Err(format!("I6: {id} was asked for after {highest} was answered"));
            }
            None => {}
        }
    }
    Ok(())
}

/// A checker that finds nothing proves nothing.
mod tests {
    use super::*;

    fn attempt(sender: usize, counter: usize, asked: u64, answered: (u64, i64)) -> Attempt {
        let answered = MessageId::new(answered.1).map(|id| (answered.0, id));
        Attempt { sender, counter, stream: Stream::All, asked, answered }
    }

    fn sight(read: &[(i64, &str)]) -> Sight {
        let read = read
            .iter()
            .map(|(id, text)| (MessageId::new(*id).expect("a message id"), (*text).to_owned()));
        Sight { streams: vec![Stream::All], read: read.collect() }
    }

    fn good() -> Vec<Attempt> {
        vec![attempt(0, 0, 0, (1, 10)), attempt(1, 0, 2, (4, 12)), attempt(0, 1, 3, (5, 11))]
    }

    fn rule(attempts: &[Attempt], sights: &[Sight]) -> String {
        let broken = check(attempts, sights).err().unwrap_or_default();
        broken.split(':').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_fits_together_is_accepted() {
        let whole = sight(&[(10, "0-0"), (11, "0-1"), (12, "1-0")]);
        assert_eq!(check(&good(), &[whole.clone(), whole.clone()]), Ok(()));
        let mut unanswered = good();
        unanswered[1].answered = None;
        assert_eq!(check(&unanswered, &[whole]), Ok(()), "it may have been written");
        assert_eq!(check(&unanswered, &[sight(&[(10, "0-0"), (11, "0-1")])]), Ok(()), "or not");
    }

    #[test]
    fn what_is_lost_invented_repeated_or_swapped_is_found() {
        let whole = [(10, "0-0"), (11, "0-1"), (12, "1-0")];
        assert_eq!(rule(&good(), &[sight(&whole[..2])]), "I1");
        assert_eq!(rule(&good(), &[sight(&[(9, "7-7"), whole[0], whole[1], whole[2]])]), "I2");
        assert_eq!(rule(&good(), &[sight(&[whole[1], whole[0], whole[2]])]), "I3");
        assert_eq!(rule(&good(), &[sight(&[whole[0], whole[0], whole[1], whole[2]])]), "I3");
        assert_eq!(rule(&good(), &[sight(&[whole[0], whole[1], whole[2], (13, "0-1")])]), "I4");
        let mut unanswered = good();
        unanswered[1].answered = None;
        let other = sight(&[whole[0], whole[1], (13, "1-0")]);
        assert_eq!(rule(&unanswered, &[sight(&whole), other]), "I4");
        let mut two = unanswered.clone();
        two.push(Attempt { sender: 2, ..unanswered[1].clone() });
        let other = sight(&[whole[0], whole[1], (12, "2-0")]);
        assert_eq!(rule(&two, &[sight(&whole), other]), "I7");
    }

    #[test]
    fn a_sender_out_of_order_and_an_id_behind_its_time_are_found() {
        let late = [attempt(0, 1, 0, (3, 10)), attempt(0, 0, 1, (4, 11))];
        assert_eq!(rule(&late, &[]), "I5");
        let behind = [attempt(0, 0, 0, (1, 11)), attempt(1, 0, 2, (3, 10))];
        assert_eq!(rule(&behind, &[]), "I6");
    }
}
