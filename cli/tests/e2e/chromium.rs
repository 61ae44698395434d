//! The pages in a real browser: with mouse and keyboard, under their own content security policy.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::browser::Browser;
use crate::page_checks::check_page;
use crate::program::{Computer, Running};
use crate::service::{LIMIT, Service};
use crate::webdriver::{Chromium, ENTER, TAB};

pub(crate) const PASSWORD: &str = "correct horse CaNaRy5f1e";
const CONFIRMATION: &str = "Sign the command line in?";

/// A server, and a browser that has not been there yet.
pub(crate) struct Scene {
    pub(crate) browser: Chromium,
    pub(crate) service: Service,
    /// Removed last.
    _data: TempDir,
}

impl Scene {
    /// A new server.
    pub(crate) fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let service = Service::start(data.path());
        Self { browser: Chromium::start(), service, _data: data }
    }

    /// A server on which ada has an account; the other browser in which she is signed in.
    fn with_account() -> (Self, Browser) {
        let scene = Self::new();
        let mut other = Browser::new(&scene.service.url);
        other.set_up(scene.set_up_link(), "ada", PASSWORD);
        (scene, other)
    }

    /// The same, and she is signed in in Chromium as well.
    pub(crate) fn signed_in() -> (Self, Browser) {
        let (scene, other) = Self::with_account();
        scene.open("/login");
        scene.sign_in("ada", PASSWORD);
        scene.browser.shows("Hello, ada");
        (scene, other)
    }

    fn set_up_link(&self) -> &str {
        self.service.set_up.as_deref().unwrap()
    }

    #[track_caller]
    pub(crate) fn open(&self, path: &str) {
        self.browser.open(&format!("{}{path}", self.service.url));
    }

    /// Fills in the sign-in page that is shown, or is about to be.
    #[track_caller]
    fn sign_in(&self, login: &str, password: &str) {
        self.browser.shows("Sign in");
        // The page puts the focus there by itself.
        self.browser.focuses("login");
        self.browser.press(&format!("{login}{TAB}{password}{ENTER}"));
    }

    /// The code of a computer of this name that asks to be signed in.
    fn device_code(&self, host: &str) -> String {
        let answer = reqwest::blocking::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .post(format!("{}/auth/device/code", self.service.url))
            .body(json!({"client_id": "meshwire", "host": host}).to_string())
            .send()
            .unwrap();
        let answer: Value = serde_json::from_str(&answer.text().unwrap()).unwrap();
        answer["user_code"].as_str().unwrap().to_owned()
    }

    /// A link that makes another account.
    fn add_link(&self) -> String {
        let output = self.service.command(&["user", "add", "bob"]);
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().find(|line| line.contains("/setup?code=")).expect("a link").trim().to_owned()
    }

    /// Starts `meshwire login` on a new computer, up to where it opens a browser.
    fn log_in(&self) -> Login {
        let mut computer = Computer::new();
        computer.set("MESHWIRE_URL", &self.service.url);
        let address = computer.install_browser();
        let program = computer.start("meshwire login");
        Login { url: address_in(&address), program, computer }
    }
}

/// A `meshwire login` that waits for the browser.
struct Login {
    url: Url,
    program: Running,
    computer: Computer,
}

impl Login {
    fn port(&self) -> u16 {
        self.parameter("port").parse().unwrap()
    }

    fn parameter(&self, name: &str) -> String {
        let (_, value) = self.url.query_pairs().find(|(key, _)| key == name).unwrap();
        value.into_owned()
    }

    /// The browser has been to the program, and it is signed in now.
    #[track_caller]
    fn succeeds(&mut self, browser: &Chromium) {
        browser.shows("Signed in");
        let url = browser.url();
        assert_eq!((url.host_str(), url.port()), (Some("127.0.0.1"), Some(self.port())));
        assert_eq!(url.path(), "/callback");
        assert_eq!(browser.console(), [""; 0]);
        let (output, errors) = self.program.wait();
        assert!(output.contains("✓ Signed in as ada!"), "{output}{errors}");
        let who = self.computer.does("meshwire whoami");
        assert!(who.contains("ada"), "{who}");
    }
}

/// The address in a file, once it is there.
#[track_caller]
fn address_in(file: &Path) -> Url {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Ok(text) = std::fs::read_to_string(file) {
            return text.parse().unwrap();
        }
        assert!(Instant::now() < deadline, "no browser was opened");
        std::thread::yield_now();
    }
}

/// What `/auth/cli` is asked on behalf of a computer of this name.
fn request_of(host: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("port", "4321")
        .append_pair("state", &"s".repeat(43))
        .append_pair("code_challenge", &"c".repeat(43))
        .append_pair("code_challenge_method", "S256")
        .append_pair("host", host);
    format!("/auth/cli?{}", query.finish())
}

#[test]
fn a_person_makes_the_first_account_and_signs_the_command_line_in() {
    let scene = Scene::new();
    let browser = &scene.browser;
    browser.open(scene.set_up_link());
    browser.shows("The first account");
    browser.click("label[for=login]");
    browser.press(&format!("ada{TAB}Ada Lovelace{TAB}{PASSWORD}{TAB}{PASSWORD}{ENTER}"));
    browser.shows("Hello, Ada Lovelace");

    let mut login = scene.log_in();
    browser.open(login.url.as_str());
    browser.shows(CONFIRMATION);
    let facts = browser.text_of("dl");
    assert!(facts.contains("ada (Ada Lovelace)"), "the account: {facts}");
    assert!(facts.contains(&login.parameter("host")), "the computer: {facts}");
    assert!(facts.contains(&scene.service.url), "the server: {facts}");
    // Nothing else can be pressed.
    assert_eq!(browser.text_of("button"), "Sign in as ada");
    browser.click("button");
    login.succeeds(browser);
}

#[test]
fn the_command_line_waits_while_a_person_signs_in() {
    let (scene, _) = Scene::with_account();
    let mut login = scene.log_in();
    scene.browser.open(login.url.as_str());
    scene.sign_in("ada", PASSWORD);
    scene.browser.shows(CONFIRMATION);
    assert!(scene.browser.text_of("dl").contains(&login.parameter("host")));
    scene.browser.click("button");
    login.succeeds(&scene.browser);
}

#[test]
fn a_wrong_password_is_said_and_the_login_stays() {
    let (scene, _) = Scene::with_account();
    let browser = &scene.browser;
    // By the other name of this computer: cookies and forms go by the one that the server calls itself.
    let url = Url::parse(&scene.service.url).unwrap();
    browser.open(&format!("http://localhost:{}/login", url.port().unwrap()));
    scene.sign_in("ada", "incorrect horse battery");
    browser.says("Login and password do not fit together.");
    assert_eq!(browser.url().origin(), url.origin());
    assert_eq!(browser.script("return document.querySelector('#login').value"), "ada");
    assert_eq!(browser.script("return document.querySelector('#password').value"), "");
    // Where the mistake was.
    browser.focuses("password");
    browser.press(&format!("{PASSWORD}{ENTER}"));
    browser.shows("Hello, ada");
}

/// What has the focus, when it can be seen that it has it.
#[track_caller]
fn focused(browser: &Chromium) -> String {
    let focus = browser.script(
        "const it = document.activeElement;
         if (it === document.body) return {name: 'nothing'};
         const style = getComputedStyle(it), place = it.getBoundingClientRect();
         return {
             name: it.id || it.innerText.trim().replace(/\\s+/g, ' '),
             ring: style.outlineStyle === 'solid' ? parseFloat(style.outlineWidth) : 0,
             inside: place.top >= 0 && place.left >= 0 && place.right <= innerWidth
                 && place.bottom <= innerHeight && place.width > 0,
         };",
    );
    let name = focus["name"].as_str().unwrap().to_owned();
    if name != "nothing" {
        assert!(focus["ring"].as_f64().unwrap() >= 2.0, "no ring around {name:?}: {focus}");
        assert_eq!(focus["inside"], true, "{name:?} is not to be seen: {focus}");
    }
    name
}

/// What the Tab key goes through, once around a page that has just been opened.
#[track_caller]
pub(crate) fn tab_order(browser: &Chromium) -> Vec<String> {
    let mut order = Vec::new();
    loop {
        browser.press(TAB);
        let name = focused(browser);
        if name == "nothing" || order.contains(&name) {
            return order;
        }
        order.push(name);
    }
}

#[test]
fn everything_can_be_done_with_the_keyboard_alone() {
    let scene = Scene::new();
    let browser = &scene.browser;
    let frame = ["Skip to the content", "MeshWire"];
    let foot = ["Guide", "Docs", "Security", "Status"];
    let expect = |rest: &[&str]| {
        assert_eq!(tab_order(browser), [&frame[..], rest].concat(), "{}", browser.url());
    };
    browser.open(scene.set_up_link());
    let fields = ["login", "name", "password", "password-again", "Make the account"];
    expect(&[&fields[..], &foot].concat());
    browser.open(scene.set_up_link());
    browser.press(&format!("{TAB}{TAB}{TAB}ada{TAB}{TAB}{PASSWORD}{TAB}{PASSWORD}{TAB}{ENTER}"));
    browser.shows("Hello, ada");
    scene.open("/account");
    let session = browser.text_of(".browser").replace("this browser", "");
    let end = format!("End the session of {}", session.trim());
    // The places above stand below too, where the round is seen to have ended.
    let places = ["Meshes", "Tokens", "Guide", "Docs", "Your account: ada", "Sign out"];
    expect(&[&places[..], &["your tokens", &end]].concat());
    scene.open("/account");
    browser.press(&format!("{}{TAB}{TAB} ", TAB.repeat(places.len())));
    browser.shows("Your coding agents, in touch.");

    let mut login = scene.log_in();
    browser.open(login.url.as_str());
    browser.shows("Sign in");
    browser.focuses("login");
    assert_eq!(focused(browser), "login");
    browser.press(&format!("ada{TAB}{PASSWORD}{TAB}"));
    assert_eq!(focused(browser), "Sign in");
    browser.press(ENTER);
    browser.shows(CONFIRMATION);
    expect(&[&["Sign in as ada"][..], &foot].concat());
    browser.open(login.url.as_str());
    browser.press(&format!("{TAB}{TAB}{TAB}{ENTER}"));
    login.succeeds(browser);
}

#[test]
fn every_page_fits_and_is_quiet() {
    let scene = Scene::new();
    let browser = &scene.browser;
    let check = |name: &str, title: &str| check_page(browser, name, title, &[]);
    // Chromium says so itself when a page comes with an error status.
    let check_refusal = |name: &str, title: &str, status: &str| {
        let line =
            format!("Failed to load resource: the server responded with a status of {status}");
        check_page(browser, name, title, &[&line]);
    };

    scene.open("/");
    browser.says("Nobody has an account here yet.");
    check("landing-nobody", "Messages between coding agents");
    scene.open("/login");
    browser.says("Nobody has an account here yet.");
    check("sign-in-nobody", "Sign in");
    browser.open(scene.set_up_link());
    check("set-up", "The first account");
    browser.click("#login");
    browser.press(&format!("Ada!{TAB}{TAB}{PASSWORD}{TAB}something else{ENTER}"));
    browser.says("The two passwords are not the same.");
    check_refusal("set-up-refused", "The first account", "400");
    browser.script("document.querySelector('#login').value = ''");
    browser.click("#login");
    browser.press(&format!("ada{TAB}Ada Lovelace{TAB}{PASSWORD}{TAB}{PASSWORD}{ENTER}"));
    browser.shows("Hello, Ada Lovelace");
    check("signed-in", "Your meshes");
    scene.open(&request_of("build-server-7.example.com"));
    browser.shows(CONFIRMATION);
    check("confirmation", "Sign the command line in");
    scene.open(&request_of(&"long-name-".repeat(20)));
    browser.shows(CONFIRMATION);
    check("confirmation-long", "Sign the command line in");
    browser.open(scene.set_up_link());
    browser.says("This link is not valid, or not any more");
    check_refusal("set-up-spent", &browser.text_of("h1"), "400");
    browser.open(&scene.add_link());
    browser.shows("Your account");
    check("added", "Your account");
    scene.open("/device");
    browser.focuses("user-code");
    check("device", "Sign a computer in");
    browser.press(&format!("bcdf-ghjk{ENTER}"));
    browser.says("No computer waits with this code.");
    check_refusal("device-refused", "Sign a computer in", "400");
    for (name, button, title) in
        [("approved", "[value=approve]", "Done."), ("denied", "[value=deny]", "Denied.")]
    {
        scene.open("/device");
        browser.focuses("user-code");
        browser.press(&format!("{}{ENTER}", scene.device_code("build-server-7.example.com")));
        browser.shows("Sign this computer in?");
        check("device-confirm", "Sign a computer in");
        browser.click(button);
        browser.shows(title);
        check(&format!("device-{name}"), "Sign a computer in");
    }
    scene.open("/join/AAAAAAAAAAAA?invite=x");
    browser.shows("You are asked to join a mesh.");
    check("join", "Join a mesh");
    scene.open("/there/is/no/such-page");
    browser.says("404");
    check_refusal("not-found", &browser.text_of("h1"), "404");
    scene.open("/");
    browser.click(".account button");
    browser.shows("Your coding agents, in touch.");
    check("landing", "Messages between coding agents");
    scene.open("/login");
    check("sign-in", "Sign in");
    scene.sign_in("ada", "incorrect horse battery");
    browser.says("Login and password do not fit together.");
    check_refusal("sign-in-refused", "Sign in", "403");
}

#[test]
fn names_are_text_and_fit() {
    let scene = Scene::new();
    let browser = &scene.browser;
    let login = "long-login-".repeat(4)[..39].to_owned();
    let name = "<script>alert(1)</script>".repeat(3)[..64].to_owned();
    browser.open(scene.set_up_link());
    browser.click("#login");
    browser.press(&format!("{login}{TAB}{name}{TAB}{PASSWORD}{TAB}{PASSWORD}{ENTER}"));
    browser.shows(&format!("Hello, {name}"));
    assert!(browser.all("script:not([src])").is_empty());
    check_page(browser, "signed-in-long", "Your meshes", &[]);

    let host = "<img src=x onerror=alert(1)>";
    browser.click(".account button");
    browser.shows("Your coding agents, in touch.");
    scene.open(&request_of(host));
    scene.sign_in(&login, PASSWORD);
    browser.shows(CONFIRMATION);
    let facts = browser.text_of("dl");
    assert!(facts.contains(host) && facts.contains(&name), "{facts}");
    assert!(browser.all("main img, script:not([src])").is_empty());
    check_page(browser, "confirmation-hostile", "Sign the command line in", &[]);
}

fn session_cookie(browser: &Chromium) -> Option<Value> {
    browser.cookies().into_iter().find(|cookie| cookie["name"] == "mw_session")
}

#[test]
fn signing_out_ends_the_session() {
    let (scene, _) = Scene::signed_in();
    let browser = &scene.browser;
    let cookie = session_cookie(browser).unwrap();
    assert_eq!(cookie["httpOnly"], true);
    assert_eq!(cookie["sameSite"], "Lax");
    assert_eq!(browser.script("return document.cookie"), "");
    browser.click(".account button");
    browser.shows("Your coding agents, in touch.");
    assert_eq!(session_cookie(browser), None);
    // Not only the cookie is gone: it is worth nothing any more.
    browser.set_cookie(&cookie);
    scene.open("/");
    browser.shows("Your coding agents, in touch.");
}

#[test]
fn another_session_can_be_ended() {
    let (scene, mut other) = Scene::signed_in();
    let browser = &scene.browser;
    scene.open("/account");
    assert_eq!(browser.all(".sessions li").len(), 2);
    browser.click(".sessions li:not(:has(.badge)) button");
    browser.wait_until("return document.querySelectorAll('.sessions li').length === 1", "");
    browser.shows("Your account");
    assert!(browser.text_of(".sessions").contains("this browser"));
    let page = other.open(&scene.service.url);
    assert!(page.html.contains("Your coding agents, in touch."), "{}", page.html);
}
