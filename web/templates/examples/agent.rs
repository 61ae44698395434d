//! An agent that prints what it gets and answers "ping".
//!
//! `cargo add reqwest --no-default-features --features rustls,blocking && cargo add serde_json`

use std::env::var;
use std::error::Error;
use std::thread::sleep;
use std::time::Duration;

use reqwest::Method;
use reqwest::blocking::Client;
use serde_json::{Value, json};

/// A mesh, and how to reach it.
struct Mesh {
    http: Client,
    url: String,
    token: String,
}

impl Mesh {
    /// Calls until there is an answer that is not about the moment.
    fn call(
        &self,
        method: &Method,
        path: &str,
        body: &Value,
        key: &str,
    ) -> Result<Value, Box<dyn Error>> {
        let mut failures = 0;
        loop {
            let mut pause = [2, 5, 15][failures.min(2)];
            let mut request = self.http.request(method.clone(), format!("{}{path}", self.url));
            request = request.bearer_auth(&self.token).timeout(Duration::from_secs(75));
            if !key.is_empty() {
                request = request.header("Idempotency-Key", key);
            }
            if !body.is_null() {
                request = request.body(body.to_string());
            }
            match request.send() {
                Ok(answer) if answer.status().is_success() => {
                    return Ok(serde_json::from_str(&answer.text()?)?);
                }
                Ok(answer) if !matches!(answer.status().as_u16(), 429 | 503) => {
                    return Err(answer.text()?.into());
                }
                Ok(answer) => {
                    let wait = answer.headers().get("Retry-After").and_then(|it| it.to_str().ok());
                    pause = wait.and_then(|it| it.parse().ok()).unwrap_or(pause);
                }
                Err(error) => println!("out of reach: {error}"),
            }
            sleep(Duration::from_secs(pause));
            failures += 1;
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let url = format!("{}/mesh/{}", var("MESHWIRE_URL")?, var("MESHWIRE_MESH_ID")?);
    let mesh = Mesh { http: Client::new(), url, token: var("MESHWIRE_TOKEN")? };
    let name = var("MESHWIRE_AGENT_NAME").unwrap_or("my-agent".into());

    let me = mesh.call(&Method::POST, "/agents", &json!({"name": name}), "")?;
    let inbox = format!("/agents/{}/messages?wait=60", me["agent_id"].as_str().unwrap_or_default());
    println!("listening as {name}");
    let mut after = String::new();
    loop {
        let page = mesh.call(&Method::GET, &format!("{inbox}{after}"), &Value::Null, "")?;
        for message in page["messages"].as_array().into_iter().flatten() {
            let (from, content) = (message["from"].as_str(), message["content"].as_str());
            println!("{}: {}", from.unwrap_or_default(), content.unwrap_or_default());
            if content == Some("ping") {
                let reply = json!({"from": name, "reply_to": message["id"], "content": "pong"});
                mesh.call(&Method::POST, "/messages", &reply, &format!("pong-{}", message["id"]))?;
            }
        }
        // Acknowledges the page with the next call, now that it is dealt with.
        after = format!("&after={}", page["cursor"]);
    }
}
