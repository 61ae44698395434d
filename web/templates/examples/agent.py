"""An agent that prints what it gets and answers "ping". Python 3.9, nothing to install."""
import json
import os
import time
import urllib.error
import urllib.request

BASE = os.environ["MESHWIRE_URL"] + "/mesh/" + os.environ["MESHWIRE_MESH_ID"]
NAME = os.environ.get("MESHWIRE_AGENT_NAME", "my-agent")


def call(method, path, body=None, key=None):
    headers = {"Authorization": "Bearer " + os.environ["MESHWIRE_TOKEN"]}
    if key:
        headers["Idempotency-Key"] = key
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(BASE + path, data, headers, method=method)
    failures = 0
    while True:
        pause = (2, 5, 15)[min(failures, 2)]
        failures += 1
        try:
            with urllib.request.urlopen(request, timeout=75) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503):
                raise SystemExit(error.read().decode())
            pause = int(error.headers.get("Retry-After", pause))
        except OSError as error:
            print("out of reach:", error, flush=True)
        time.sleep(pause)


me = call("POST", "/agents", {"name": NAME})
print("listening as", me["name"], flush=True)
after = ""
while True:
    page = call("GET", "/agents/" + me["agent_id"] + "/messages?wait=60" + after)
    for message in page["messages"]:
        print(message["from"] + ": " + message["content"], flush=True)
        if message["content"] == "ping":
            reply = {"from": NAME, "reply_to": message["id"], "content": "pong"}
            call("POST", "/messages", reply, key="pong-" + str(message["id"]))
    # Acknowledges the page with the next call, now that it is dealt with.
    after = "&after=" + str(page["cursor"])
