use super::request::{Verdict, judge};
use super::*;

const STATE: &str = "the-state";

fn head(target: &str, more: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:4321{more}")
}

fn status(head: &str) -> u16 {
    let (reply, verdict) = judge(head, 4321, STATE);
    assert_eq!(verdict, Verdict::None, "{head}");
    reply.status
}

#[test]
fn the_right_request_brings_the_code() {
    let good = "\r\nSec-Fetch-Mode: navigate\r\nUser-Agent: x";
    let (reply, verdict) = judge(&head("/callback?code=a%2Bb&state=the-state", good), 4321, STATE);
    assert_eq!((reply.status, verdict), (200, Verdict::Code("a+b".to_owned())));
    let page = reply.to_http();
    for header in ["Cache-Control: no-store", "Referrer-Policy: no-referrer", "default-src 'none'"]
    {
        assert!(page.contains(header), "{page}");
    }
}

#[test]
fn a_refusal_is_told() {
    let head = head("/callback?error=access_denied&error_description=no+way&state=the-state", "");
    let (_, verdict) = judge(&head, 4321, STATE);
    assert_eq!(verdict, Verdict::Denied("no way".to_owned()));
}

#[test]
fn other_requests_do_not_count() {
    let good = "/callback?code=c&state=the-state";
    for (head, wanted) in [
        (head("/callback?code=c&state=other", ""), 400),
        (head("/callback?code=c", ""), 400),
        (head("/callback?error=access_denied&state=other", ""), 400),
        (head("/callback?state=the-state", ""), 400),
        (head("/callback?code=&state=the-state", ""), 400),
        (head("/callback?code=c&code=d&state=the-state", ""), 400),
        (head("/callback?code=c&state=the-state&state=x", ""), 400),
        (head("/callback/?code=c&state=the-state", ""), 404),
        (head("/favicon.ico", ""), 404),
        (head(good, "\r\nOrigin: http://evil.example"), 403),
        (head(good, "\r\nsec-fetch-mode: cors"), 403),
        (head(good, "\r\nHost: 127.0.0.1:4321"), 400),
        (head(good, "").replace("127.0.0.1:4321", "evil.example:4321"), 400),
        (head(good, "").replace("127.0.0.1:4321", "localhost:4321"), 400),
        (head(good, "").replace("127.0.0.1:4321", "127.0.0.1"), 400),
        (head(good, "").replace("GET", "POST"), 405),
        (head(good, "").replace("GET", "HEAD"), 405),
        (head(good, "").replace("HTTP/1.1", "HTTP/2"), 400),
        (head(good, "\r\nnonsense"), 400),
        (head("http://127.0.0.1:4321/callback?code=c&state=the-state", ""), 400),
        (format!("GET {good} HTTP/1.1"), 400),
        (String::new(), 400),
    ] {
        assert_eq!(status(&head), wanted, "{head}");
    }
}

#[test]
fn the_challenge_is_that_of_rfc_7636() {
    // RFC 7636 appendix B.
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned();
    let secrets = Secrets { state: String::new(), verifier };
    assert_eq!(secrets.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    let fresh = Secrets::new();
    assert_eq!((fresh.state.len(), fresh.verifier.len()), (43, 43));
    assert_ne!(fresh.state, fresh.verifier);
}

async fn ask(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn strangers_do_not_use_up_the_sign_in() {
    let listener = Loopback::open().await.unwrap();
    let port = listener.port();
    let waiting = tokio::spawn(async move { listener.code(STATE).await });
    // Opened first and silent, as browsers do: it holds up nobody.
    let _silent = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let get = |target: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\n\r\n")
    };
    assert!(ask(port, &get("/callback?code=x&state=wrong")).await.starts_with("HTTP/1.1 400 "));
    let large = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(9_000));
    assert!(ask(port, &large).await.starts_with("HTTP/1.1 431 "));
    let page = ask(port, &get("/callback?code=right&state=the-state")).await;
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("close this window"), "{page}");
    assert_eq!(waiting.await.unwrap().unwrap(), "right");
}

#[tokio::test]
async fn nobody_tries_states_for_long() {
    let listener = Loopback::open().await.unwrap();
    let port = listener.port();
    let waiting = tokio::spawn(async move { listener.code(STATE).await });
    let guess = format!("GET /callback?code=x&state=y HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    for _ in 0..MAX_REQUESTS {
        assert!(ask(port, &guess).await.starts_with("HTTP/1.1 400 "));
    }
    assert!(waiting.await.unwrap().is_err());
}
