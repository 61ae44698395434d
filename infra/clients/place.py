"""A real server with an account, and a computer on which harnesses run: a scratch home with a project in it."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from account import Account

# Longest wait for anything, in seconds.
LIMIT = 90


def wait_for(what, condition, limit=LIMIT, fails=True):
    """Waits until a condition holds; its value. When it does not in time, fails or answers None."""
    deadline = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            if fails:
                raise AssertionError(f"{what} did not come in {limit} s")
            return None
        time.sleep(0.05)


class Place:
    """Everything ends with it."""

    def __init__(self, programs, tools):
        self.programs, self.tools = pathlib.Path(programs).resolve(), tools
        self.scratch = pathlib.Path(tempfile.mkdtemp())
        self.processes = []
        data = self.scratch / "server"
        data.mkdir()
        out = open(data / "out", "wb")
        self.start([self.programs / "meshwire-server"], cwd=data, stdout=out, stderr=open(data / "log", "wb"),
                   env={"HOME": str(data), "MESHWIRE_BIND": "127.0.0.1:0"})
        set_up = wait_for("the server", lambda: next(
            (word for word in (data / "out").read_text().split() if "/setup?code=" in word), None))
        self.account = Account(set_up)
        self.url = self.account.base
        self.mesh = self.account.api("POST", "/mesh", {"name": "clients"})["mesh_id"]
        self.account.api("POST", f"/mesh/{self.mesh}/agents", {"name": "receiver"})

    def start(self, command, **options):
        process = subprocess.Popen([str(part) for part in command], start_new_session=True,
                                   stdin=options.pop("stdin", subprocess.DEVNULL), **options)
        self.processes.append(process)
        return process

    def computer(self, name):
        return Computer(self, self.scratch / name)

    def api(self, method, path, body=None):
        """Asks the API about the mesh."""
        return self.account.api(method, f"/mesh/{self.mesh}{path}", body)

    def received(self, content, sender):
        """Whether `receiver` has got this from this agent."""
        page = self.api("GET", "/agents/receiver/messages?ack=false&after=earliest")
        return any(it["content"] == content and it["from"] == sender for it in page["messages"])

    def send(self, content, to):
        """Sends as `receiver`; the id of the message."""
        return self.api("POST", "/messages", {"content": content, "from": "receiver", "to": to})["id"]

    def acknowledged(self, message):
        deliveries = self.api("GET", f"/messages/{message}")["deliveries"]
        return [it["state"] for it in deliveries] == ["acknowledged"]

    def agent(self, name):
        return next((it for it in self.api("GET", "/agents")["agents"] if it["name"] == name), None)

    def close(self):
        for process in self.processes:
            end_group(process)
        self.end_daemons()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def end_daemons(self):
        """Ends what clients leave running on purpose."""
        for process in processes_of(self.scratch):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass


def processes_of(home, program=None):
    """The processes whose home is this folder or in it: all, or those that run this program."""
    mark, found = f"HOME={home}".encode(), []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes() and program in (None, (folder / "exe").readlink()):
                found.append(int(folder.name))
        except OSError:
            pass  # It has ended, or is another user's.
    return found


def end_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


class Computer:
    """A scratch home that is signed in, with a project folder under git."""

    def __init__(self, place, home):
        self.place, self.home = place, home
        self.project = home / "project"
        self.project.mkdir(parents=True)
        subprocess.run(["git", "init", "-q", str(self.project)], check=True)
        self.meshwire("login", "--url", place.url, "--token", "-", text=place.account.token)

    def env(self, **more):
        """Nothing of ours but the path, and the mark by which infra/test.sh finds what a run leaves behind."""
        kept = {name: os.environ[name] for name in ["MESHWIRE_TEST_RUN"] if name in os.environ}
        return {"HOME": str(self.home), "PATH": self.place.tools.path, "LANG": "C.UTF-8", "TERM": "xterm-256color",
                **kept, **more}

    def meshwire(self, *arguments, text=""):
        command = [str(self.place.programs / "meshwire"), *arguments]
        done = subprocess.run(command, cwd=self.project, env=self.env(), input=text, text=True,
                              capture_output=True, timeout=LIMIT)
        if done.returncode:
            raise AssertionError(f"{arguments}: {done.stderr}")
        return done.stdout

    def init(self, harness):
        self.meshwire("init", "--harness", harness, "--mesh", self.place.mesh, "--agent", f"{harness}-agent")

    def write(self, path, text):
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text if isinstance(text, str) else json.dumps(text))

    def merge(self, path, more):
        """Adds keys to a JSON file that may be there."""
        file = self.home / path
        found = json.loads(file.read_text()) if file.exists() else {}
        self.write(path, found | more)

    def run(self, command, succeeds=False, **env):
        """Runs a client to its end; what it said. In a group of its own, which ends whole."""
        process = self.place.start(command, cwd=self.project, env=self.env(**env),
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            said, _ = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            end_group(process)
            said, _ = process.communicate()
            raise AssertionError(f"{command[0]} did not end:\n{said.decode(errors='replace')[-3000:]}") from None
        said = said.decode(errors="replace")
        if succeeds and process.returncode:
            raise AssertionError(f"{command[0]} ended with {process.returncode}:\n{said[-3000:]}")
        return said
