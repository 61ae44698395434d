//! Says whether what was sent and what was read fit together.
//!
//! Every attempt and every answer draws a ticket from one counter, so that "before" is known across tasks. `Stream`,
//! which says whom a message is for, is that of the root of the test: the store's, or one of its own.
//! The rules have the numbers under which the project speaks of them.
//!
//! | rule | |
//! |---|---|
//! | I1 | what was answered is read by everyone whom it is for, and stands in the log |
//! | I2 | what is read was sent |
//! | I3 | ids increase |
//! | I4 | a message has one id |
//! | I5 | of one sender, what was sent later has a larger id |
//! | I6 | so has what was sent after another one was answered |
//! | I7 | an id is the same message for everyone |
//! | I8 | a kept cursor moves back only when it is set |
//! | I9 | nothing is handed out, or sent, to who is no member any more |
//! | I10 | nothing is handed out that is not in the log for good |

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use meshwire_protocol::MessageId;

use super::Stream;

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

/// What became known of the kept cursor of a reader.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cursor {
    /// An acknowledgement was answered.
    Acknowledged(MessageId),
    /// It was set, which may move it back.
    Set(MessageId),
    /// It was found here.
    Kept(MessageId),
}

/// What one reader saw, in the order in which it saw it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sight {
    pub(crate) streams: Vec<Stream>,
    pub(crate) read: Vec<(MessageId, String)>,
    /// What was shown, and is to come again, since the reader has begun anew from its kept cursor.
    withdrawn: Vec<(MessageId, String)>,
    pub(crate) cursors: Vec<Cursor>,
    /// Drawn when the end of its membership had been answered.
    pub(crate) ended: Option<u64>,
    /// The largest ticket that was drawn before something was asked for that was then handed out.
    asked: u64,
}

impl Sight {
    pub(crate) fn of(streams: Vec<Stream>) -> Self {
        Self { streams, ..Self::default() }
    }

    pub(crate) fn saw(&mut self, id: MessageId, text: &str) {
        self.read.push((id, text.to_owned()));
    }

    /// Notes that it was handed something that it had asked for at this time.
    pub(crate) fn asked_at(&mut self, ticket: u64) {
        self.asked = self.asked.max(ticket);
    }

    /// Begins anew after `kept`: what was shown beyond it comes again.
    pub(crate) fn begin_anew(&mut self, kept: MessageId) {
        let end = self.read.partition_point(|(id, _)| *id <= kept);
        self.withdrawn.extend(self.read.drain(end..));
    }

    fn is_for(&self, attempt: &Attempt) -> bool {
        self.streams.contains(&attempt.stream)
    }

    fn shown(&self) -> impl Iterator<Item = &(MessageId, String)> {
        self.read.iter().chain(&self.withdrawn)
    }
}

/// Messages that were answered and are not there, by where they should be.
#[derive(Debug, Default)]
struct Lost {
    /// Before all that is there: a beginning was lost.
    prefix: usize,
    middle: usize,
    /// After all that is there: the end was lost.
    postfix: usize,
    first: Option<(String, MessageId)>,
    answered: usize,
}

impl Lost {
    fn of(attempts: &[Attempt], sight: &Sight) -> Self {
        let mut lost = Self::default();
        for attempt in attempts.iter().filter(|attempt| sight.is_for(attempt)) {
            let Some((_, id)) = attempt.answered else { continue };
            lost.answered += 1;
            let Err(place) = sight.read.binary_search_by_key(&id, |(id, _)| *id) else { continue };
            match place {
                0 if !sight.read.is_empty() => lost.prefix += 1,
                end if end == sight.read.len() => lost.postfix += 1,
                _ => lost.middle += 1,
            }
            if lost.first.as_ref().is_none_or(|(_, first)| id < *first) {
                lost.first = Some((Attempt::text(attempt.sender, attempt.counter), id));
            }
        }
        lost
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, middle, postfix, first, answered } = self;
        let lost = prefix + middle + postfix;
        write!(
            f,
            "{lost} of {answered} answered (prefix {prefix}, middle {middle}, postfix {postfix})"
        )?;
        match first {
            Some((text, id)) => write!(f, ", the first is {text} with {id}"),
            None => Ok(()),
        }
    }
}

/// Holds all sights against all attempts, and against the whole log as it is found at the end; the first rule
/// that is broken.
pub(crate) fn check(attempts: &[Attempt], sights: &[Sight], log: &Sight) -> Result<(), String> {
    let by_text: HashMap<String, &Attempt> = attempts
        .iter()
        .map(|attempt| (Attempt::text(attempt.sender, attempt.counter), attempt))
        .collect();
    let mut id_of: HashMap<&str, MessageId> = HashMap::new();
    let mut text_of: HashMap<MessageId, &str> = HashMap::new();
    let named = sights.iter().enumerate().map(|(n, sight)| (format!("reader {n}"), sight));
    for (reader, sight) in named.chain([("the log".to_owned(), log)]) {
        let mut last = MessageId::ZERO;
        for (id, _) in &sight.read {
            if *id <= last {
                return Err(format!("I3: {reader} was shown {id} after {last}"));
            }
            last = *id;
        }
        for (id, text) in sight.shown() {
            let attempt = by_text
                .get(text)
                .filter(|attempt| sight.is_for(attempt))
                .ok_or_else(|| format!("I2: {reader} was shown {text}, which it was not sent"))?;
            let acked = attempt.answered.map_or(*id, |(_, id)| id);
            if *id_of.entry(text).or_insert(acked) != *id {
                return Err(format!("I4: {text} has more than one id, {id} is one of them"));
            }
            if *text_of.entry(*id).or_insert(text) != text {
                return Err(format!("I7: {id} is not the same message for all readers"));
            }
            if sight.ended.is_some_and(|ended| attempt.asked > ended) {
                return Err(format!("I9: {reader} was shown {text}, sent after it was removed"));
            }
        }
        if let Some(ended) = sight.ended {
            if sight.asked > ended {
                return Err(format!("I9: {reader} was handed a page after it was removed"));
            }
        } else {
            let missing = Lost::of(attempts, sight);
            if missing.first.is_some() {
                return Err(format!("I1: {reader} lost {missing}"));
            }
        }
        check_cursors(&sight.cursors).map_err(|why| format!("I8: the cursor of {reader} {why}"))?;
        let not_kept =
            sight.shown().find(|(id, _)| log.read.binary_search_by_key(id, |(id, _)| *id).is_err());
        if let Some((id, text)) = not_kept {
            return Err(format!(
                "I10: {reader} was shown {text} with {id}, which is not in the log"
            ));
        }
    }
    check_order(attempts)
}

fn check_cursors(cursors: &[Cursor]) -> Result<(), String> {
    let mut least = MessageId::ZERO;
    for cursor in cursors {
        match *cursor {
            Cursor::Set(to) => least = to,
            Cursor::Acknowledged(to) => least = least.max(to),
            Cursor::Kept(at) if at < least => return Err(format!("was {least}, and then {at}")),
            Cursor::Kept(at) => least = at,
        }
    }
    Ok(())
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

    fn id(id: i64) -> MessageId {
        MessageId::new(id).expect("a message id")
    }

    fn sight(read: &[(i64, &str)]) -> Sight {
        let mut sight = Sight::of(vec![Stream::All]);
        for (number, text) in read {
            sight.saw(id(*number), text);
        }
        sight
    }

    fn good() -> Vec<Attempt> {
        vec![attempt(0, 0, 0, (1, 10)), attempt(1, 0, 2, (4, 12)), attempt(0, 1, 3, (5, 11))]
    }

    const WHOLE: [(i64, &str); 3] = [(10, "0-0"), (11, "0-1"), (12, "1-0")];

    /// The rule that is broken when readers see this, and the log holds what the last of them saw.
    fn rule(attempts: &[Attempt], sights: &[Sight]) -> String {
        let log = sights.last().map(sight_of).unwrap_or_default();
        broken(check(attempts, sights, &log))
    }

    fn sight_of(other: &Sight) -> Sight {
        Sight { read: other.read.clone(), ..Sight::of(other.streams.clone()) }
    }

    fn broken(outcome: Result<(), String>) -> String {
        outcome.err().unwrap_or_default().split(':').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_fits_together_is_accepted() {
        let whole = sight(&WHOLE);
        assert_eq!(check(&good(), &[whole.clone(), whole.clone()], &whole), Ok(()));
        let mut unanswered = good();
        unanswered[1].answered = None;
        assert_eq!(check(&unanswered, &[], &whole), Ok(()), "it may have been written");
        assert_eq!(check(&unanswered, &[], &sight(&WHOLE[..2])), Ok(()), "or not");
    }

    #[test]
    fn what_is_lost_invented_repeated_or_swapped_is_found() {
        assert_eq!(rule(&good(), &[sight(&[(9, "7-7"), WHOLE[0], WHOLE[1], WHOLE[2]])]), "I2");
        assert_eq!(rule(&good(), &[sight(&[WHOLE[1], WHOLE[0], WHOLE[2]])]), "I3");
        assert_eq!(rule(&good(), &[sight(&[WHOLE[0], WHOLE[0], WHOLE[1], WHOLE[2]])]), "I3");
        assert_eq!(rule(&good(), &[sight(&[WHOLE[0], WHOLE[1], WHOLE[2], (13, "0-1")])]), "I4");
        let mut unanswered = good();
        unanswered[1].answered = None;
        let other = sight(&[WHOLE[0], WHOLE[1], (13, "1-0")]);
        assert_eq!(rule(&unanswered, &[other, sight(&WHOLE)]), "I10");
        let mut two = unanswered.clone();
        two.push(Attempt { sender: 2, ..unanswered[1].clone() });
        let other = sight(&[WHOLE[0], WHOLE[1], (12, "2-0")]);
        assert_eq!(rule(&two, &[other, sight(&WHOLE)]), "I7");
    }

    #[test]
    fn what_is_lost_is_counted_by_where_it_was() {
        let attempts: Vec<Attempt> = (0..5)
            .zip(10..)
            .zip((0..).step_by(2))
            .map(|((n, id), asked)| attempt(0, n, asked, (asked + 1, id)))
            .collect();
        let whole = sight(&[(10, "0-0"), (11, "0-1"), (12, "0-2"), (13, "0-3"), (14, "0-4")]);
        let some = sight(&[(11, "0-1"), (13, "0-3")]);
        assert_eq!(
            check(&attempts, &[some], &whole),
            Err("I1: reader 0 lost 3 of 5 answered (prefix 1, middle 1, postfix 1), the first is 0-0 with 10"
                .to_owned())
        );
        let gone = check(&attempts, &[], &sight(&[])).expect_err("all is lost");
        assert!(gone.contains("lost 5 of 5 answered (prefix 0, middle 0, postfix 5)"), "{gone}");
    }

    #[test]
    fn a_sender_out_of_order_and_an_id_behind_its_time_are_found() {
        let late = [attempt(0, 1, 0, (3, 10)), attempt(0, 0, 1, (4, 11))];
        assert_eq!(rule(&late, &[sight(&[(10, "0-1"), (11, "0-0")])]), "I5");
        let behind = [attempt(0, 0, 0, (1, 11)), attempt(1, 0, 2, (3, 10))];
        assert_eq!(rule(&behind, &[sight(&[(10, "1-0"), (11, "0-0")])]), "I6");
    }

    #[test]
    fn a_cursor_that_moves_back_is_found() {
        let reader = |cursors: &[Cursor]| Sight { cursors: cursors.to_vec(), ..sight(&WHOLE) };
        let (ten, twelve) = (id(10), id(12));
        let back = [Cursor::Acknowledged(twelve), Cursor::Kept(ten)];
        assert_eq!(rule(&good(), &[reader(&back)]), "I8");
        let set = [Cursor::Acknowledged(twelve), Cursor::Set(ten), Cursor::Kept(ten)];
        assert_eq!(rule(&good(), &[reader(&set)]), "");
    }

    #[test]
    fn what_reaches_a_removed_reader_is_found() {
        let removed = |asked, ended| {
            let mut sight = Sight { ended: Some(ended), ..sight(&WHOLE[..2]) };
            sight.asked_at(asked);
            sight
        };
        let whole = sight(&WHOLE);
        assert_eq!(
            check(&good(), &[removed(3, 4)], &whole),
            Ok(()),
            "and it need not see the rest"
        );
        assert_eq!(broken(check(&good(), &[removed(1, 2)], &whole)), "I9", "sent afterwards");
        assert_eq!(broken(check(&good(), &[removed(5, 4)], &whole)), "I9", "asked afterwards");
    }

    #[test]
    fn what_was_shown_and_is_not_kept_is_found() {
        let mut unanswered = good();
        unanswered[1].answered = None;
        let log = sight(&WHOLE[..2]);
        let mut reader = sight(&WHOLE);
        assert_eq!(broken(check(&unanswered, &[reader.clone()], &log)), "I10");
        reader.begin_anew(id(11));
        assert_eq!(reader.read, log.read);
        assert_eq!(broken(check(&unanswered, &[reader], &log)), "I10", "though it was withdrawn");
    }
}
