//! Input that no client of ours would send: always a clear refusal, never a 5xx.

mod every_route;
mod routes;

use reqwest::Method;
use serde_json::json;

use crate::server::{Answer, Server};

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_problems() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    ada.get("/nothing/here").await.problem(404, "not_found");
    ada.delete("/health").await.problem(405, "method_not_allowed");
    let answer = ada.put("/mesh", json!({})).await;
    assert!(answer.headers["allow"].to_str().unwrap().contains("POST"));
    answer.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn a_query_that_nobody_reads_is_refused() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    for path in ["/me", "/mesh", "/health", "/tokens", &format!("/mesh/{mesh}/agents")] {
        ada.get(path).await.expect(200);
        ada.get(&format!("{path}?")).await.expect(200);
        let problem = ada.get(&format!("{path}?limit=1")).await.problem(400, "invalid_request");
        assert!(problem["errors"]["limit"].is_string(), "{path}: {problem}");
        let head = Answer::of(ada.request(Method::HEAD, &format!("{path}?limit=1"))).await;
        assert_eq!(head.status, 400, "{path}");
    }
    ada.post("/mesh?limit=1", json!({"name": "x"})).await.problem(400, "invalid_request");
    ada.delete("/health?limit=1").await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn bodies_are_read_as_json_whatever_their_type() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    for kind in
        [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("nonsense")]
    {
        let mut request = ada.request(Method::POST, "/mesh").body(r#"{"name":"x"}"#);
        if let Some(kind) = kind {
            request = request.header("Content-Type", kind);
        }
        Answer::of(request).await.expect(201);
    }
}

#[tokio::test]
async fn no_body_of_any_kind_is_a_5xx() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    ada.agent(&mesh, "a").await;
    let deep = "[".repeat(100_000);
    let deep_object = format!("{{\"content\":\"x\",\"metadata\":{}", "{\"a\":".repeat(20_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\"text\"".to_vec(),
        b"\xff\xfe".to_vec(),
        b"{\"content\":\"\xff\"}".to_vec(),
        b"{\"content\":\"\\ud800\"}".to_vec(),
        b"{\"name\":\"a\",\"name\":\"b\"}".to_vec(),
        b"{\"name\":1e999}".to_vec(),
        b"{\"reply_to\":99999999999999999999}".to_vec(),
        vec![0; 1_000],
        deep.into_bytes(),
        deep_object.into_bytes(),
    ];
    let paths = [
        (Method::POST, "/tokens".to_owned()),
        (Method::POST, "/mesh".to_owned()),
        (Method::PATCH, format!("/mesh/{mesh}")),
        (Method::POST, format!("/mesh/{mesh}/invites")),
        (Method::PATCH, format!("/mesh/{mesh}/members/ada")),
        (Method::POST, format!("/mesh/{mesh}/requests/ada")),
        (Method::POST, format!("/mesh/{mesh}/agents")),
        (Method::PATCH, format!("/mesh/{mesh}/agents/a")),
        (Method::POST, format!("/mesh/{mesh}/messages")),
        (Method::PUT, format!("/mesh/{mesh}/agents/a/cursor")),
    ];
    for (method, path) in &paths {
        for body in &bodies {
            let request = ada.request(method.clone(), path).body(body.clone());
            let answer = Answer::of(request).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            assert_eq!(answer.status.as_u16(), 400, "{method} {path} {shown}: {}", answer.body);
            assert_eq!(answer.body["code"], "invalid_request");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_is_not_waited_for() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /mesh HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Length: 999999999\r\n\r\n{{",
        ada.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    let reading = stream.read_exact(&mut answer);
    tokio::time::timeout(std::time::Duration::from_secs(20), reading).await.unwrap().unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn half_a_body_does_not_hold_a_poll_open() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    ada.agent(&mesh, "b").await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "GET /mesh/{mesh}/agents/b/messages?wait=60 HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer \
         {}\r\nContent-Length: 50\r\n\r\nabc",
        ada.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    let reading = stream.read_exact(&mut answer);
    // Long before the end of the poll.
    tokio::time::timeout(std::time::Duration::from_secs(40), reading).await.unwrap().unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn odd_paths_are_not_found() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    for path in [
        format!("/mesh/{mesh}/agents/%FF"),
        format!("/mesh/{mesh}/agents/%00/messages"),
        format!("/mesh/{mesh}/agents/{}", "x".repeat(5_000)),
        format!("/mesh/{}", "é".repeat(12)),
        "//mesh".to_owned(),
    ] {
        let answer = ada.get(&path).await;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn answers_carry_the_security_headers() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    for answer in
        [ada.get("/me").await, ada.get("/nothing").await, ada.post("/mesh", json!({})).await]
    {
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer");
        assert!(
            answer.headers["content-security-policy"]
                .to_str()
                .unwrap()
                .contains("default-src 'none'")
        );
    }
}
