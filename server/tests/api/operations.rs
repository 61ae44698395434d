//! What an operator sees and sets: metrics, request ids, limits by address, proxies.

use meshwire_protocol::MeshId;
use meshwire_server::{healthcheck, listen, secret};
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;

use crate::inbox::park;
use crate::server::{Answer, Server, User};

/// A minute and a little, in microseconds.
const MINUTE: i64 = 61_000_000;

/// The metrics as their listener serves them.
async fn metrics(server: &Server) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let (limits, admission) = (listen::Limits::default(), listen::Admission::default());
    let router = server.app.metrics.router();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stop_signal = async move {
        let _ = stopped.await;
    };
    let serving = tokio::spawn(listen::serve(listener, router, limits, admission, stop_signal));
    let answer = reqwest::get(&url).await.unwrap();
    assert_eq!(answer.status(), 200);
    let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(content_type.starts_with("application/openmetrics-text"), "{content_type}");
    let text = answer.text().await.unwrap();
    stop.send(()).unwrap();
    let _ = serving.await.unwrap();
    assert!(text.ends_with("# EOF\n"));
    text
}

/// The value of a series, as it stands there.
fn value(text: &str, series: &str) -> Option<String> {
    text.lines().find_map(|line| Some(line.strip_prefix(series)?.strip_prefix(' ')?.to_owned()))
}

#[tokio::test]
async fn the_check_of_a_container_finds_a_server_that_is_there() {
    let server = Server::start().await;
    let address = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    tokio::task::spawn_blocking(move || healthcheck::run(address)).await.unwrap().unwrap();
}

/// Sends to a poll until one has waited for a message, and says how often that took: what comes before a poll has
/// fallen asleep is no measure of the delay.
async fn send_to_a_poll(server: &Server, ada: &User<'_>, mesh: &MeshId) -> u32 {
    let current = |series| value(&server.app.metrics.text(), series).unwrap();
    let mut rounds = 0;
    while current("meshwire_delivery_delay_seconds_count") == "0" {
        rounds += 1;
        assert!(rounds < 100, "no poll ever waited");
        let poll = park(ada, mesh, "b", "wait=30").await;
        assert_eq!(current("meshwire_open_polls"), "1");
        let id = ada.send(mesh, "a", "b", "a secret of ada's").await;
        poll.await.unwrap().expect(200);
        let path = format!("/mesh/{mesh}/agents/b/cursor");
        ada.put(&path, json!({"cursor": id})).await.expect(200);
    }
    rounds
}

#[tokio::test]
async fn the_status_page_tells_how_late_messages_came() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let status = async || {
        let answer = server.request(Method::GET, "/status").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    };
    assert!(status().await.contains("No message was waited for yet"));
    let poll = park(&ada, &mesh, "a", "wait=30").await;
    assert!(status().await.contains("<dt>Open polls</dt><dd>1</dd>"));
    ada.send(&mesh, "b", "a", "done").await;
    poll.await.unwrap().expect(200);
    send_to_a_poll(&server, &ada, &mesh).await;
    let page = status().await;
    assert!(page.contains("that somebody waited for"), "{page}");
    assert!(page.contains("99 in a hundred within "), "{page}");
    assert!(!page.contains(mesh.as_str()) && !page.contains("ada"), "{page}");
}

#[tokio::test]
async fn metrics_count_what_happens_and_name_nobody() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let rounds = send_to_a_poll(&server, &ada, &mesh).await;
    ada.get("/no/such/path").await.problem(404, "not_found");
    ada.get("/no/other/path").await.problem(404, "not_found");
    ada.request(Method::from_bytes(b"BREW").unwrap(), "/me").send().await.unwrap();

    let text = metrics(&server).await;
    let route = "/mesh/{mesh}/agents/{agent}/messages";
    let (sends, sum) = (rounds.to_string(), format!("{rounds}.0"));
    for (series, expected) in [
        ("meshwire_requests_total{method=\"GET\",route=\"none\",status=\"404\"}", "2"),
        ("meshwire_requests_total{method=\"other\",route=\"/me\",status=\"405\"}", "1"),
        (
            "meshwire_requests_total{method=\"POST\",route=\"/mesh/{mesh}/messages\",status=\"201\"}",
            &sends,
        ),
        (
            &format!("meshwire_requests_total{{method=\"GET\",route=\"{route}\",status=\"200\"}}"),
            &sends,
        ),
        ("meshwire_poll_wait_seconds_count", &sends),
        ("meshwire_send_duration_seconds_count", &sends),
        ("meshwire_delivery_delay_seconds_count", "1"),
        ("meshwire_batch_messages_sum", &sum),
        ("meshwire_open_polls", "0"),
        ("meshwire_store_duration_seconds_count{operation=\"append\"}", &sends),
        ("meshwire_build_info{version=\"0.1.0\"}", "1"),
    ] {
        assert_eq!(value(&text, series).as_deref(), Some(expected), "{series} in\n{text}");
    }
    let took = format!("meshwire_request_duration_seconds_sum{{method=\"GET\",route=\"{route}\"}}");
    let waited = value(&text, "meshwire_poll_wait_seconds_sum").unwrap();
    assert!(waited.parse::<f64>().unwrap() > 0.0 && value(&text, &took).is_some(), "{text}");
    for word in ["ada", mesh.as_str(), "secret", "no/such", "mw_", "BREW"] {
        assert!(!text.contains(word), "{word}");
    }
    // Never on the public listener.
    ada.get("/metrics").await.problem(404, "not_found");
}

#[tokio::test]
async fn every_answer_has_an_id_of_ours() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mut seen = std::collections::HashSet::new();
    for (method, path) in [
        (Method::GET, "/me"),
        (Method::GET, "/health"),
        (Method::GET, "/nothing"),
        (Method::PUT, "/me"),
        (Method::POST, "/mesh"),
        (Method::GET, "/"),
        (Method::GET, "/static/style.css"),
    ] {
        for _ in 0..2 {
            let request = ada.request(method.clone(), path).header("X-Request-Id", "mine");
            let answer = Answer::of(request).await;
            let id = answer.headers["x-request-id"].to_str().unwrap();
            assert_eq!(answer.headers.get_all("x-request-id").iter().count(), 1);
            assert!(id.len() == 20 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
            assert!(seen.insert(id.to_owned()), "{id} came twice");
            if answer.status.as_u16() < 500 {
                assert!(answer.body["request_id"].is_null(), "only for faults of ours");
            }
        }
    }
}

#[tokio::test]
async fn a_fault_of_ours_names_its_request() {
    let server = Server::start().await;
    server.app.store.close().await;
    let answer = Answer::of(server.request(Method::GET, "/ready")).await;
    let id = answer.headers["x-request-id"].to_str().unwrap().to_owned();
    let problem = answer.problem(503, "store_unavailable");
    assert_eq!(problem["request_id"], id);

    let page = server.request(Method::GET, "/").header("Accept", "text/html");
    let page = page.header("Cookie", format!("mw_session={}", secret::one_time()));
    let page = page.send().await.unwrap();
    assert_eq!(page.status(), 503);
    let id = page.headers()["x-request-id"].to_str().unwrap().to_owned();
    let page = page.text().await.unwrap();
    assert!(page.contains(&format!("request id <code>{id}</code>")), "{page}");
}

/// Asks until it is refused: so many a second are not.
async fn refused_soon(ask: impl AsyncFn() -> Answer) -> Answer {
    for _ in 0..10_000 {
        let answer = ask().await;
        if answer.status == 429 {
            return answer;
        }
        assert_eq!(answer.status, 401);
    }
    panic!("it is never refused");
}

#[tokio::test]
async fn unknown_tokens_are_looked_up_only_so_often() {
    let server = Server::with(&["--limit-bad-tokens-per-minute", "3"]).await;
    let ada = server.user("ada").await;
    ada.get("/me").await.expect(200);
    let stranger = || ada.with_token(secret::token());
    for _ in 0..3 {
        stranger().get("/me").await.problem(401, "unauthorized");
    }
    // A token that is good is not an unknown one, also when it comes for the first time.
    server.user("eve").await.get("/me").await.expect(200);
    let refused = refused_soon(async || stranger().get("/me").await).await;
    let wait: u32 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let problem = refused.problem(429, "rate_limited");
    assert!(problem["hint"].as_str().unwrap().contains("MESHWIRE_LIMIT_BAD_TOKENS_PER_MINUTE"));
    let text = server.app.metrics.text();
    let limited = "meshwire_limited_total{limit=\"MESHWIRE_LIMIT_BAD_TOKENS_PER_MINUTE\"}";
    assert_eq!(value(&text, limited).as_deref(), Some("1"));

    // Who was here before goes on; what cannot be a token costs nothing and is called what it is.
    ada.get("/me").await.expect(200);
    ada.with_token("mw_typing_error".to_owned()).get("/me").await.problem(401, "unauthorized");
    server.clock.shift(MINUTE);
    stranger().get("/me").await.problem(401, "unauthorized");
}

#[tokio::test]
async fn only_trusted_proxies_say_where_a_request_comes_from() {
    for (proxies, believed) in [("127.0.0.0/8", true), ("10.0.0.0/8", false)] {
        let arguments = ["--limit-bad-tokens-per-minute", "1", "--trusted-proxies", proxies];
        let server = Server::with(&arguments).await;
        let ask = async |from: &str| {
            let request = server.request(Method::GET, "/me").bearer_auth(secret::token());
            Answer::of(request.header("X-Forwarded-For", from)).await
        };
        assert_eq!(ask("192.0.2.1").await.status, 401);
        refused_soon(async || ask("198.51.100.1, 192.0.2.1").await).await;
        if believed {
            assert_eq!(ask("192.0.2.2").await.status, 401, "another address");
        } else {
            refused_soon(async || ask("192.0.2.2").await).await;
        }
    }
}

#[tokio::test]
async fn the_sign_in_is_asked_only_so_often_from_one_address() {
    let arguments = ["--limit-sign-ins-per-minute", "3", "--trusted-proxies", "127.0.0.1"];
    let server = Server::with(&arguments).await;
    let ask = async |path: &str, from: &str| {
        Answer::of(server.request(Method::GET, path).header("X-Forwarded-For", from)).await
    };
    for path in ["/login", "/setup", "/auth/cli"] {
        assert_ne!(ask(path, "2001:db8::1").await.status, 429);
    }
    let refused = ask("/login", "2001:db8::2").await;
    assert!(refused.headers.contains_key("retry-after"));
    let problem = refused.problem(429, "rate_limited");
    assert!(problem["hint"].as_str().unwrap().contains("MESHWIRE_LIMIT_SIGN_INS_PER_MINUTE"));
    // Computers without a browser are told in their words.
    let device =
        server.request(Method::POST, "/auth/device/code").header("X-Forwarded-For", "2001:db8::1");
    let device = Answer::of(device.body("{}")).await;
    assert_eq!((device.status.as_u16(), &device.body["error"]), (429, &json!("slow_down")));
    assert!(device.headers.contains_key("retry-after"));
    assert_eq!(ask("/login", "192.0.2.1").await.status, 200, "from elsewhere");
    assert_eq!(ask("/health", "2001:db8::1").await.status, 200, "something else");
    server.clock.shift(MINUTE);
    assert_eq!(ask("/login", "2001:db8::1").await.status, 200);
}

#[tokio::test]
async fn sizes_and_invites_have_limits_that_are_named() {
    let server = Server::with(&["--limit-body-bytes", "2048", "--limit-invites", "2"]).await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let hint = |problem: serde_json::Value, name: &str| {
        assert!(problem["hint"].as_str().unwrap().contains(name), "{problem}");
    };
    let answer = ada.post("/mesh", json!({"name": "x".repeat(2_048)})).await;
    hint(answer.problem(413, "payload_too_large"), "MESHWIRE_LIMIT_BODY_BYTES");
    let invites = format!("/mesh/{mesh}/invites");
    for login in ["bob", "cyd"] {
        ada.post(&invites, json!({"login": login})).await.expect(201);
    }
    let answer = ada.post(&invites, json!({"login": "dan"})).await;
    hint(answer.problem(409, "limit_reached"), "MESHWIRE_LIMIT_INVITES");
    let long = ada.request(Method::GET, "/me").header("X-Long", "x".repeat(40_000));
    hint(Answer::of(long).await.problem(431, "headers_too_large"), "MESHWIRE_LIMIT_HEADER_BYTES");
}
