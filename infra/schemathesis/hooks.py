"""An account, a mesh and an agent for a run of schemathesis, made as people and programs make them.

The environment says where the server is: MESHWIRE_TEST_SET_UP is the one-time link that it printed.
"""

import itertools
import os
import pathlib
import re
import sys

import schemathesis

# Schemathesis loads this file by its path.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from account import Account

ACCOUNT = Account(os.environ["MESHWIRE_TEST_SET_UP"])
TOKEN = ACCOUNT.token
NUMBERS = itertools.count(1)


def new_token():
    return ACCOUNT.api("POST", "/tokens", {"name": "spare"})


def new_mesh():
    return ACCOUNT.api("POST", "/mesh", {"name": "under test"})["mesh_id"]


def new_agent():
    return ACCOUNT.api("POST", f"/mesh/{MESH}/agents", {"name": f"spare-{next(NUMBERS)}"})["agent_id"]


def new_invite():
    return ACCOUNT.api("POST", f"/mesh/{MESH}/invites", {})["id"]


MESH = new_mesh()
AGENT = ACCOUNT.api("POST", f"/mesh/{MESH}/agents", {"name": "agent-a"})["agent_id"]
MESSAGE = ACCOUNT.api("POST", f"/mesh/{MESH}/messages", {"content": "hello", "from": AGENT})["id"]

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
