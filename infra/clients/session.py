"""An interactive session of a client: in tmux, which is a real terminal with a screen to read."""

import shlex
import subprocess

from place import LIMIT, wait_for

# A width at which no client cuts what it shows.
COLUMNS, ROWS = "160", "50"


class Session:
    """Ends, with its terminal, when it is closed."""

    def __init__(self, computer, command, env):
        # One server for a session, at a socket of its own.
        self.tmux = ["tmux", "-S", str(computer.home / "tmux"), "-f", "/dev/null"]
        line = shlex.join(str(part) for part in command)
        self.do("new-session", "-d", "-x", COLUMNS, "-y", ROWS, "-c", str(computer.project),
                f"exec {line}", env=computer.env(**env))
        self.do("set-option", "-g", "remain-on-exit", "on")

    def do(self, *arguments, env=None):
        done = subprocess.run([*self.tmux, *arguments], env=env, text=True, capture_output=True, timeout=LIMIT)
        if done.returncode:
            raise AssertionError(f"tmux {arguments[0]}: {done.stderr}")
        return done.stdout

    def screen(self):
        """The lines that are not empty."""
        return "\n".join(line for line in self.do("capture-pane", "-p").splitlines() if line.strip())

    def last_screen(self):
        """For a complaint: the terminal may be gone."""
        try:
            return self.screen()
        except AssertionError:
            return "(closed)"

    def shows(self, *texts):
        """Waits until the screen shows one of these texts; the one."""
        try:
            return wait_for(f"{texts} on the screen",
                            lambda: next((text for text in texts if text in self.screen()), None))
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.screen()}") from None

    def loses(self, text):
        """Waits until the screen shows this text no longer."""
        wait_for(f"a screen without {text!r}", lambda: text not in self.screen())

    def press(self, *keys):
        self.do("send-keys", *keys)

    def say(self, text, until):
        """Types a prompt and presses Enter, until something holds: clients pass over keys in their first moments."""
        def typed():
            if text not in self.screen():
                self.do("send-keys", "-l", text)
            return wait_for("", lambda: text in self.screen(), 5, fails=False)

        def entered():
            self.press("Enter")
            return wait_for("", until, 5, fails=False)
        wait_for(f"{text!r} on the screen", typed)
        wait_for(f"what follows on {text!r}", entered)

    def close(self):
        subprocess.run([*self.tmux, "kill-server"], capture_output=True, timeout=LIMIT)
