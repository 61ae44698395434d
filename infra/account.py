"""The first account of a server, and its API: made and asked as people and programs do it."""

import base64
import contextlib
import hashlib
import http.client
import http.cookiejar
import json
import re
import secrets
import urllib.error
import urllib.parse
import urllib.request

PASSWORD = "correct horse battery staple"


class StayHere(urllib.request.HTTPRedirectHandler):
    """The last redirect of a sign-in leads to a command line that does not listen."""

    def redirect_request(self, *_):
        return None


class Account:
    """The account `ada`, made with the one-time link that the server has printed."""

    def __init__(self, set_up):
        self.base = set_up.split("/setup?")[0]
        self.browser = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
            StayHere,
        )
        self.token = self.sign_in(set_up)

    def page(self, path, form=None):
        """What a browser gets from this path: the page, or the place where a redirect leads."""
        body = urllib.parse.urlencode(form).encode() if form else None
        url = urllib.parse.urljoin(self.base, path)
        request = urllib.request.Request(url, body, {"Origin": self.base})
        try:
            with self.browser.open(request, timeout=30) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as answer:
            if answer.code == 303:
                return answer.headers["Location"]
            raise RuntimeError(f"{path}: {answer.code} {answer.read().decode()}") from None

    def sign_in(self, set_up):
        """Makes the account and signs a command line in; its token."""
        form = {"ticket": ticket(self.page(set_up)), "login": "ada", "name": "Ada"}
        self.page("/setup", form | {"password": PASSWORD, "password_again": PASSWORD})
        verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        asked = urllib.parse.urlencode({"port": 9000, "state": "x", "code_challenge": challenge})
        back = self.page("/auth/cli", {"ticket": ticket(self.page(f"/auth/cli?{asked}"))})
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(back).query)["code"][0]
        exchange = {"code": code, "code_verifier": verifier}
        return self.ask("POST", "/auth/cli/token", exchange, {})["token"]

    def api(self, method, path, body=None):
        """Asks the JSON API with the account's token."""
        return self.ask(method, path, body, {"Authorization": f"Bearer {self.token}"})

    def ask(self, method, path, body, headers):
        """Asks the JSON API, which has to agree."""
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.base).netloc, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        if answer.status not in (200, 201):
            raise RuntimeError(f"{method} {path}: {answer.status} {text}")
        return json.loads(text)


def ticket(text):
    return re.search(r'name="ticket" value="([^"]+)"', text).group(1)
