//! What an operator of a real server gets: metrics on a listener of their own, a log that programs read.

use std::io::BufRead as _;

use reqwest::blocking::Client;

use crate::service::Service;

#[test]
fn metrics_are_served_apart_and_the_log_is_json_when_told() {
    let data = tempfile::tempdir().unwrap();
    let environment = vec![
        ("MESHWIRE_METRICS_BIND", "127.0.0.1:0".to_owned()),
        ("MESHWIRE_LOG_FORMAT", "json".to_owned()),
        ("MESHWIRE_LOG", "info".to_owned()),
    ];
    let mut service = Service::with(data.path(), environment);
    let client = Client::builder().no_proxy().build().unwrap();
    let get = |url: &str| client.get(url).send().unwrap();
    let answer = get(&format!("{}/health", service.url));
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();

    let url = service.metrics.clone().unwrap();
    let text = get(&url).text().unwrap();
    assert!(
        text.contains("meshwire_requests_total{method=\"GET\",route=\"/health\",status=\"200\"} 1"),
        "{text}"
    );
    assert!(text.contains("meshwire_connections 1\n"), "{text}");
    assert_eq!(get(&url.replace("/metrics", "/health")).status(), 404, "nothing else is there");
    assert_eq!(get(&format!("{}/metrics", service.url)).status(), 404, "nor the other way round");

    drop(client);
    service.terminate();
    let log = std::fs::File::open(data.path().join("server.log")).unwrap();
    let lines: Vec<serde_json::Value> = std::io::BufReader::new(log)
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    let line = lines.iter().find(|line| line["span"]["id"] == id.as_str()).unwrap();
    assert_eq!((&line["route"], &line["status"]), (&"/health".into(), &200.into()), "{line}");
}
