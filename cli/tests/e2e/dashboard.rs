//! What people do in the dashboard, in a real browser, while the command line does its part.

use serde_json::Value;
use tempfile::TempDir;

use crate::browser::Browser;
use crate::github::{CLIENT_ID, CLIENT_SECRET, StandIn};
use crate::page_checks::{check_page, check_without_scripts};
use crate::program::Computer;
use crate::service::Service;
use crate::webdriver::{Chromium, ENTER, TAB};

/// What a hostile agent writes.
const HOSTILE: &str =
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">";

/// A server with the stand-in for GitHub.
struct World {
    github: StandIn,
    service: Service,
    _data: TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let github = runtime.block_on(StandIn::start());
        let data = tempfile::tempdir().unwrap();
        let settings = vec![
            ("MESHWIRE_GITHUB_CLIENT_ID", CLIENT_ID.to_owned()),
            ("MESHWIRE_GITHUB_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
            ("MESHWIRE_GITHUB_URL", github.url().to_string()),
            ("MESHWIRE_GITHUB_API_URL", github.url().to_string()),
        ];
        let service = Service::with(data.path(), settings);
        Self { github, service, _data: data, _runtime: runtime }
    }

    /// A browser in which this person of GitHub has signed in.
    fn person(&self, id: u64, login: &str) -> Chromium {
        self.github.set_user(id, login, None);
        let browser = Chromium::start();
        browser.open(&self.service.url);
        browser.shows("Your coding agents, in touch.");
        browser.click(".account a.button");
        browser.shows("Sign in");
        browser.click("main a.button");
        browser.shows(&format!("Hello, {login}"));
        browser
    }

    /// A computer on which this person has signed the command line in.
    fn computer(&self, id: u64, login: &str) -> Computer {
        self.github.set_user(id, login, None);
        let mut computer = Computer::new();
        computer.set("MESHWIRE_URL", &self.service.url);
        let said = computer.sign_in("meshwire login", &mut Browser::new(&self.service.url));
        assert!(said.contains(login), "{said}");
        computer
    }

    fn open(&self, browser: &Chromium, path: &str) {
        browser.open(&format!("{}{path}", self.service.url));
    }
}

/// Makes a mesh with the form of the start page; the path of its page.
#[track_caller]
fn make_mesh(browser: &Chromium, name: &str) -> String {
    browser.click("#name");
    browser.press(&format!("{name}{ENTER}"));
    browser.shows(name);
    let path = browser.url().path().to_owned();
    assert!(path.starts_with("/meshes/"), "{path}");
    path
}

/// The id of the mesh with this page.
fn id_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// Waits until the page that is open, and is not loaded again, says this.
#[track_caller]
fn says_by_itself(browser: &Chromium, css: &str, text: &str) {
    browser.wait_until(
        &format!(
            "return window.isTheSamePage === true &&
                 [...document.querySelectorAll('{css}')].some(it => it.innerText.includes(arguments[0]))"
        ),
        text,
    );
}

/// Marks the page that is open, once it hears of news.
#[track_caller]
fn is_live(browser: &Chromium) {
    browser.says("Live: new messages appear by themselves.");
    browser.script("window.isTheSamePage = true");
}

#[test]
fn a_button_that_is_clicked_twice_sends_once() {
    let world = World::new();
    let browser = &world.person(1, "octocat");
    // The page stays, and tells which of the clicks would have been sent.
    let sent = browser.script(
        "const form = document.querySelector('form[action=\"/meshes\"]'), sent = [];
         addEventListener('submit', event => {
             sent.push(!event.defaultPrevented);
             event.preventDefault();
         });
         form.elements.name.value = 'twice';
         form.querySelector('button').click();
         form.querySelector('button').click();
         dispatchEvent(new Event('pageshow'));
         form.querySelector('button').click();
         return sent",
    );
    assert_eq!(
        sent,
        serde_json::json!([true, false, true]),
        "the third one is on a page that was come back to"
    );
}

#[test]
fn messages_agents_and_what_became_of_them_appear_live() {
    let world = World::new();
    let browser = &world.person(1, "octocat");
    check_page(browser, "home-empty", "Your meshes", &[]);
    let page = make_mesh(browser, "fleet");
    let mesh = id_of(&page);
    browser.says("No messages yet.");
    check_page(browser, "mesh-empty", "Messages · fleet", &[]);
    is_live(browser);

    let computer = world.computer(1, "octocat");
    computer.does(&format!("meshwire mesh use {mesh}"));
    computer.does("MESHWIRE_AGENT_NAME=builder meshwire send 'The tests are green.'");
    says_by_itself(browser, "#messages .message", "The tests are green.");
    says_by_itself(browser, "#messages .message", "builder");
    says_by_itself(browser, "#agents", "builder");
    let listener = computer.start("meshwire listen --agent worker");
    listener.says("Press Ctrl+C to stop");
    says_by_itself(browser, "#agents", "worker");
    // A sign of life: the last one may be long ago.
    computer.does("meshwire inbox --agent builder");
    browser.wait_until("return document.querySelectorAll('#agents svg .node.on').length > 1", "");

    // What is written here goes to one agent, and its way can be seen.
    world.open(browser, &page);
    browser.shows("fleet");
    browser.script(
        "const choice = [...document.querySelectorAll('#to option')].find(it => it.innerText === 'worker');
         document.querySelector('#to').value = choice.value",
    );
    browser.click("#content");
    browser.press("Please look at the log.");
    browser.click("#compose button");
    listener.prints("Please look at the log.");
    is_live(browser);
    says_by_itself(browser, "#messages .message:first-child .delivery", "Acknowledged");

    // An answer stands beside what it answers.
    let history: Value = serde_json::from_str(&computer.does("meshwire history --json")).unwrap();
    let asked = history["messages"].as_array().unwrap();
    let asked = asked.iter().find(|it| it["content"] == "Please look at the log.").unwrap();
    let id = &asked["id"];
    computer.does(&format!("MESHWIRE_AGENT_NAME=worker meshwire reply {id} 'Looked at it.'"));
    says_by_itself(browser, "#messages .message:first-child", "Looked at it.");
    says_by_itself(browser, "#messages .message:first-child .answers", "Please look at the log.");
    check_page(browser, "mesh", "Messages · fleet", &[]);
    world.open(browser, &format!("{page}/messages/{id}"));
    browser.says("Looked at it.");
    check_page(browser, "thread", "One message · fleet", &[]);
}

#[test]
fn what_agents_write_is_text_on_every_page() {
    let world = World::new();
    let browser = &world.person(1, "octocat");
    let page = make_mesh(browser, "<b>fleet</b>");
    let mesh = id_of(&page);
    is_live(browser);
    let computer = world.computer(1, "octocat");
    computer.does(&format!("meshwire mesh use {mesh}"));
    computer.does(&format!("meshwire send '{}'", HOSTILE.replace('\'', "'\\''")));
    says_by_itself(browser, "#messages .message .content", HOSTILE);
    let token = computer.does(&format!("meshwire token create --mesh {mesh} --json"));
    let token: Value = serde_json::from_str(&token).unwrap();
    let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    let post = |path: &str, body: &Value| {
        let url = format!("{}/mesh/{mesh}/{path}", world.service.url);
        let request = client.post(url).bearer_auth(token["token"].as_str().unwrap());
        let answer = request.body(body.to_string()).send().unwrap();
        assert_eq!(answer.status(), 201);
        serde_json::from_str::<Value>(&answer.text().unwrap()).unwrap()
    };
    post("agents", &serde_json::json!({"name": "evil", "description": HOSTILE}));
    says_by_itself(browser, "#agents", "evil");
    let sent = post(
        "messages",
        &serde_json::json!({"from": "evil", "content": format!("{HOSTILE} again"), "metadata": {HOSTILE: HOSTILE}}),
    );
    says_by_itself(browser, "#messages .message .content", "again");
    for path in [
        String::new(),
        format!("/messages/{}", sent["id"]),
        "/people".to_owned(),
        "/settings".to_owned(),
    ] {
        world.open(browser, &format!("{page}{path}"));
        browser.shows("<b>fleet</b>");
        assert!(browser.title().contains("<b>fleet</b>"), "{}", browser.title());
        assert_eq!(
            browser
                .script("return document.querySelectorAll('main script, main img, main b').length"),
            0
        );
        let name = format!("hostile{}", path.split('/').nth(1).unwrap_or_default());
        check_page(browser, &name, browser.title().trim_end_matches(" · MeshWire"), &[]);
    }
}

#[test]
fn a_second_person_is_invited_another_one_asks_and_both_can_be_removed() {
    let world = World::new();
    let owner = &world.person(1, "octocat");
    let page = make_mesh(owner, "fleet");
    world.open(owner, &format!("{page}/people"));
    owner.shows("fleet");
    check_page(owner, "people", "People · fleet", &[]);
    owner.click("form[action$='/invites'] button");
    owner.says("The invite is made");
    check_page(owner, "people-invited", "People · fleet", &[]);
    let link = owner.text_of(".secret");

    // By the link.
    let guest = &world.person(2, "hubot");
    world.open(guest, &page);
    guest.shows("You are not in this mesh.");
    let refused = "Failed to load resource: the server responded with a status of 403";
    check_page(guest, "stranger", "Not a member", &[refused]);
    guest.open(&link);
    guest.shows("You are asked to join a mesh.");
    guest.click("main form button");
    guest.shows("You are in.");
    check_page(guest, "joined", "Join a mesh", &[]);

    // By asking.
    let asker = &world.person(3, "monalisa");
    world.open(asker, &format!("/join/{}", id_of(&page)));
    asker.shows("You are asked to join a mesh.");
    asker.click("main form button");
    asker.shows("You have asked to join.");
    world.open(owner, "/");
    owner.says("1 asks to join");
    world.open(owner, &format!("{page}/people"));
    owner.says("They ask to join");
    check_page(owner, "people-asked", "People · fleet", &[]);
    owner.click("button[value='accept monalisa']");
    owner.wait_until(
        "return document.readyState === 'complete' && !document.querySelector('#decide')
             && document.body.innerText.includes(arguments[0])",
        "monalisa",
    );

    // All of them see what one of them writes.
    for browser in [guest, asker] {
        world.open(browser, &page);
        is_live(browser);
    }
    world.open(owner, &page);
    owner.click("#content");
    owner.press("Welcome, both of you.");
    owner.click("#compose button");
    for browser in [guest, asker] {
        says_by_itself(browser, "#messages .message", "Welcome, both of you.");
    }

    // Who is removed sees nothing more, at once.
    world.open(owner, &format!("{page}/people"));
    owner.shows("fleet");
    owner.script("for (const it of document.querySelectorAll('.rows details')) it.open = true");
    owner.click("button[value='hubot'].danger");
    says_by_itself(guest, "#live", "Nothing new appears here.");
    world.open(owner, &page);
    owner.click("#content");
    owner.press("Only for us.");
    owner.click("#compose button");
    says_by_itself(asker, "#messages .message", "Only for us.");
    assert!(!guest.text().contains("Only for us."));
    world.open(guest, &page);
    guest.shows("You are not in this mesh.");
}

#[test]
fn a_mesh_is_renamed_paused_and_deleted_by_its_name() {
    let world = World::new();
    let browser = &world.person(1, "octocat");
    let page = make_mesh(browser, "fleet");
    let computer = world.computer(1, "octocat");
    let settings = || {
        world.open(browser, &format!("{page}/settings"));
        browser.says("Delete the mesh");
    };
    settings();
    check_page(browser, "settings", "Settings · fleet", &[]);
    browser.script("document.querySelector('#name').value = ''");
    browser.click("#name");
    browser.press(&format!("navy{ENTER}"));
    browser.shows("navy");
    browser.click("button[name=paused]");
    browser.says("This mesh is paused");
    check_page(browser, "settings-paused", "Settings · navy", &[]);
    let refused = computer.run("meshwire send 'Anybody there?'");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("paused"), "{refused:?}");
    browser.click("button[name=paused]");
    browser.says("Pause the mesh");
    computer.does("meshwire send 'Anybody there?'");

    settings();
    browser.click("#confirm");
    browser.press(&format!("fleet{ENTER}"));
    browser.wait_until("return document.querySelector('#confirm')?.ariaInvalid === 'true'", "");
    browser.click("#confirm");
    browser.script("document.querySelector('#confirm').value = ''");
    browser.press(&format!("navy{ENTER}"));
    browser.shows("Hello, octocat");
    browser.says("You are in no mesh yet.");
    let refused = computer.run(&format!("meshwire send x --mesh {}", id_of(&page)));
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
}

#[test]
fn everything_about_a_mesh_can_be_done_with_the_keyboard_and_read_without_scripts() {
    let world = World::new();
    let browser = &world.person(1, "octocat");
    let page = make_mesh(browser, "fleet");
    // From the top of the page to the message, past the frame and the pages of the mesh.
    let focus = |wanted: &str| {
        for _ in 0..40 {
            browser.press(TAB);
            let focused = browser
                .script("return document.activeElement.id || document.activeElement.innerText");
            if focused.as_str().is_some_and(|it| it.trim() == wanted) {
                assert_eq!(
                    browser.script("return !!document.querySelector(':focus-visible')"),
                    true
                );
                return;
            }
        }
        panic!("the Tab key never comes to {wanted}");
    };
    world.open(browser, &page);
    focus("content");
    browser.press(&format!("By keyboard alone.{TAB}{ENTER}"));
    browser.says("By keyboard alone.");
    focus("People");
    browser.press(ENTER);
    browser.says("Invite someone");
    focus("Make the invite");
    browser.press(ENTER);
    browser.says("The invite is made");

    for path in ["", "/people", "/settings", "?before=9007199254740991"] {
        check_without_scripts(browser, &format!("{}{page}{path}", world.service.url));
    }
    for path in ["/", "/account", "/account/tokens", "/device", "/guide", "/status"] {
        check_without_scripts(browser, &format!("{}{path}", world.service.url));
    }
}

#[test]
fn the_pages_of_who_is_signed_in_fit_and_are_quiet() {
    let world = World::new();
    let browser = &world.person(1, "octocat");
    let mesh = id_of(&make_mesh(browser, "fleet")).to_owned();
    for (name, path, title) in [
        ("home", "/", "Your meshes"),
        ("account", "/account", "Account"),
        ("guide", "/guide", "Setup guide"),
        ("status", "/status", "Status"),
    ] {
        world.open(browser, path);
        check_page(browser, name, title, &[]);
    }
    world.open(browser, "/guide");
    browser.says(&format!("meshwire init --harness claude --mesh {mesh}"));
}
