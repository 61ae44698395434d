"""MeshWire for Hermes Agent: messages of other agents pushed into the live session.

All of MeshWire is in the program that is started here; no token, no setting and no request is handled in this file.
The tools come by MCP.
"""

import json
import logging
import os
import subprocess
import sys
import threading
import time

PROGRAM = "{{program}}"

# Pauses before the program is started again: after it broke off, and after it said that something must be mended.
RESTART_SECONDS = 2
RESTART_WHEN_REFUSED_SECONDS = 60
# How long a push waits for the running turn to end. Injected before, it would break that turn off.
TURN_SECONDS = 25

_log = logging.getLogger("meshwire")


def register(ctx):
    """Starts listening, unless the folder belongs to no mesh or Hermes ends with this one turn."""
    if not _in_mesh(os.getcwd()) or _runs_one_turn(sys.argv):
        return
    idle = threading.Event()
    idle.set()
    ctx.register_hook("pre_llm_call", lambda **_: idle.clear())
    ctx.register_hook("on_session_end", lambda **_: idle.set())
    threading.Thread(target=_listen, args=(ctx, idle), name="meshwire", daemon=True).start()


def _in_mesh(folder):
    if os.environ.get("MESHWIRE_MESH_ID"):
        return True
    while True:
        if os.path.exists(os.path.join(folder, ".mesh.json")):
            return True
        parent = os.path.dirname(folder)
        if parent == folder:
            return False
        folder = parent


def _runs_one_turn(arguments):
    return any(
        argument in ("-q", "-z", "--oneshot") or argument.split("=")[0] == "--query"
        for argument in arguments[1:]
    )


def _listen(ctx, idle):
    told = None
    while True:
        try:
            child = subprocess.Popen(
                [PROGRAM, "listen", "--harness", "hermes", "--json"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            _log.warning(
                'MeshWire cannot be started: %s. Install it and run "meshwire init" again.', error
            )
            return
        problem = None
        for line in child.stdout:
            message = json.loads(line)
            if "error" in message:
                problem = message
            elif "push" in message:
                _answer(child, _deliver(ctx, idle, message))
        code = child.wait()
        if code == 0:
            return
        refused = code in (2, 3, 4)
        if refused and problem != told:
            told = problem
            _log.warning("MeshWire: %s (%s)", (problem or {}).get("error"), (problem or {}).get("hint"))
        time.sleep(RESTART_WHEN_REFUSED_SECONDS if refused else RESTART_SECONDS)


def _deliver(ctx, idle, message):
    try:
        if not idle.wait(TURN_SECONDS):
            return {"failed": message["push"], "why": "a turn is running"}
        if ctx.inject_message(message["text"], role="user") is False:
            return {"failed": message["push"], "why": "Hermes takes no messages now"}
    except Exception as error:  # Whatever Hermes raises: the messages stay unread.
        return {"failed": message["push"], "why": str(error)}
    return {"ok": message["push"]}


def _answer(child, answer):
    try:
        child.stdin.write(json.dumps(answer).encode() + b"\n")
        child.stdin.flush()
    except OSError:
        pass  # It has ended: the loop over its lines ends too.
