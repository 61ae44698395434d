//! A person with a browser: follows redirects, keeps cookies, fills in forms.

use std::collections::HashMap;

use reqwest::blocking::{Client, Response};
use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use url::Url;

pub(crate) struct Browser {
    client: Client,
    server: Url,
    cookies: HashMap<String, String>,
}

/// A page that is shown.
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: u16,
    pub(crate) html: String,
}

impl Browser {
    pub(crate) fn new(server: &str) -> Self {
        let client = Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { client, server: Url::parse(server).unwrap(), cookies: HashMap::new() }
    }

    pub(crate) fn open(&mut self, url: &str) -> Page {
        let url = Url::parse(url).unwrap();
        let response = self.send(self.client.get(url.clone()), &url);
        self.follow(url, response)
    }

    /// Submits the form of a page that leads to `action`.
    pub(crate) fn submit(&mut self, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
        let form = page
            .html
            .split("<form")
            .find(|form| form.contains(&format!("action=\"{action}\"")))
            .unwrap_or_else(|| panic!("no form leads to {action}: {}", page.html));
        let ticket = form
            .split_once("name=\"ticket\" value=\"")
            .and_then(|(_, rest)| rest.split_once('"'))
            .map(|(ticket, _)| ticket);
        let fields = fields.iter().copied().chain(ticket.map(|ticket| ("ticket", ticket)));
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let url = page.url.join(action).unwrap();
        let request = self
            .client
            .post(url.clone())
            .header(ORIGIN, self.server.origin().ascii_serialization())
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body);
        let response = self.send(request, &url);
        self.follow(url, response)
    }

    fn send(&mut self, request: reqwest::blocking::RequestBuilder, url: &Url) -> Response {
        let own = url.origin() == self.server.origin();
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if own && !cookies.is_empty() {
            request.header(COOKIE, cookies.join("; "))
        } else {
            request
        };
        let response = request.header("Accept", "text/html").send().unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        response
    }

    fn follow(&mut self, mut url: Url, mut response: Response) -> Page {
        for _ in 0..10 {
            let Some(location) = response.headers().get(LOCATION) else {
                let status = response.status().as_u16();
                return Page { url, status, html: response.text().unwrap() };
            };
            url = url.join(location.to_str().unwrap()).unwrap();
            response = self.send(self.client.get(url.clone()), &url);
        }
        panic!("redirected without end, last to {url}");
    }

    /// Makes the first account of a server.
    pub(crate) fn set_up(&mut self, link: &str, login: &str, password: &str) {
        let page = self.open(link);
        let fields =
            [("login", login), ("name", ""), ("password", password), ("password_again", password)];
        let page = self.submit(&page, "/setup", &fields);
        assert_eq!(page.status, 200, "{}", page.html);
        assert!(page.html.contains(login), "signed in: {}", page.html);
    }

    /// Takes an invite by its link, with a new account.
    pub(crate) fn take_invite(&mut self, link: &str, login: &str, password: &str) {
        let page = self.open(link);
        let path = page.url.path().to_owned();
        let fields = [("login", login), ("password", password), ("password_again", password)];
        let page = self.submit(&page, &path, &fields);
        assert!(page.html.contains("You are in."), "{}", page.html);
    }

    /// Opens what `meshwire login` asked for, and lets it in.
    pub(crate) fn allow_command_line(&mut self, url: &str) {
        let mut page = self.open(url);
        assert_eq!(page.status, 200, "{}", page.html);
        if let Some(link) = github_link(&page.html) {
            let link = page.url.join(&link).unwrap();
            page = self.open(link.as_str());
        }
        let done = self.submit(&page, "/auth/cli", &[]);
        assert_eq!(done.status, 200, "{}", done.html);
        assert_eq!(done.url.host_str(), Some("127.0.0.1"));
        assert_eq!(done.url.path(), "/callback");
    }
}

/// Where the button for signing in with GitHub leads, if there is one.
fn github_link(html: &str) -> Option<String> {
    let (_, rest) = html.split_once("href=\"/auth/github")?;
    let (query, _) = rest.split_once('"')?;
    Some(format!("/auth/github{query}"))
}
