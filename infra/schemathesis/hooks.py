"""An account, a mesh and an agent for a run of schemathesis, made as people and programs make them.

The environment says where the server is: MESHWIRE_TEST_SET_UP is the one-time link that it printed.
"""

import base64
import contextlib
import hashlib
import http.client
import http.cookiejar
import itertools
import json
import os
import re
import secrets
import urllib.error
import urllib.parse
import urllib.request

import schemathesis

SET_UP = os.environ["MESHWIRE_TEST_SET_UP"]
BASE = SET_UP.split("/setup?")[0]
PASSWORD = "correct horse battery staple"


class StayHere(urllib.request.HTTPRedirectHandler):
    """The last redirect of a sign-in leads to a command line that does not listen."""

    def redirect_request(self, *_):
        return None


browser = urllib.request.build_opener(
    urllib.request.ProxyHandler({}),
    urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
    StayHere,
)


def page(path, form=None):
    """What a browser gets from this path: the page, or the place where a redirect leads."""
    body = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(urllib.parse.urljoin(BASE, path), body, {"Origin": BASE})
    try:
        with browser.open(request, timeout=30) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as answer:
        if answer.code == 303:
            return answer.headers["Location"]
        raise RuntimeError(f"{path}: {answer.code} {answer.read().decode()}") from None


def ticket(text):
    return re.search(r'name="ticket" value="([^"]+)"', text).group(1)


def api(method, path, body, token=None):
    """Asks the JSON API, which has to agree."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(BASE).netloc, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
    if answer.status not in (200, 201):
        raise RuntimeError(f"{method} {path}: {answer.status} {text}")
    return json.loads(text)


def sign_in():
    """Makes the first account and signs a command line in; its token."""
    form = {"ticket": ticket(page(SET_UP)), "login": "ada", "name": "Ada"}
    page("/setup", form | {"password": PASSWORD, "password_again": PASSWORD})
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    asked = urllib.parse.urlencode({"port": 9000, "state": "x", "code_challenge": challenge})
    back = page("/auth/cli", {"ticket": ticket(page(f"/auth/cli?{asked}"))})
    code = urllib.parse.parse_qs(urllib.parse.urlsplit(back).query)["code"][0]
    exchange = {"code": code, "code_verifier": verifier}
    return api("POST", "/auth/cli/token", exchange)["token"]


TOKEN = sign_in()
NUMBERS = itertools.count(1)


def new_token():
    return api("POST", "/tokens", {"name": "spare"}, TOKEN)


def new_mesh():
    return api("POST", "/mesh", {"name": "under test"}, TOKEN)["mesh_id"]


def new_agent():
    return api("POST", f"/mesh/{MESH}/agents", {"name": f"spare-{next(NUMBERS)}"}, TOKEN)["agent_id"]


def new_invite():
    return api("POST", f"/mesh/{MESH}/invites", {}, TOKEN)["id"]


MESH = new_mesh()
AGENT = api("POST", f"/mesh/{MESH}/agents", {"name": "agent-a"}, TOKEN)["agent_id"]
MESSAGE = api("POST", f"/mesh/{MESH}/messages", {"content": "hello", "from": AGENT}, TOKEN)["id"]

# What stands in a path, so that more than 404 is met.
KNOWN = {"mesh": MESH, "agent": AGENT, "message": MESSAGE, "login": "ada"}
# What an operation ends or changes is made for it.
SPARE = {
    "change_mesh": {"mesh": new_mesh},
    "delete_mesh": {"mesh": new_mesh},
    "change_agent": {"agent": new_agent},
    "remove_agent": {"agent": new_agent},
    "withdraw_invite": {"invite": new_invite},
    "revoke_token": {"id": lambda: new_token()["id"]},
}
FORM = {
    "mesh": re.compile(r"[0-9A-Za-z]{12}"),
    "agent": re.compile(r"@?[0-9A-Za-z._~-]{1,64}"),
    "login": re.compile(r"[0-9A-Za-z_~-]{1,64}"),
    "invite": re.compile(r"[0-9A-Za-z]{12}"),
    "id": re.compile(r"[0-9A-Za-z]{12}"),
}


def operation_id(case):
    return case.operation.definition.raw.get("operationId")


def is_of_the_form(name, value):
    if name == "message":
        return isinstance(value, int) and 0 <= value < 2**53
    return isinstance(value, str) and FORM[name].fullmatch(value) is not None


@schemathesis.hook
def before_call(context, case, **kwargs):
    """Puts what exists in the place of most made-up ids; every fourth stays, and is not found."""
    # A poll that waits finds no more than one that does not.
    wait = (case.query or {}).get("wait")
    if operation_id(case) == "read_inbox" and isinstance(wait, int) and 1 < wait <= 60:
        case.query["wait"] = 1
    spare = SPARE.get(operation_id(case), {})
    for name, value in (case.path_parameters or {}).items():
        if not is_of_the_form(name, value):
            continue
        if name in spare:
            case.path_parameters[name] = spare[name]()
        elif name in KNOWN and next(NUMBERS) % 4:
            case.path_parameters[name] = KNOWN[name]


@schemathesis.hook
def after_call(context, case, response):
    """A run in which all is 404 would find nothing wrong."""
    if f'no mesh \\"{MESH}\\"' in response.text:
        raise AssertionError("the mesh under test is gone")


# A token is asked for anew for each call, since one operation ends the token that it is called with.
@schemathesis.auth(refresh_interval=None, retry_on=[])
class Bearer:
    def get(self, case, context):
        return new_token()["token"] if operation_id(case) == "revoke_current_token" else TOKEN

    def set(self, case, token, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {token}"
