//! A real browser: Chromium without a window, driven over `WebDriver`
//! (<https://www.w3.org/TR/webdriver2/>).

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use reqwest::blocking::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::service::LIMIT;

/// Between two looks at something that is waited for.
const PAUSE: Duration = Duration::from_millis(20);

/// The key that has this member in an element's JSON (section 12 of the standard).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys that are no characters.
pub(crate) const TAB: &str = "\u{e004}";
pub(crate) const ENTER: &str = "\u{e007}";

/// Runs in every document before anything else of it: what its policy refused is kept.
const WATCH: &str = "window.refusedByPolicy = [];
    addEventListener('securitypolicyviolation', event =>
        refusedByPolicy.push(`${event.effectiveDirective} ${event.blockedURI}`));";

const ARGUMENTS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en",
    "--window-size=1200,900",
];

/// ChromeDriver and what it starts; all of it is ended when this is dropped.
struct Driver {
    process: Child,
    scratch: TempDir,
}

impl Driver {
    /// Starts it on a free port; its address.
    fn start() -> (Self, String) {
        let scratch = tempfile::tempdir().unwrap();
        let program =
            std::env::var_os("MESHWIRE_TEST_CHROMEDRIVER").unwrap_or_else(|| "chromedriver".into());
        let log = std::fs::File::create(scratch.path().join("driver.log")).unwrap();
        let mut command = Command::new(program);
        command
            .arg("--port=0")
            .env_clear()
            .env("HOME", scratch.path())
            .env("TMPDIR", scratch.path())
            // By the second, infra/test.sh finds what was left behind.
            .envs(
                std::env::vars_os()
                    .filter(|(name, _)| name == "PATH" || name == "MESHWIRE_TEST_RUN"),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt as _;
            command.process_group(0);
        }
        let process = command.spawn().expect("chromedriver; infra/test.sh installs it");
        let mut driver = Self { process, scratch };

        let (line, lines) = mpsc::channel();
        let output = BufReader::new(driver.process.stdout.take().unwrap());
        std::thread::spawn(move || {
            for text in output.lines().map_while(Result::ok) {
                let _ = line.send(text);
            }
        });
        let deadline = Instant::now() + LIMIT;
        let port = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let text = lines
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("chromedriver did not start: {}", driver.log()));
            if let Some((_, port)) = text.split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        (driver, format!("http://127.0.0.1:{port}"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("driver.log")).unwrap_or_default()
    }

    /// Its processes that left its group, as crash handlers do: they have its home in their environment.
    fn strays(&self) -> Vec<String> {
        let home = format!("HOME={}", self.scratch.path().display());
        let is_ours = |process: &Path| {
            std::fs::read(process.join("environ")).is_ok_and(|environment| {
                environment.split(|byte| *byte == 0).any(|entry| entry == home.as_bytes())
            })
        };
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter(|process| is_ours(&process.path()))
            .map(|process| process.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let kill = |process: &str| {
            let _ =
                Command::new("kill").args(["-KILL", "--", process]).stderr(Stdio::null()).status();
        };
        kill(&format!("-{}", self.process.id()));
        let _ = self.process.wait();
        let deadline = Instant::now() + LIMIT;
        loop {
            let strays = self.strays();
            if strays.is_empty() || Instant::now() > deadline {
                break;
            }
            for process in &strays {
                kill(process);
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// A browser with a profile of its own.
pub(crate) struct Chromium {
    client: Client,
    session: String,
    driver: Driver,
}

impl Chromium {
    pub(crate) fn start() -> Self {
        let (driver, address) = Driver::start();
        let client = Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
        let mut arguments = ARGUMENTS.map(str::to_owned).to_vec();
        let profile = driver.scratch.path().join("profile");
        arguments.push(format!("--user-data-dir={}", profile.display()));
        let mut browser = Self { client, session: format!("{address}/session"), driver };
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"args": arguments},
        }}});
        let session = browser.post("", &wanted);
        let id = session["sessionId"].as_str().unwrap().to_owned();
        browser.session = format!("{}/{id}", browser.session);
        browser.devtools("Page.enable", &json!({}));
        // The page has the focus of its window also after Tab has left it at its end, as for a person
        // who then opens another address.
        browser.devtools("Emulation.setFocusEmulationEnabled", &json!({"enabled": true}));
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({"source": WATCH}));
        browser
    }

    /// One command; what it returned, or why it was refused.
    fn command(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let request = self.client.request(method, format!("{}{path}", self.session));
        let request = match body {
            Some(body) => request.header("Content-Type", "application/json").body(body.to_string()),
            None => request,
        };
        let answer = request.send().map_err(|error| error.to_string())?;
        let succeeded = answer.status().is_success();
        let text = answer.text().map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&text).map_err(|_| text.clone())?;
        if succeeded { Ok(answer["value"].clone()) } else { Err(answer["value"].to_string()) }
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        match self.command(Method::POST, path, Some(body)) {
            Ok(value) => value,
            Err(error) => panic!("{path} {body}: {error}\n{}", self.driver.log()),
        }
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.command(Method::GET, path, None).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A command of Chromium's own protocol.
    #[track_caller]
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// Opens a page as if its address had been typed in, and waits until it has loaded.
    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    pub(crate) fn url(&self) -> url::Url {
        self.get("/url").as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn title(&self) -> String {
        self.get("/title").as_str().unwrap().to_owned()
    }

    /// What a person reads on the page.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap().to_owned()
    }

    /// Runs the body of a function in the page; what it returned.
    #[track_caller]
    pub(crate) fn script(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Runs the body of a function in the page that calls its last argument; what it called it with.
    #[track_caller]
    pub(crate) fn script_that_calls_back(&self, script: &str) -> Value {
        self.post("/execute/async", &json!({"script": script, "args": []}))
    }

    /// The document that was loaded since this was asked last, as the server sent it.
    #[track_caller]
    pub(crate) fn source(&self) -> String {
        let entries = self.post("/se/log", &json!({"type": "performance"}));
        let entries = entries.as_array().unwrap().iter();
        let events = entries.map(|entry| {
            let text = entry["message"].as_str().unwrap();
            serde_json::from_str::<Value>(text).unwrap()["message"].take()
        });
        let mut documents = events.filter(|event| {
            event["method"] == "Network.responseReceived" && event["params"]["type"] == "Document"
        });
        let last = documents.next_back().expect("a page was loaded");
        let wanted = json!({"requestId": last["params"]["requestId"]});
        let body = self.devtools("Network.getResponseBody", &wanted);
        body["body"].as_str().unwrap().to_owned()
    }

    /// Waits until a script returns true; pages may come and go meanwhile.
    #[track_caller]
    pub(crate) fn wait_until(&self, script: &str, argument: &str) {
        let body = json!({"script": script, "args": [argument]});
        let deadline = Instant::now() + LIMIT;
        loop {
            let answer = self.command(Method::POST, "/execute/sync", Some(&body));
            if answer == Ok(Value::Bool(true)) {
                return;
            }
            if Instant::now() > deadline {
                let page = self.command(
                    Method::POST,
                    "/execute/sync",
                    Some(&json!({"script": "return location + '\\n' + document.body.innerText", "args": []})),
                );
                panic!("never came {argument:?} ({answer:?}): {page:?}");
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until a page with this heading has loaded.
    #[track_caller]
    pub(crate) fn shows(&self, heading: &str) {
        let script = "return document.readyState === 'complete' && \
             document.querySelector('h1')?.innerText === arguments[0]";
        self.wait_until(script, heading);
    }

    /// Waits until a page has loaded that says this.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        let script = "return document.readyState === 'complete' && \
             document.body.innerText.includes(arguments[0])";
        self.wait_until(script, text);
    }

    /// Waits until the focus is, visibly, on the element with this id.
    #[track_caller]
    pub(crate) fn focuses(&self, id: &str) {
        self.wait_until("return document.querySelector(':focus-visible')?.id === arguments[0]", id);
    }

    /// The elements that a CSS selector finds.
    #[track_caller]
    pub(crate) fn all(&self, css: &str) -> Vec<String> {
        let found = self.post("/elements", &json!({"using": "css selector", "value": css}));
        let ids = found.as_array().unwrap().iter();
        ids.map(|element| element[ELEMENT].as_str().unwrap().to_owned()).collect()
    }

    /// The one element that a CSS selector finds.
    #[track_caller]
    fn one(&self, css: &str) -> String {
        match &self.all(css)[..] {
            [element] => element.clone(),
            found => panic!("{} elements are {css}:\n{}", found.len(), self.text()),
        }
    }

    /// The text of the one element that a CSS selector finds.
    #[track_caller]
    pub(crate) fn text_of(&self, css: &str) -> String {
        let element = self.one(css);
        self.get(&format!("/element/{element}/text")).as_str().unwrap().to_owned()
    }

    /// Clicks with the mouse.
    #[track_caller]
    pub(crate) fn click(&self, css: &str) {
        let element = self.one(css);
        self.post(&format!("/element/{element}/click"), &json!({}));
    }

    /// Presses keys, wherever the focus is.
    #[track_caller]
    pub(crate) fn press(&self, keys: &str) {
        let keys: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key})))
            .collect();
        let actions = json!([{"type": "key", "id": "keyboard", "actions": keys}]);
        self.post("/actions", &json!({"actions": actions}));
    }

    pub(crate) fn cookies(&self) -> Vec<Value> {
        self.get("/cookie").as_array().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn set_cookie(&self, cookie: &Value) {
        self.post("/cookie", &json!({"cookie": cookie}));
    }

    /// The whole page as a PNG.
    pub(crate) fn screenshot(&self) -> Vec<u8> {
        let whole = json!({"captureBeyondViewport": true});
        let picture = self.devtools("Page.captureScreenshot", &whole);
        BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
    }

    /// What the console says since it was asked last.
    pub(crate) fn console(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Chromium ends by itself, and then the driver ends whatever is left.
        let _ = self.client.delete(&self.session).timeout(Duration::from_secs(5)).send();
    }
}
