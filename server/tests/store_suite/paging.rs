//! Reading streams: the right messages, in one order, without a hole, on pages of any size.

use meshwire_protocol::MessageId;
use meshwire_protocol::limits::{MAX_PAGE, MAX_PAGE_BYTES};
use meshwire_server::secret;
use meshwire_server::store::{AgentRow, NewAgent, NewMessage, Register, Result, Stored, Stream};
use serde_json::json;

use crate::fixture::{DAY, Dice, Mesh, T0, World, contents, id, ids, inbox, keyed, to_all, to_one};
use crate::model::Model;

/// A mesh with three agents, and a random mix of messages to all of them and to each.
async fn mixed(world: &World, seed: u64, count: usize) -> Result<(Mesh, Vec<AgentRow>, Model)> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let agents = vec![a, mesh.agent("agent-b").await?, mesh.agent("agent-c").await?];
    let (mut dice, mut model) = (Dice::new(seed), Model::default());
    while model.log.len() < count {
        let size = 1 + dice.below(7);
        append(&mesh, &agents, &mut dice, &mut model, size).await?;
    }
    Ok((mesh, agents, model))
}

fn any_message(agents: &[AgentRow], dice: &mut Dice, content: &str) -> NewMessage {
    let from = dice.pick(agents);
    match dice.below(3) {
        0 => to_all(from, content),
        _ => to_one(from, dice.pick(agents), content),
    }
}

async fn append(
    mesh: &Mesh,
    agents: &[AgentRow],
    dice: &mut Dice,
    model: &mut Model,
    size: usize,
) -> Result<()> {
    let messages: Vec<NewMessage> =
        (0..size).map(|n| any_message(agents, dice, &format!("{}", model.log.len() + n))).collect();
    // The clock stands still, jumps, and goes backwards.
    let now = T0 + *dice.pick(&[0, 7, 1_000, -1_000, 50_000]) + model.head().get() % 1_000;
    let first = mesh.write(now, messages.clone()).await?;
    assert!(first > model.head());
    let stored = (first.get()..).zip(messages);
    model.log.extend(stored.map(|(at, message)| message.into_stored(mesh.id.clone(), id(at))));
    Ok(())
}

fn all_streams(agents: &[AgentRow]) -> Vec<Stream> {
    std::iter::once(Stream::All).chain(agents.iter().map(inbox)).collect()
}

pub(crate) async fn a_page_holds_what_went_to_the_asked_streams_in_the_order_of_the_log(
    world: &World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let b = mesh.agent("agent-b").await?;
    let batch = vec![
        to_all(&a, "1 all"),
        to_one(&a, &b, "2 b"),
        to_one(&b, &a, "3 a"),
        to_all(&b, "4 all"),
        to_one(&b, &b, "5 b"),
        to_one(&a, &a, "6 a"),
    ];
    mesh.write(T0, batch).await?;
    for (streams, expected) in [
        (vec![Stream::All], vec!["1 all", "4 all"]),
        (vec![inbox(&a)], vec!["3 a", "6 a"]),
        (vec![Stream::All, inbox(&b)], vec!["1 all", "2 b", "4 all", "5 b"]),
        (vec![inbox(&b), Stream::All], vec!["1 all", "2 b", "4 all", "5 b"]),
        (vec![Stream::Agent(secret::agent_id())], vec![]),
        (vec![], vec![]),
    ] {
        let page = mesh.page(&streams, MessageId::ZERO, 100).await?;
        assert_eq!(contents(&page.messages), expected);
        assert!(!page.more);
        assert_eq!(page.seen_to, id(T0 + 5), "also over what was not asked for");
        assert_eq!(page.trimmed, MessageId::ZERO);
    }
    Ok(())
}

pub(crate) async fn a_page_ends_at_its_limit_and_leads_on(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let b = mesh.agent("agent-b").await?;
    let batch = vec![to_all(&a, "1"), to_one(&a, &b, "2"), to_all(&a, "3"), to_one(&b, &a, "4")];
    mesh.write(T0, batch).await?;
    let streams = [Stream::All, inbox(&b)];

    let page = mesh.page(&streams, MessageId::ZERO, 2).await?;
    assert_eq!(contents(&page.messages), ["1", "2"]);
    assert!(page.more);
    assert!(page.seen_to >= id(T0 + 1) && page.seen_to < id(T0 + 2));
    let page = mesh.page(&streams, page.seen_to, 2).await?;
    assert_eq!(contents(&page.messages), ["3"]);
    assert!(!page.more);
    assert_eq!(page.seen_to, id(T0 + 3));

    let page = mesh.page(&streams, MessageId::ZERO, 3).await?;
    assert_eq!((page.messages.len(), page.more), (3, false), "a full page may be the last one");
    for after in [T0 + 3, T0 + 4, T0 + DAY] {
        let page = mesh.page(&streams, id(after), 2).await?;
        assert_eq!((page.messages.len(), page.more), (0, false), "nothing after the head");
    }
    Ok(())
}

pub(crate) async fn pages_of_any_size_make_the_same_whole(world: &World) -> Result<()> {
    let (mesh, agents, model) = mixed(world, 42, 300).await?;
    let own: Vec<Stream> = vec![Stream::All, inbox(&agents[1])];
    for streams in [own, all_streams(&agents), vec![inbox(&agents[2])]] {
        let expected = model.after(&streams, MessageId::ZERO);
        for limit in [1, 2, 3, 7, 100, MAX_PAGE] {
            let read = mesh.pages(&streams, MessageId::ZERO, limit).await?;
            assert_eq!(ids(&read), ids(&expected), "pages of {limit}");
            assert_eq!(read, expected, "pages of {limit}");
        }
    }
    Ok(())
}

pub(crate) async fn the_whole_log_is_read_whatever_the_stream(world: &World) -> Result<()> {
    let (mesh, agents, model) = mixed(world, 7, 120).await?;
    let expected = model.after(&all_streams(&agents), MessageId::ZERO);
    for limit in [1, 7, MAX_PAGE] {
        let (mut read, mut after) = (Vec::new(), MessageId::ZERO);
        loop {
            let page = world.store.read_all(&mesh.id, after, limit).await?;
            let page = page.expect("the mesh is there");
            assert_eq!(page.epoch, mesh.epoch().await?);
            read.extend(page.messages);
            if !page.more {
                assert_eq!(page.seen_to, mesh.head().await?);
                break;
            }
            assert!(page.seen_to > after, "a page that is not the last one leads on");
            after = page.seen_to;
        }
        assert_eq!(read, expected, "pages of {limit}");
    }
    let head = mesh.head().await?;
    let page = world.store.read_all(&mesh.id, head, 10).await?.expect("the mesh is there");
    assert_eq!((page.messages.len(), page.seen_to, page.more), (0, head, false));

    // What is trimmed is skipped, and the page says so.
    let trimmed = world.store.trim(&mesh.id, expected[60].message.id).await?.expect("it is there");
    assert!(trimmed > MessageId::ZERO);
    let left: Vec<_> = expected.into_iter().filter(|stored| stored.message.id > trimmed).collect();
    let page = world.store.read_all(&mesh.id, MessageId::ZERO, MAX_PAGE).await?;
    let page = page.expect("the mesh is there");
    assert_eq!((page.trimmed, page.messages), (trimmed, left));
    Ok(())
}

pub(crate) async fn any_read_between_any_appends_is_what_a_model_says(
    world: &mut World,
) -> Result<()> {
    for seed in 1..=6 {
        let (mut mesh, agents, mut model) = mixed(world, seed, 1).await?;
        let mut dice = Dice::new(seed * 1_000);
        for step in 0..80 {
            if dice.below(3) == 0 {
                let size = 1 + dice.below(5);
                append(&mesh, &agents, &mut dice, &mut model, size).await?;
            }
            if seed == 1 && step == 40 {
                world.reopen().await;
                mesh = mesh.on(world);
            }
            let streams: Vec<Stream> =
                all_streams(&agents).into_iter().filter(|_| dice.below(2) == 0).collect();
            let near = dice.pick(&model.log).message.id;
            let after = *dice.pick(&[MessageId::ZERO, near, id(near.get() - 1), model.head()]);
            let limit = *dice.pick(&[1, 2, 3, 5, 20, MAX_PAGE]);
            let page = mesh.page(&streams, after, limit).await?;
            model.check_page(&streams, after, limit, &page);
            assert_eq!(mesh.head().await?, model.head(), "seed {seed}, step {step}");
        }
    }
    Ok(())
}

/// Reads all on long pages, each of which may hold a mebibyte and the message that crosses it.
async fn read_on_long_pages(mesh: &Mesh, streams: &[Stream]) -> Result<Vec<Stored>> {
    let (mut all, mut after) = (Vec::new(), MessageId::ZERO);
    loop {
        let page = mesh.page(streams, after, MAX_PAGE).await?;
        let bytes: usize = page.messages.iter().map(size).sum();
        let last = page.messages.last().map_or(0, size);
        assert!(bytes <= MAX_PAGE_BYTES + last, "{bytes} bytes on one page");
        all.extend(page.messages);
        if !page.more {
            return Ok(all);
        }
        assert!(bytes > 0 && page.seen_to > after, "it leads on");
        after = page.seen_to;
    }
}

fn size(stored: &Stored) -> usize {
    let metadata = serde_json::to_string(&stored.message.metadata).map_or(0, |text| text.len());
    stored.message.content.len() + metadata
}

pub(crate) async fn a_page_ends_at_about_a_mebibyte(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let b = mesh.agent("agent-b").await?;
    let text = "x".repeat(10_240);
    for step in 0..5 {
        // Alternating, in one stream for a while, and a short one now and then.
        let batch = (0..60).map(|n| match (step, n % 2) {
            (0 | 3, 0) | (1, _) => to_all(&a, &text),
            (4, 0) => to_all(&a, "short"),
            _ => to_one(&a, &b, &text),
        });
        mesh.write(T0, batch.collect()).await?;
    }
    for streams in [vec![Stream::All, inbox(&b)], vec![Stream::All], vec![inbox(&b)]] {
        let read = read_on_long_pages(&mesh, &streams).await?;
        assert_eq!(ids(&read), ids(&mesh.pages(&streams, MessageId::ZERO, 7).await?));
    }
    Ok(())
}

pub(crate) async fn metadata_counts_on_a_page_too(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let b = mesh.agent("agent-b").await?;
    let metadata = json!({"x": "y".repeat(4_000)}).as_object().cloned().unwrap_or_default();
    let batch = |to: &AgentRow| {
        let draft = NewMessage { metadata: metadata.clone(), ..to_one(&a, to, "z") };
        vec![draft; 300]
    };
    mesh.write(T0, batch(&b)).await?;
    mesh.write(T0, batch(&a)).await?;
    for streams in [vec![inbox(&b)], vec![inbox(&a), inbox(&b)]] {
        let read = read_on_long_pages(&mesh, &streams).await?;
        assert_eq!(read.len(), 300 * streams.len());
    }
    Ok(())
}

pub(crate) async fn there_is_nothing_to_read_where_there_is_no_mesh(world: &World) -> Result<()> {
    let nowhere = secret::mesh_id();
    let streams = [Stream::All];
    assert!(world.store.read(&nowhere, &streams, MessageId::ZERO, 10).await?.is_none());
    assert!(world.store.read_all(&nowhere, MessageId::ZERO, 10).await?.is_none());
    assert_eq!(world.store.message(&nowhere, id(T0)).await?, None);
    assert_eq!(world.store.sent(&nowhere, &secret::agent_id(), "key", T0).await?, None);
    assert!(world.store.roster(&nowhere).await?.is_none());
    Ok(())
}

pub(crate) async fn two_meshes_with_the_same_agents_never_mix(world: &World) -> Result<()> {
    let (one, a) = world.mesh_with_agent().await?;
    let other = world.user("other").await?;
    let two = world.mesh(&other).await?;
    let same = NewAgent { id: a.id.clone(), ..two.new_agent(&other, "agent-a") };
    assert!(matches!(world.store.register_agent(same, 0).await?, Register::Created(_)));

    for (mesh, name) in [(&one, "one"), (&two, "two")] {
        let batch = vec![
            keyed(to_all(&a, &format!("{name} all")), "key", T0 + DAY),
            to_one(&a, &a, &format!("{name} a")),
        ];
        assert_eq!(mesh.write(T0, batch).await?, id(T0), "the same ids too");
    }
    two.write(T0 + 10, vec![to_all(&a, "two more")]).await?;

    let streams = [Stream::All, inbox(&a)];
    for (mesh, expected, head) in [
        (&one, vec!["one all", "one a"], T0 + 1),
        (&two, vec!["two all", "two a", "two more"], T0 + 10),
    ] {
        assert_eq!(contents(&mesh.pages(&streams, MessageId::ZERO, 10).await?), expected);
        assert_eq!(mesh.head().await?, id(head));
        let message = world.store.message(&mesh.id, id(T0)).await?.expect("it is there");
        assert_eq!(message.message.content, expected[0]);
        assert_eq!(message.message.mesh_id, mesh.id);
        let sent = world.store.sent(&mesh.id, &a.id, "key", T0).await?.expect("it is there");
        assert_eq!(sent.fingerprint, secret::digest(expected[0]));
    }
    assert_eq!(world.store.message(&one.id, id(T0 + 10)).await?, None);

    use_one_and_find_the_other_as_it_was(world, &one, &two, &a).await
}

/// A cursor, a removal and a deletion in one mesh leave the other one alone.
async fn use_one_and_find_the_other_as_it_was(
    world: &World,
    one: &Mesh,
    two: &Mesh,
    a: &AgentRow,
) -> Result<()> {
    use meshwire_server::store::Move;
    let before = (world.store.head(&two.id).await?, world.store.position(&two.id, &a.id).await?);
    world.store.move_cursor(&one.id, &a.id, id(T0 + 1), Move::Acknowledge).await?;
    assert!(world.store.remove_agent(&one.id, &a.id, T0).await?);
    assert!(world.store.delete_mesh(&one.id, T0).await?);
    while world.purge(T0).await? {}
    let after = (world.store.head(&two.id).await?, world.store.position(&two.id, &a.id).await?);
    assert_eq!(before, after);
    assert_eq!(two.broadcasts().await?.len(), 2);
    assert!(world.store.sent(&two.id, &a.id, "key", T0).await?.is_some());
    assert_eq!(two.find(&a.id).await?.map(|agent| agent.name), Some("agent-a".to_owned()));
    Ok(())
}
