//! Proof that DynamoDB can keep the log of a mesh.
//!
//! The storage trait promises one order that all readers see, sends that are never lost or doubled, and
//! sends that never land in a roster that has changed. This shows, on the DynamoDB that Amazon hands out
//! for tests, that the keys in `items` and the requests in `log` hold those promises. It starts from the
//! environment variable `MESHWIRE_TEST_DYNAMODB`, which `infra/test.sh` sets.

#[path = "dynamodb_log/items.rs"]
mod items;
#[path = "dynamodb_log/log.rs"]
mod log;

use std::collections::BTreeMap;
use std::env;
use std::time::Duration;

use aws_sdk_dynamodb::types::{ReturnValue, Select};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::items::{Result, key, log_partition, log_place, text};
use crate::log::{
    Appended, Attempt, Attempted, BATCH_BYTES, BATCH_KEYS, Batch, Draft, Head, Logs, Outcome,
    Registered, Sent, SentKey,
};

const MESH: &str = "m1";
const AGENT: &str = "a1";

/// Enough for all there is.
const ALL: usize = usize::MAX;

/// A page as the API cuts it.
const PAGE: usize = 1024 * 1024;

/// The clock of the tests, where it does not matter.
const NOW: u64 = 1_800_000_000_000_000;

const SECOND: u64 = 1_000_000;

/// Runs a test on a table of its own with one empty mesh, and deletes the table whatever comes of it.
async fn on_a_table<T, F>(test: T) -> Result<()>
where
    T: FnOnce(Logs) -> F,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let endpoint = env::var("MESHWIRE_TEST_DYNAMODB").map_err(|_| {
        "MESHWIRE_TEST_DYNAMODB is not set. Run the tests by ./infra/test.sh, which starts DynamoDB \
         Local for them; only these: ./infra/test.sh -- cargo test --test dynamodb_log"
    })?;
    let logs = Logs::create(&endpoint).await?;
    logs.create_mesh(MESH).await?;
    let running = tokio::spawn(test(logs.clone()));
    let ended = tokio::time::timeout(Duration::from_mins(1), running).await;
    logs.delete().await?;
    ended??
}

fn batch<const N: usize>(epoch: u64, drafts: [Draft; N]) -> Batch {
    batch_of(epoch, drafts.into())
}

fn batch_of(epoch: u64, drafts: Vec<Draft>) -> Batch {
    Batch { mesh: MESH.into(), id: rand::random(), epoch, now: NOW, drafts }
}

fn plain(text: impl Into<String>) -> Draft {
    Draft { text: text.into(), key: None }
}

fn keyed(text: impl Into<String>, key: &str) -> Draft {
    let text = text.into();
    let key =
        SentKey { agent: AGENT.into(), key: key.into(), fingerprint: format!("hash of {text}") };
    Draft { text, key: Some(key) }
}

async fn head(logs: &Logs) -> Result<Head> {
    Ok(logs.head(MESH).await?.ok_or("there is no head")?)
}

/// Appends, and answers the first id.
async fn append(logs: &Logs, batch: &Batch) -> Result<u64> {
    match logs.append(batch).await? {
        Appended::Written { first, .. } => Ok(first),
        other => Err(format!("not appended: {other:?}").into()),
    }
}

/// The whole log after a position, read page by page; fails where it has a gap.
async fn read_all(logs: &Logs, after: u64, bytes: usize) -> Result<Vec<(u64, String)>> {
    let mut messages = Vec::new();
    let mut position = after;
    loop {
        let page = logs.read_after(MESH, position, bytes).await?.ok_or("there is no mesh")?;
        assert!(!page.gap, "a gap after {position}");
        messages.extend(page.messages);
        position = page.seen_to;
        if !page.more {
            return Ok(messages);
        }
    }
}

async fn texts(logs: &Logs) -> Result<Vec<String>> {
    let messages = read_all(logs, 0, ALL).await?;
    Ok(messages.into_iter().map(|(_, text)| text).collect())
}

/// Reads along from the beginning until it has this many messages, woken by the writers.
async fn follow(
    logs: Logs,
    mut hints: watch::Receiver<u64>,
    messages: usize,
    bytes: usize,
) -> Result<Vec<(u64, String)>> {
    let mut seen = Vec::new();
    let mut position = 0;
    loop {
        let page = logs.read_after(MESH, position, bytes).await?.ok_or("there is no mesh")?;
        assert!(!page.gap);
        assert!(page.messages.iter().all(|(id, _)| (position + 1..=page.seen_to).contains(id)));
        seen.extend(page.messages);
        position = page.seen_to;
        if seen.len() >= messages {
            return Ok(seen);
        }
        if !page.more {
            hints.wait_for(|head| *head > position).await?;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_writers_make_one_log_that_every_reader_sees_whole() -> Result<()> {
    on_a_table(async |logs: Logs| {
        const WRITERS: usize = 8;
        const BATCHES: usize = 30;
        // Writer w puts (w + b) % 4 + 1 messages into its batch b.
        let sizes = |writer: usize| (0..BATCHES).map(move |batch| (writer + batch) % 4 + 1);
        let total: usize = (0..WRITERS).flat_map(sizes).sum();

        let (hint, hints) = watch::channel(0);
        let mut readers = JoinSet::new();
        readers.spawn(follow(logs.clone(), hints.clone(), total, ALL));
        // So little that each page is one batch.
        readers.spawn(follow(logs.clone(), hints, total, 1));

        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (logs, hint) = (logs.clone(), hint.clone());
            writers.spawn(async move {
                let mut ids = Vec::new();
                let mut tries = 0;
                for (place, size) in sizes(writer).enumerate() {
                    let drafts = (0..size).map(|n| plain(format!("{writer}:{place}:{n}")));
                    let mut batch = batch_of(1, drafts.collect());
                    // Each has another clock, and some clocks go backwards.
                    batch.now = NOW + 1000 * (writer * place % 7) as u64;
                    let Appended::Written { first, attempts } = logs.append(&batch).await? else {
                        return Err("not appended".into());
                    };
                    ids.extend((first..).zip(batch.drafts.into_iter().map(|draft| draft.text)));
                    tries += attempts;
                    hint.send_if_modified(|head| {
                        *head = (*head).max(first + size as u64 - 1);
                        true
                    });
                }
                Result::Ok((ids, tries))
            });
        }
        let mut answered = BTreeMap::new();
        let mut tries = 0;
        while let Some(writer) = writers.join_next().await {
            let (ids, attempts) = writer??;
            // For one sender the order is the order of sending.
            assert!(ids.is_sorted_by(|a, b| a.0 < b.0));
            answered.extend(ids);
            tries += attempts;
        }
        println!("{} batches took {tries} attempts", WRITERS * BATCHES);

        // Nothing lost, nothing twice: what was answered is what is there, and what both readers saw.
        assert_eq!(answered.len(), total);
        let answered: Vec<_> = answered.into_iter().collect();
        assert_eq!(read_all(&logs, 0, ALL).await?, answered);
        while let Some(reader) = readers.join_next().await {
            assert_eq!(reader??, answered);
        }
        assert_eq!(head(&logs).await?.newest, answered[total - 1].0);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_reader_goes_on_from_any_id() -> Result<()> {
    on_a_table(async |logs: Logs| {
        append(&logs, &batch(1, [plain("1"), plain("2"), plain("3")])).await?;
        let mut later = batch(1, [plain("4"), plain("5")]);
        later.now = NOW + SECOND;
        append(&logs, &later).await?;
        let all = read_all(&logs, 0, ALL).await?;
        let ids: Vec<_> = all.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [NOW, NOW + 1, NOW + 2, NOW + SECOND, NOW + SECOND + 1]);

        // Before the first, on each, and in the room that the clock has left between two.
        for after in ids.iter().flat_map(|id| [id - 1, *id]).chain([NOW + 500]) {
            let rest: Vec<_> = all.iter().filter(|(id, _)| *id > after).cloned().collect();
            assert_eq!(read_all(&logs, after, ALL).await?, rest, "after {after}");
        }
        assert_eq!(logs.read_after("nowhere", 0, ALL).await?, None);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn ids_rise_when_the_clock_does_not() -> Result<()> {
    on_a_table(async |logs: Logs| {
        let mut ids = Vec::new();
        for now in [NOW, NOW, NOW - SECOND, 0, NOW + SECOND] {
            let batch = Batch { now, ..batch(1, [plain("one"), plain("two")]) };
            ids.push(append(&logs, &batch).await?);
        }
        assert_eq!(ids, [NOW, NOW + 2, NOW + 4, NOW + 6, NOW + SECOND]);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_raced_idempotency_key_makes_one_message() -> Result<()> {
    on_a_table(async |logs: Logs| {
        for round in 0..20 {
            let key = format!("key {round}, which may hold # and \u{e9}");
            let from = head(&logs).await?.newest;
            let mut racers = JoinSet::new();
            for racer in 0..2 {
                let (logs, key) = (logs.clone(), key.clone());
                // The raced key is not at the same place in both batches.
                let mut drafts = vec![plain("before"), keyed("once", &key), plain("after")];
                drafts.rotate_left(racer);
                drafts.push(keyed("other", &format!("{round}:{racer}")));
                racers.spawn(async move {
                    let place = 1 - racer;
                    Result::Ok((place, racer, logs.append(&batch_of(1, drafts)).await?))
                });
            }
            let mut winner = None;
            let mut loser = None;
            while let Some(racer) = racers.join_next().await {
                match racer?? {
                    (place, _, Appended::Written { first, .. }) => {
                        winner = Some(first + place as u64);
                    }
                    (place, racer, Appended::KeysTaken(taken)) => {
                        loser = Some((place, racer, taken));
                    }
                    (.., other) => return Err(format!("{other:?}").into()),
                }
            }
            let id = winner.ok_or("nobody won")?;
            let (place, racer, taken) = loser.ok_or("both won")?;
            // The loser learns which message it was, and what was sent under its key.
            let record = Sent { fingerprint: "hash of once".into(), id };
            assert_eq!(taken, [(place, record.clone())]);
            assert_eq!(logs.sent(MESH, AGENT, &key).await?, Some(record));
            // Of its batch nothing is there, not even the other key.
            assert_eq!(logs.sent(MESH, AGENT, &format!("{round}:{racer}")).await?, None);
            let written = read_all(&logs, from, ALL).await?;
            assert_eq!(written.len(), 4);
            assert!(written.contains(&(id, "once".into())));
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_idempotency_key_is_free_again_when_it_has_expired() -> Result<()> {
    on_a_table(async |logs: Logs| {
        const DAY: u64 = 24 * 60 * 60 * SECOND;
        let first = append(&logs, &batch(1, [keyed("a", "key")])).await?;
        for (now, free) in [(NOW + DAY - SECOND, false), (NOW + DAY, true)] {
            let again = Batch { now, ..batch(1, [keyed("b", "key")]) };
            let appended = logs.append(&again).await?;
            if free {
                assert_eq!(appended, Appended::Written { first: now, attempts: 1 });
            } else {
                let record = Sent { fingerprint: "hash of a".into(), id: first };
                assert_eq!(appended, Appended::KeysTaken(vec![(0, record)]));
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_batch_holds_as_much_as_a_transaction() -> Result<()> {
    on_a_table(async |logs: Logs| {
        let drafts = |count| -> Vec<Draft> {
            (0..count).map(|n| keyed(format!("message {n}"), &format!("key {n}"))).collect()
        };
        assert!(logs.append(&batch_of(1, drafts(BATCH_KEYS + 1))).await.is_err());
        // As many keys as there may be, and as many bytes: quotes and brackets are counted.
        append(&logs, &batch_of(1, drafts(BATCH_KEYS))).await?;
        append(&logs, &batch(1, [plain("x".repeat(BATCH_BYTES - 4))])).await?;
        assert!(logs.append(&batch(1, [plain("x".repeat(BATCH_BYTES - 3))])).await.is_err());
        assert_eq!(read_all(&logs, 0, ALL).await?.len(), BATCH_KEYS + 1);

        // Every key of the batch is taken now, and each place is told.
        let Appended::KeysTaken(taken) = logs.append(&batch_of(1, drafts(BATCH_KEYS))).await?
        else {
            return Err("appended twice".into());
        };
        assert!(taken.iter().map(|(place, _)| *place).eq(0..BATCH_KEYS));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_append_under_an_old_epoch_writes_nothing() -> Result<()> {
    on_a_table(async |logs: Logs| {
        append(&logs, &batch(1, [keyed("kept", "first")])).await?;
        let old = Attempt::new(&batch(1, [keyed("late", "second")]), head(&logs).await?);
        let registered = logs.register(MESH, AGENT, "Builder").await?;
        assert_eq!(registered, Registered::At { start: NOW, attempts: 1 });

        let now = Head { newest: NOW, epoch: 2, trimmed: 0 };
        assert_eq!(logs.attempt(&old).await?, Attempted::EpochMoved(now));
        assert_eq!(logs.append(&batch(1, [plain("late")])).await?, Appended::EpochMoved(now));
        assert_eq!(head(&logs).await?, now);
        assert_eq!(texts(&logs).await?, ["kept"]);
        assert_eq!(logs.sent(MESH, AGENT, "second").await?, None);
        // A repeat of what was sent before is known in spite of the new epoch.
        let mut repeat = Attempt::new(&batch(1, [keyed("kept", "first")]), now);
        assert!(matches!(logs.attempt(&repeat).await?, Attempted::KeysTaken(_)));
        repeat = Attempt::new(&batch(2, [plain("next")]), now);
        assert_eq!(logs.attempt(&repeat).await?, Attempted::Written);

        // A name is taken in any case, and a refused registration raises nothing.
        assert_eq!(logs.register(MESH, "a2", "BUILDER").await?, Registered::NameTaken);
        assert_eq!(head(&logs).await?.epoch, 2);
        assert_eq!(logs.start(MESH, "a2").await?, None);
        assert_eq!(logs.register("nowhere", "a2", "other").await?, Registered::NoMesh);
        let mut nowhere = batch(1, [plain("lost")]);
        nowhere.mesh = "nowhere".into();
        assert_eq!(logs.append(&nowhere).await?, Appended::NoMesh);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_registration_among_appends_starts_at_what_was_sent_before() -> Result<()> {
    on_a_table(async |logs: Logs| {
        const AGENTS: u64 = 10;
        // Each writer appends until all agents are there, under the epoch that it knows, and keeps under
        // which epoch each message went.
        let (done, until) = watch::channel(false);
        let mut writers = JoinSet::new();
        for writer in 0..4 {
            let (logs, until) = (logs.clone(), until.clone());
            writers.spawn(async move {
                let mut epoch = 1;
                let mut sent = Vec::new();
                while !*until.borrow() {
                    let batch = batch(epoch, [plain(format!("{writer}:{}", sent.len()))]);
                    match logs.append(&batch).await? {
                        Appended::Written { first, .. } => sent.push((first, epoch)),
                        Appended::EpochMoved(head) => epoch = head.epoch,
                        other => return Err(format!("{other:?}").into()),
                    }
                }
                Result::Ok(sent)
            });
        }
        let mut starts = Vec::new();
        let mut tries = 0;
        for agent in 0..AGENTS {
            let name = format!("agent-{agent}");
            let before = head(&logs).await?.newest;
            let Registered::At { start, attempts } = logs.register(MESH, &name, &name).await?
            else {
                return Err("not registered".into());
            };
            assert!(start >= before, "what was there before the call is not for the agent");
            assert_eq!(logs.start(MESH, &name).await?, Some(start));
            starts.push(start);
            tries += attempts;
        }
        done.send_replace(true);
        let mut sent = BTreeMap::new();
        while let Some(writer) = writers.join_next().await {
            sent.extend(writer??);
        }
        println!("{AGENTS} registrations among {} appends took {tries} attempts", sent.len());

        // The epoch under which a message was addressed says exactly which agents could be meant: those
        // whose start lies before it.
        assert_eq!(head(&logs).await?.epoch, 1 + AGENTS);
        for (id, epoch) in &sent {
            let there = starts.iter().filter(|start| *start < id).count() as u64;
            assert_eq!(there, epoch - 1, "{id}");
        }
        for start in starts {
            let after: Vec<_> = sent.range(start + 1..).map(|(id, _)| *id).collect();
            let read = read_all(&logs, start, ALL).await?;
            assert!(read.iter().map(|(id, _)| id).eq(&after));
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_repeated_request_doubles_nothing() -> Result<()> {
    on_a_table(async |logs: Logs| {
        let attempt = Attempt::new(&batch(1, [plain("a"), keyed("b", "key")]), head(&logs).await?);
        for _ in 0..3 {
            assert_eq!(logs.attempt(&attempt).await?, Attempted::Written);
        }
        assert_eq!(texts(&logs).await?, ["a", "b"]);
        // Also when the log has gone on: the repeat is answered as the first was, and moves no head back.
        append(&logs, &batch(1, [plain("c")])).await?;
        assert_eq!(logs.attempt(&attempt).await?, Attempted::Written);
        assert_eq!(texts(&logs).await?, ["a", "b", "c"]);
        assert_eq!(head(&logs).await?.newest, NOW + 2);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_fate_of_a_batch_can_be_asked_for() -> Result<()> {
    on_a_table(async |logs: Logs| {
        // Sent, the answer lost.
        let sent = Attempt::new(&batch(1, [plain("sent")]), head(&logs).await?);
        assert_eq!(logs.outcome(&sent).await?, Outcome::Open);
        logs.attempt(&sent).await?;
        assert_eq!(logs.outcome(&sent).await?, Outcome::Written);

        // Overtaken by another before it arrived: it can never happen any more, and so may be sent anew.
        let slow = Attempt::new(&batch(1, [plain("slow")]), head(&logs).await?);
        assert_eq!(logs.outcome(&slow).await?, Outcome::Open);
        append(&logs, &batch(1, [plain("quick")])).await?;
        assert_eq!(slow.last(), head(&logs).await?.newest, "both wanted the same id");
        assert_eq!(logs.outcome(&slow).await?, Outcome::Void);
        assert!(matches!(logs.attempt(&slow).await?, Attempted::HeadMoved(_)));

        // The same when the epoch has moved, and the head has not.
        let slow = Attempt::new(&batch(1, [plain("slow")]), head(&logs).await?);
        logs.register(MESH, AGENT, "builder").await?;
        assert_eq!(logs.outcome(&slow).await?, Outcome::Void);
        assert!(matches!(logs.attempt(&slow).await?, Attempted::EpochMoved(_)));

        // Long after, when the log has gone on and DynamoDB has forgotten the request.
        append(&logs, &batch(2, [plain("last")])).await?;
        assert_eq!(logs.outcome(&sent).await?, Outcome::Written);
        assert_eq!(texts(&logs).await?, ["sent", "quick", "last"]);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_that_are_lost_on_the_way_lose_and_double_nothing() -> Result<()> {
    on_a_table(async |logs: Logs| {
        let mut writers = JoinSet::new();
        for writer in 0..4 {
            let logs = logs.clone();
            writers.spawn(async move {
                let mut cut = 0;
                for place in 0..15 {
                    let batch = batch(1, [plain(format!("{writer}:{place}"))]);
                    loop {
                        let attempt = Attempt::new(&batch, head(&logs).await?);
                        // The connection is cut somewhere between the request and the answer.
                        let after = Duration::from_micros(rand::random_range(0..8000));
                        let answer = tokio::time::timeout(after, logs.attempt(&attempt)).await;
                        let written = if let Ok(answer) = answer {
                            answer? == Attempted::Written
                        } else {
                            cut += 1;
                            logs.settle(&attempt).await?
                        };
                        if written {
                            break;
                        }
                    }
                }
                Result::Ok(cut)
            });
        }
        let mut cut = 0;
        while let Some(writer) = writers.join_next().await {
            cut += writer??;
        }
        println!("{cut} answers were lost");
        assert!(cut > 0);
        let all = texts(&logs).await?;
        for writer in 0..4 {
            let own = all.iter().filter(|text| text.starts_with(&format!("{writer}:")));
            assert!(own.eq(&(0..15).map(|n| format!("{writer}:{n}")).collect::<Vec<_>>()));
        }
        assert_eq!(all.len(), 60);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_reader_whom_the_trim_point_has_passed_is_told_of_the_gap() -> Result<()> {
    on_a_table(async |logs: Logs| {
        for n in 0..20 {
            append(&logs, &batch(1, [plain(format!("{n}a")), plain(format!("{n}b"))])).await?;
        }
        let all = read_all(&logs, 0, ALL).await?;
        // To the middle of the sixth batch: so the end of the fifth.
        let end = all[9].0;
        logs.move_trim_point(MESH, end + 1).await?;
        assert_eq!(head(&logs).await?.trimmed, end);

        // One answer, whether nothing, something or all is deleted yet.
        loop {
            for (after, gap) in [(0, true), (all[0].0, true), (all[8].0, true), (end, false)] {
                let page = logs.read_after(MESH, after, ALL).await?.ok_or("there is no mesh")?;
                assert_eq!((page.gap, page.more), (gap, false), "after {after}");
                assert_eq!(page.messages, all[10..]);
            }
            if !logs.delete_trimmed(MESH, 2).await? {
                break;
            }
        }
        // The trim point moves neither back nor beyond the log, and all of a log may go.
        logs.trim(MESH, all[5].0).await?;
        assert_eq!(head(&logs).await?.trimmed, end);
        logs.trim(MESH, u64::MAX >> 11).await?;
        let newest = all[39].0;
        assert_eq!(head(&logs).await?, Head { newest, epoch: 1, trimmed: newest });
        let page = logs.read_after(MESH, end, ALL).await?.ok_or("there is no mesh")?;
        assert_eq!(
            (page.messages.len(), page.seen_to, page.more, page.gap),
            (0, newest, false, true)
        );
        append(&logs, &batch(1, [plain("next")])).await?;
        assert_eq!(read_all(&logs, newest, ALL).await?.len(), 1);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_trim_that_overtakes_a_reader_never_skips_in_silence() -> Result<()> {
    on_a_table(async |logs: Logs| {
        for n in 0..60 {
            append(&logs, &batch(1, [plain(n.to_string())])).await?;
        }
        let all = read_all(&logs, 0, ALL).await?;
        let ends: Vec<_> = all.iter().map(|(id, _)| *id).step_by(5).collect();
        let trimmer = logs.clone();
        let trimming = tokio::spawn(async move {
            for end in ends {
                trimmer.trim(MESH, end).await?;
            }
            Result::Ok(())
        });
        let mut position = 0;
        let mut gaps = 0;
        loop {
            let page = logs.read_after(MESH, position, 1).await?.ok_or("there is no mesh")?;
            let next = all.partition_point(|(id, _)| *id <= position);
            let read = all.partition_point(|(id, _)| *id <= page.seen_to);
            let begin = read - page.messages.len();
            assert_eq!(page.messages, all[begin..read]);
            assert_eq!(page.gap, begin != next, "after {position}: {page:?}");
            gaps += usize::from(page.gap);
            position = page.seen_to;
            if !page.more {
                break;
            }
        }
        println!("the reader met {gaps} gaps");
        assert_eq!(position, all[59].0);
        trimming.await??;
        assert_eq!(head(&logs).await?.trimmed, all[55].0);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_a_torn_query_shows_is_not_believed() -> Result<()> {
    on_a_table(async |logs: Logs| {
        for text in ["1", "2", "3"] {
            append(&logs, &batch(1, [plain(text)])).await?;
        }
        let all = read_all(&logs, 0, ALL).await?;
        // The real DynamoDB may show a batch before an earlier one, and a head before its batch; what is
        // used here does not, so a batch is taken away by hand.
        for hidden in [1, 2] {
            let place = key(log_partition(MESH), log_place(all[hidden].0));
            let taken = logs
                .client
                .delete_item()
                .table_name(&logs.table)
                .set_key(Some(place))
                .return_values(ReturnValue::AllOld)
                .send()
                .await?;
            // The page ends before the hole, and says that there is more.
            let page = logs.read_after(MESH, 0, ALL).await?.ok_or("there is no mesh")?;
            assert_eq!(page.messages, all[..hidden]);
            assert_eq!((page.seen_to, page.more, page.gap), (all[hidden - 1].0, true, false));
            // From there it waits for what is missing, but not for ever.
            let position = page.seen_to;
            assert!(logs.read_after(MESH, position, ALL).await.is_err());
            let (rest, put) = tokio::join!(
                logs.read_after(MESH, position, ALL),
                logs.client.put_item().table_name(&logs.table).set_item(taken.attributes).send(),
            );
            put?;
            assert_eq!(rest?.ok_or("there is no mesh")?.messages, all[hidden..]);
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_log_larger_than_one_answer_is_read_whole() -> Result<()> {
    on_a_table(async |logs: Logs| {
        let mut expected = Vec::new();
        for n in 0..12 {
            let text = format!("{n}:{}", "x".repeat(300 * 1024));
            expected.push((append(&logs, &batch(1, [plain(&text)])).await?, text));
        }
        // DynamoDB ends an answer at 1 MiB.
        let answer = logs
            .client
            .query()
            .table_name(&logs.table)
            .key_condition_expression("pk = :log AND sk > :from")
            .expression_attribute_values(":log", text(log_partition(MESH)))
            .expression_attribute_values(":from", text(log_place(0)))
            .select(Select::Count)
            .send()
            .await?;
        assert!(answer.last_evaluated_key().is_some() && answer.count() < 12);

        // All as one page, as pages of 1 MiB, and a batch at a time.
        assert!(logs.read_after(MESH, 0, ALL).await?.is_some_and(|page| page.messages == expected));
        for bytes in [PAGE, 1] {
            assert!(read_all(&logs, 0, bytes).await? == expected);
        }
        Ok(())
    })
    .await
}
