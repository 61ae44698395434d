//! Messages and agents on the page of a mesh.

use axum::http::StatusCode;
use meshwire_protocol::{AgentKind, MessageId, Via};
use serde_json::json;

use crate::board::Board;
use crate::browser::{Answer, Browser};

/// What nobody may be able to do to a page.
const HOSTILE: &str = "\"><script>alert('1')</script>&";

/// Fills in the form of a page that was opened for it.
async fn write(board: &Board, browser: &mut Browser, fields: &[(&str, &str)]) -> Answer {
    let page = browser.get(&board.at("")).await;
    let path = board.at("/messages");
    let form = [&[("ticket", page.ticket_for(&path))], fields].concat();
    browser.post(&path, &form).await
}

#[tokio::test]
async fn a_person_writes_and_is_answered() {
    let mut board = Board::new().await;
    let worker = board.agent(&board.bob_token, "worker").await;
    let mut ann = board.ann.clone();
    let page = ann.get(&board.at("")).await;
    assert!(page.body.contains("No messages yet."), "{}", page.body);
    for choice in [">everyone</option>", ">worker</option>", ">@bob</option>"] {
        assert!(page.body.contains(choice), "no {choice} in {}", page.body);
    }
    let content = "to all\r\n  and sundry";
    let answer = write(&board, &mut ann, &[("to", "all"), ("content", content)]).await;
    assert_eq!(answer.location(), board.at(""));
    write(&board, &mut ann, &[("to", &worker), ("content", "to one")]).await.location();
    write(&board, &mut ann, &[("to", "@bob"), ("content", "to a person")]).await.location();
    let history = board.history().await;
    let said: Vec<_> = history.iter().map(|it| (it.to.as_str(), it.content.as_str())).collect();
    assert_eq!(
        said,
        [("@bob", "to a person"), ("worker", "to one"), ("all", "to all\n  and sundry")]
    );
    let first = &history[2];
    assert_eq!((first.from.as_str(), first.via), ("@ann", Via::Session));
    assert_eq!(first.from_kind, AgentKind::Human);

    // The page shows them, the newest first, with what has become of each.
    let page = ann.get(&board.at("")).await;
    let at = |text: &str| page.body.find(text).unwrap_or_else(|| panic!("{text}: {}", page.body));
    assert!(at("to a person") < at("to one") && at("to one") < at("to all\n  and sundry"));
    assert!(page.body.contains("Queued") && page.body.contains("of 1 read"));
    let reply = board.at(&format!("?reply_to={}#compose", first.id));
    assert!(page.body.contains(&format!("href=\"{reply}\"")));

    // Bob answers what he may see, by default to who wrote it.
    let reply = board.bob.get(&board.at(&format!("?reply_to={}", first.id))).await;
    let anns = board.server.app.meshes.roster(&board.mesh).await.unwrap().unwrap();
    let anns = anns.agent("@ann").unwrap().id.clone();
    assert!(reply.body.contains(&format!("value=\"{anns}\" selected")), "{}", reply.body);
    let path = board.at("/messages");
    let id = first.id.to_string();
    let form = [
        ("ticket", reply.ticket_for(&path)),
        ("to", anns.as_str()),
        ("reply_to", &id),
        ("content", "an answer"),
    ];
    board.bob.post(&path, &form).await.location();
    let newest = &board.history().await[0];
    assert_eq!(newest.metadata["reply_to"], json!(first.id));
    let page = ann.get(&board.at("")).await;
    let link = format!("answers <a href=\"{}\"", board.at(&format!("/messages/{id}")));
    assert!(page.body.contains(&link), "{}", page.body);
    for (of, shown) in [(first.id, "an answer"), (newest.id, "What it answers")] {
        let page = ann.get(&board.at(&format!("/messages/{of}"))).await;
        assert!(page.body.contains(shown), "no {shown} in {}", page.body);
    }
}

#[tokio::test]
async fn a_form_that_is_sent_twice_sends_one_message() {
    let board = Board::new().await;
    let mut ann = board.ann.clone();
    let page = ann.get(&board.at("")).await;
    let path = board.at("/messages");
    let form = |content| [("ticket", page.ticket_for(&path)), ("to", "all"), ("content", content)];
    ann.post(&path, &form("once")).await.location();
    ann.post(&path, &form("once")).await.location();
    assert_eq!(board.history().await.len(), 1);
    let other = ann.post(&path, &form("another text")).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(other.body.contains("has sent another message already"), "{}", other.body);
    assert!(other.body.contains("another text</textarea>"));
    let again = [("ticket", other.ticket_for(&path)), ("to", "all"), ("content", "another text")];
    ann.post(&path, &again).await.location();
    assert_eq!(board.history().await.len(), 2);
    // Nor is the form of one mesh taken by another.
    let elsewhere = crate::board::make(&mut ann, "other").await;
    let path = format!("/meshes/{elsewhere}/messages");
    ann.post(&path, &form("x")).await.assert_error(403, "origin_refused");
}

#[tokio::test]
async fn what_was_typed_outlives_the_sign_in_and_the_store() {
    let board = Board::new().await;
    let mut ann = board.ann.clone();
    let path = board.at("/messages");
    let page = ann.get(&board.at("")).await;
    let typed = "\nkept & <b>whole</b>";
    let form = [("ticket", page.ticket_for(&path)), ("to", "all"), ("content", typed)];
    let shown = "readonly>\n\nkept &#38; &#60;b&#62;whole&#60;/b&#62;</textarea>";
    let answer = board.server.browser().post(&path, &form).await;
    answer.assert_error(401, "unauthorized");
    assert!(answer.body.contains(shown), "{}", answer.body);
    board.server.app.store.close().await;
    let answer = ann.post(&path, &form).await;
    answer.assert_error(503, "store_unavailable");
    assert!(answer.body.contains(shown), "{}", answer.body);
    let page = ann.get(&board.at("")).await;
    page.assert_error(503, "store_unavailable");
    assert!(!page.body.contains("<textarea"), "nothing was typed there");
}

#[tokio::test]
async fn what_is_wrong_is_said_and_what_was_typed_stays() {
    let board = Board::new().await;
    let mut ann = board.ann.clone();
    let long = "é".repeat(6_000);
    for (fields, status, reason) in [
        (&[("to", "all"), ("content", "")][..], 400, "id=\"content-error\">It must not be empty."),
        (&[("to", "all"), ("content", &long)], 400, "id=\"content-error\">It must be at most"),
        (&[("to", "nobody"), ("content", "kept")], 404, "id=\"to-error\">It is not in this mesh"),
        (
            &[("to", "all"), ("content", "kept"), ("reply_to", "17")],
            404,
            "The message that you answer is not kept any more.",
        ),
    ] {
        let answer = write(&board, &mut ann, fields).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
        assert!(answer.body.contains(reason), "no {reason} in {}", answer.body);
        assert!(answer.body.contains(&format!("{}</textarea>", fields[1].1)), "{reason}");
    }
    assert_eq!(board.history().await.len(), 0);
}

#[tokio::test]
async fn what_people_wrote_is_escaped_and_cleaned() {
    let board = Board::new().await;
    let mut ann = board.ann.clone();
    board.agent(&board.bob_token, "worker").await;
    let message = json!({
        "content": format!("{HOSTILE} rev\u{202e}ersed \u{e0041}\u{200b}\u{1b}[31mred"),
        "from": "worker",
        "metadata": {"<script>": HOSTILE, "bidi": "a\u{202e}b"},
    });
    let id = board.send(&board.bob_token, &message).await;
    let change = json!({"description": HOSTILE}).to_string();
    let path = format!("/mesh/{}/agents/worker", board.mesh);
    let changed = board.server.browser().api("PATCH", &path, &board.bob_token, &change).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    let answer = json!({"content": "an answer", "reply_to": id});
    board.send(&board.ann_token, &answer).await;
    for path in ["", &format!("?reply_to={id}"), &format!("/messages/{id}")] {
        let page = ann.get(&board.at(path)).await;
        let escaped = "&#34;&#62;&#60;script&#62;alert(&#39;1&#39;)&#60;/script&#62;&#38;";
        assert!(page.body.contains(escaped), "{}", page.body);
        assert!(!page.body.contains("<script>") && !page.body.contains("style="), "{path}");
        assert!(page.body.contains("reversed red"), "{}", page.body);
        for hidden in ['\u{202e}', '\u{e0041}', '\u{200b}', '\u{1b}'] {
            assert!(!page.body.contains(hidden), "{path}");
        }
    }
    let page = ann.get(&board.at(&format!("/messages/{id}"))).await;
    assert!(page.body.contains("a\\u202eb"), "{}", page.body);
}

#[tokio::test]
async fn many_and_long_messages_come_page_by_page() {
    let board = Board::new().await;
    let mut ann = board.ann.clone();
    let long = format!("{} the end", "word ".repeat(400));
    board.send(&board.ann_token, &json!({ "content": long })).await;
    let page = ann.get(&board.at("")).await;
    assert!(page.body.contains("All 2008 characters") && page.body.contains("the end"));
    for _ in 0..60 {
        board.send(&board.ann_token, &json!({ "content": "short" })).await;
    }
    for _ in 0..6 {
        let bad = "<".repeat(10_000);
        board.send(&board.ann_token, &json!({ "content": bad })).await;
    }
    let (mut path, mut seen, mut pages) = (board.at(""), Vec::<MessageId>::new(), 0);
    loop {
        let page = ann.get(&path).await;
        assert_eq!(page.status, StatusCode::OK);
        // With style, scripts and picture it is to stay below 100 KB.
        assert!(page.body.len() < 60 * 1024, "{} bytes", page.body.len());
        pages += 1;
        let ids = page.body.split("id=\"m").skip(1).filter_map(|rest| rest.split('"').next());
        seen.extend(ids.filter_map(|id| id.parse::<MessageId>().ok()));
        if page.body.contains("<p id=\"older\" hidden>") {
            break;
        }
        let (_, rest) = page.body.split_once("?before=").expect("older ones");
        path = board.at(&format!("?before={}", rest.split('"').next().unwrap()));
    }
    assert_eq!(seen.len(), 67);
    assert!(seen.is_sorted_by(|a, b| a > b), "each once, newest first");
    assert!((4..12).contains(&pages), "{pages}");
}

#[tokio::test]
async fn agents_are_shown_and_removed() {
    let mut board = Board::new().await;
    let his = board.agent(&board.bob_token, "his").await;
    let hers = board.agent(&board.ann_token, "hers").await;
    let mut ann = board.ann.clone();
    let mut bob = board.bob.clone();
    let page = bob.get(&board.at("")).await;
    assert!(page.body.contains("claude, agent of bob") && page.body.contains("2 of 2 active"));
    assert!(page.body.contains("<svg class=\"picture\"") && page.body.contains("role=\"img\""));
    let remove = |id: &str| format!("form=\"remove-agent\" name=\"which\" value=\"{id}\"");
    assert!(page.body.contains(&remove(&his)) && !page.body.contains(&remove(&hers)));
    let page = ann.get(&board.at("")).await;
    assert!(page.body.contains(&remove(&his)) && page.body.contains(&remove(&hers)));

    let path = board.at("/agents/remove");
    let page = bob.get(&board.at("")).await;
    let form = |which| [("ticket", page.ticket_for(&path)), ("which", which)];
    bob.post(&path, &form(&hers)).await.assert_error(403, "forbidden");
    bob.post(&path, &form("nobody")).await.assert_error(404, "agent_not_found");
    board.send(&board.bob_token, &json!({"content": "so that @bob is there"})).await;
    bob.post(&path, &form("@bob")).await.assert_error(403, "forbidden");
    assert_eq!(bob.post(&path, &form(&his)).await.location(), board.at(""));
    assert!(!board.bob.get(&board.at("")).await.body.contains(">his<"));
    // An admin removes any.
    board.agent(&board.bob_token, "his").await;
    let page = ann.get(&board.at("")).await;
    let form = [("ticket", page.ticket_for(&path)), ("which", "his")];
    assert_eq!(ann.post(&path, &form).await.location(), board.at(""));
    assert!(!ann.get(&board.at("")).await.body.contains(">his<"));
}
