//! Every route, asked by somebody who means it ill: with a token or a cookie, and without.

use std::fmt::Write as _;

use super::routes::{Kind, ROUTES, Route, Scene, patient_server};

/// A request with these header fields and this body, whose length is stated.
fn request(method: &str, target: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Bodies that are nobody's, whatever the route.
fn bodies() -> Vec<Vec<u8>> {
    let deep = |open: &str, close: &str| {
        format!("{}1{}", open.repeat(10_000), close.repeat(10_000)).into_bytes()
    };
    let many = format!("{{\"name\":[{}0]}}", "0,".repeat(5_000));
    let keys: String = (0..5_000).fold(String::new(), |mut keys, n| {
        let _ = write!(keys, "\"k{n}\":0,");
        keys
    });
    vec![
        Vec::new(),
        b"{}".to_vec(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\"text\"".to_vec(),
        b"{\"a\":1}{\"a\":1}".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        vec![0; 1_000],
        vec![b'{'; 100_000],
        deep("[", "]"),
        deep("{\"a\":", "}"),
        many.into_bytes(),
        format!("{{{keys}\"z\":0}}").into_bytes(),
        b"name=a&name=b&%00=%ff&=".to_vec(),
        b"a=%C0%80&b=%ed%a0%80&c=%zz".to_vec(),
        vec![b'x'; 200_000],
    ]
}

/// Values of JSON that hardly any field takes.
fn values() -> Vec<String> {
    let mut values: Vec<String> = [
        "null",
        "true",
        "-1",
        "0.5",
        "1e400",
        "-1e400",
        "99999999999999999999",
        "9007199254740993",
        "18446744073709551616",
        "[]",
        "{}",
        "[[]]",
        "\"\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\\udc00x\"",
        "\"a\\u202eb\"",
        "\"\\r\\nX-Evil: 1\"",
        "\"../../etc/passwd\"",
        "\"' OR 1=1 --\"",
        "NaN",
        "01",
    ]
    .map(str::to_owned)
    .into();
    values.push(format!("\"{}\"", "é".repeat(5_000)));
    values.push(format!("[{}\"read\"]", "\"read\",".repeat(5_000)));
    values.push(format!("{}0{}", "[".repeat(10_000), "]".repeat(10_000)));
    values
}

/// What stands in a URL in place of a value.
const ODD: &[&str] = &[
    "",
    "%00",
    "%ff%fe",
    "%C0%AF",
    "%zz",
    "%",
    "..%2f..%2fetc%2fpasswd",
    "%0d%0aX-Evil:%201",
    "-1",
    "1e400",
    "99999999999999999999",
    "'%20OR%201=1--",
    "%F0%9F%92%A9",
    "%E2%80%AE",
    "a;b",
    "@",
    "[",
    "*",
    "~",
    "+",
];

async fn ask_all(scene: &Scene<'_>, route: &Route, known: bool, requests: Vec<(String, Vec<u8>)>) {
    for (about, bytes) in requests {
        let about = format!("{} {} {known} {about}", route.method, route.path);
        let answer = scene.ask(&about, &bytes).await;
        answer.check_error(route.kind, &about);
    }
}

/// Without the route that ends the token of all others, which gets one of its own.
async fn each_route(make: impl Fn(&Scene<'_>, &Route, &str) -> Vec<(String, Vec<u8>)>) {
    let server = patient_server().await;
    let mut scene = Scene::new(&server).await;
    for route in ROUTES {
        for known in [false, true] {
            if route.path == "/tokens/current" {
                scene.ada.token = server.token(&scene.ada.row, |_| {}).await;
            }
            let who = scene.who(route.kind, known);
            ask_all(&scene, route, known, make(&scene, route, &who)).await;
        }
    }
    // After all that, everything goes on as before.
    let ada = &scene.ada;
    let ada = ada.with_token(server.token(&ada.row, |_| {}).await);
    ada.get("/me").await.expect(200);
    ada.patch(&format!("/mesh/{}", scene.mesh), serde_json::json!({"paused": false}))
        .await
        .expect(200);
}

#[tokio::test]
async fn no_body_upsets_a_route() {
    each_route(|scene, route, who| {
        let path = scene.path(route);
        let made = bodies().into_iter().enumerate();
        made.map(|(n, body)| (format!("body {n}"), request(route.method, &path, who, &body)))
            .collect()
    })
    .await;
}

#[tokio::test]
async fn no_value_of_a_field_upsets_a_route() {
    each_route(|scene, route, who| {
        let path = scene.path(route);
        let mut requests = Vec::new();
        // Without a token nothing of the API reads a body; one field shows it.
        let some = if who.is_empty() { route.fields.len().min(1) } else { route.fields.len() };
        for field in &route.fields[..some] {
            // In the body as JSON, alone and twice; in a form and in the query; repeated and unknown.
            for value in values() {
                let json = format!("{{\"{field}\":{value}}}");
                requests.push((
                    format!(
                        "{field} {}",
                        value.chars().take(30).collect::<String>().escape_debug()
                    ),
                    request(route.method, &path, who, json.as_bytes()),
                ));
            }
            let twice = format!("{{\"{field}\":\"a\",\"{field}\":\"b\",\"more\":1}}");
            requests.push((twice.clone(), request(route.method, &path, who, twice.as_bytes())));
            for odd in ODD {
                let pair = format!("{field}={odd}");
                requests.push((pair.clone(), request(route.method, &path, who, pair.as_bytes())));
                let target = format!("{path}?{}", pair.replace('[', "%5B"));
                requests.push((target.clone(), request(route.method, &target, who, b"")));
                let target = format!("{target}&{field}=1&{field}=2");
                requests.push((target.clone(), request(route.method, &target, who, b"")));
            }
        }
        requests
    })
    .await;
}

#[tokio::test]
async fn no_path_or_query_upsets_a_route() {
    each_route(|_, route, who| {
        let variable = |value: &str| {
            let parts =
                route.path.split('/').map(|part| if part.starts_with('{') { value } else { part });
            parts.collect::<Vec<_>>().join("/")
        };
        let long = "x".repeat(20_000);
        let longer = "%41".repeat(12_000);
        let mut targets: Vec<String> =
            ODD.iter().map(|odd| variable(&odd.replace('[', "%5B"))).collect();
        targets.extend([variable(&long), variable(&longer)]);
        for query in
            ["%", "%00=%00", "a=b&a=b", "limit=1&limit=2", "=", "&&&", "\"", "a[]=1", "a%5B0%5D=1"]
        {
            targets.push(format!("{}?{query}", variable("000000000000")));
        }
        targets.push(format!("{}?{long}", variable("000000000000")));
        targets.push(format!("{}?{}", variable("000000000000"), "a=1&".repeat(6_000)));
        targets.push(format!("{}/", variable("000000000000")));
        targets.push(format!("/{}", variable("000000000000")));
        targets.push(format!("http://127.0.0.1{}", variable("000000000000")));
        targets
            .into_iter()
            .map(|target| {
                let about = target.chars().take(100).collect();
                (about, request(route.method, &target, who, b""))
            })
            .collect()
    })
    .await;
}

#[tokio::test]
async fn no_header_or_method_upsets_a_route() {
    each_route(|scene, route, who| {
        let path = scene.path(route);
        let mut requests = Vec::new();
        for method in ["BREW", "TRACE", "PROPFIND", "OPTIONS", "get", "CONNECT", "M-SEARCH"] {
            requests.push((method.to_owned(), request(method, &path, who, b"")));
        }
        let long = "x".repeat(20_000);
        let too_long = "x".repeat(40_000);
        let many: String = (0..100).fold(String::new(), |mut many, n| {
            let _ = write!(many, "X-{n}: 1\r\n");
            many
        });
        for fields in [
            "Content-Type: application/xml\r\n",
            "Content-Type: multipart/form-data; boundary=\r\n",
            "Content-Encoding: gzip\r\n",
            "Accept: \x7f\r\n",
            "Accept: application/x-nothing\r\n",
            "Expect: 100-continue\r\n",
            "Expect: nonsense\r\n",
            "Upgrade: websocket\r\n",
            "Range: bytes=0-99999999999999999999\r\n",
            "If-None-Match: \"\r\n",
            "Idempotency-Key: \r\n",
            "Idempotency-Key: a\r\nIdempotency-Key: b\r\n",
            "Authorization: Bearer\r\n",
            "Authorization: Basic AAAA\r\n",
            "Authorization: Bearer mw_\u{e9}\r\n",
            "Cookie: mw_session=\r\n",
            "Cookie: =; ; mw_session=a; mw_session=b\r\n",
            "Origin: null\r\n",
            "Sec-Fetch-Site: cross-site\r\n",
            "X-Forwarded-For: junk\r\n",
            "X-Request-Id: mine\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Content-Length: 5\r\n",
            "Host: elsewhere\r\n",
            &format!("X-Long: {long}\r\n"),
            &format!("X-Long: {too_long}\r\n"),
            &many,
        ] {
            let about = fields.chars().take(60).collect();
            requests.push((about, request(route.method, &path, &format!("{who}{fields}"), b"{}")));
        }
        let head = format!(
            "{} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{who}",
            route.method
        );
        for rest in [
            "Content-Length: 99999999999\r\n\r\n{",
            "Content-Length: 99999999999999999999999\r\n\r\n{",
            "Content-Length: -1\r\n\r\n{",
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &format!("Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n{}", "x".repeat(200_000)),
            "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX: 1\r\n\r\n",
            " folded\r\n\r\n",
        ] {
            let about = rest.chars().take(60).collect();
            requests.push((about, format!("{head}{rest}").into_bytes()));
        }
        requests
    })
    .await;
}

#[test]
fn every_kind_of_route_is_there() {
    assert!(ROUTES.iter().filter(|route| route.kind == Kind::Api).count() > 30);
    assert!(ROUTES.iter().filter(|route| route.kind == Kind::Page).count() > 10);
}
