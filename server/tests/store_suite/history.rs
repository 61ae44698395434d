//! Looking back: one message, and what a caller may see of the log.

use meshwire_protocol::limits::{MAX_PAGE, MAX_PAGE_BYTES};
use meshwire_protocol::{AgentId, MessageId};
use meshwire_server::secret;
use meshwire_server::store::{AgentRow, NewMessage, Result, Stored, Visibility};

use crate::fixture::{Dice, Mesh, T0, World, contents, id, to_all, to_one};
use crate::model::Model;

fn visible(agents: &[&AgentRow]) -> Visibility {
    Visibility { agents: agents.iter().map(|agent| agent.id.clone()).collect() }
}

/// All pages of a history, and how many there were.
async fn pages(mesh: &Mesh, visible: &Visibility, limit: u32) -> Result<(Vec<Stored>, usize)> {
    let (mut all, mut before, mut count) = (Vec::new(), MessageId::MAX, 0);
    loop {
        let page = mesh.store.history(&mesh.id, visible, before, limit).await?;
        assert!(page.messages.len() <= limit as usize);
        count += 1;
        all.extend(page.messages);
        match page.before {
            None => return Ok((all, count)),
            Some(next) => {
                assert!(next < before, "it leads on");
                before = next;
            }
        }
    }
}

pub(crate) async fn a_message_is_found_by_its_id_in_its_mesh(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let (other, b) = world.mesh_with_agent().await?;
    let drafts = [to_all(&a, "one"), to_one(&a, &a, "two")];
    mesh.write(T0, drafts.to_vec()).await?;
    other.write(T0 + 50, vec![to_all(&b, "elsewhere")]).await?;
    for (at, draft) in (T0..).zip(drafts) {
        let expected = draft.into_stored(mesh.id.clone(), id(at));
        assert_eq!(world.store.message(&mesh.id, id(at)).await?, Some(expected));
    }
    for at in [0, T0 - 1, T0 + 2, T0 + 50, MessageId::MAX.get()] {
        assert_eq!(world.store.message(&mesh.id, id(at)).await?, None);
    }
    Ok(())
}

pub(crate) async fn the_history_shows_broadcasts_and_what_went_to_or_from_the_given_agents(
    world: &World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let b = mesh.agent("agent-b").await?;
    let c = mesh.agent("agent-c").await?;
    let batch = vec![
        to_all(&a, "a to all"),
        to_one(&a, &b, "a to b"),
        to_one(&b, &c, "b to c"),
        to_one(&c, &a, "c to a"),
        to_one(&c, &c, "c to itself"),
        to_all(&b, "b to all"),
    ];
    mesh.write(T0, batch).await?;
    for (agents, expected) in [
        (vec![], vec!["b to all", "a to all"]),
        (vec![&a], vec!["b to all", "c to a", "a to b", "a to all"]),
        (vec![&b], vec!["b to all", "b to c", "a to b", "a to all"]),
        (vec![&a, &b], vec!["b to all", "c to a", "b to c", "a to b", "a to all"]),
        (vec![&c], vec!["b to all", "c to itself", "c to a", "b to c", "a to all"]),
    ] {
        let page = world.store.history(&mesh.id, &visible(&agents), MessageId::MAX, 100).await?;
        assert_eq!(contents(&page.messages), expected);
        assert_eq!(page.before, None);
    }
    Ok(())
}

pub(crate) async fn a_mesh_without_messages_has_an_empty_history(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    for mesh in [&mesh.id, &secret::mesh_id()] {
        let page = world.store.history(mesh, &visible(&[&a]), MessageId::MAX, 100).await?;
        assert_eq!((page.messages.len(), page.before), (0, None));
    }
    Ok(())
}

pub(crate) async fn the_history_is_whole_on_pages_of_any_size(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let agents = [a, mesh.agent("agent-b").await?, mesh.agent("agent-c").await?];
    let (mut dice, mut model) = (Dice::new(7), Model::default());
    let drafts: Vec<NewMessage> = (0..250)
        .map(|n| match dice.below(3) {
            0 => to_all(dice.pick(&agents), &n.to_string()),
            _ => to_one(dice.pick(&agents), dice.pick(&agents), &n.to_string()),
        })
        .collect();
    mesh.write(T0, drafts.clone()).await?;
    let stored = (T0..).zip(drafts);
    model.log.extend(stored.map(|(at, draft)| draft.into_stored(mesh.id.clone(), id(at))));

    for agents in [vec![], vec![&agents[0]], vec![&agents[1], &agents[2]]] {
        let visible = visible(&agents);
        let expected = model.visible_before(&visible.agents, MessageId::MAX);
        for limit in [1, 2, 3, 7, 100, MAX_PAGE] {
            assert_eq!(pages(&mesh, &visible, limit).await?.0, expected, "pages of {limit}");
        }
        for _ in 0..30 {
            let before = id(T0 - 2 + i64::try_from(dice.below(255)).expect("it is small"));
            let limit = *dice.pick(&[1, 3, 10, MAX_PAGE]);
            let page = world.store.history(&mesh.id, &visible, before, limit).await?;
            model.check_history(&visible.agents, before, limit, &page);
        }
    }
    Ok(())
}

pub(crate) async fn a_page_of_the_history_looks_at_a_bounded_number_of_messages(
    world: &World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let b = mesh.agent("agent-b").await?;
    let c = mesh.agent("agent-c").await?;
    mesh.write(T0, vec![to_one(&a, &b, "for b"), to_all(&a, "for all")]).await?;
    for _ in 0..9 {
        mesh.write(T0, vec![to_one(&a, &c, "for c"); 500]).await?;
    }
    let visible = visible(&[&b]);
    let page = world.store.history(&mesh.id, &visible, MessageId::MAX, 100).await?;
    assert_eq!(page.messages.len(), 0);
    assert!(page.before.is_some_and(|before| before < id(T0 + 4_502)), "empty, and leads on");
    let (all, count) = pages(&mesh, &visible, 100).await?;
    assert_eq!(contents(&all), ["for all", "for b"]);
    assert!((2..=10).contains(&count), "{count} pages");

    // Without anything to find, an end is found too.
    let nobody = Visibility { agents: vec![secret::agent_id()] };
    assert_eq!(contents(&pages(&mesh, &nobody, 1).await?.0), ["for all"]);
    Ok(())
}

pub(crate) async fn a_page_of_the_history_ends_at_about_a_mebibyte(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    for _ in 0..4 {
        mesh.write(T0, vec![to_all(&a, &"x".repeat(10_240)); 50]).await?;
    }
    let nobody = Visibility { agents: Vec::<AgentId>::new() };
    let page = world.store.history(&mesh.id, &nobody, MessageId::MAX, MAX_PAGE).await?;
    let bytes: usize = page.messages.iter().map(|stored| stored.message.content.len()).sum();
    assert!(bytes <= MAX_PAGE_BYTES + 10_240, "{bytes} bytes");
    assert!(page.before.is_some());
    assert_eq!(pages(&mesh, &nobody, MAX_PAGE).await?.0.len(), 200);
    Ok(())
}
