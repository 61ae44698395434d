"""What a client is to the checks."""


class Harness:
    """A client on a computer, with a stand-in for its model. `name` is what `meshwire init --harness` calls it."""

    name = None
    # Whether a message reaches the model of an idle session.
    is_pushed = True

    def __init__(self, computer, model):
        self.computer, self.model = computer, model
        self.program = self.install(computer.place.tools)

    def install(self, tools):
        """Installs the client; the path of its program."""
        raise NotImplementedError

    def configure(self):
        """Does what is the user's to do after `init`, and makes the client use the stand-in."""

    def env(self):
        """The environment that makes the client use the stand-in."""
        return {}

    def headless(self, prompt):
        """The command of a headless turn."""
        raise NotImplementedError

    def interactive(self):
        """The command of an interactive session."""
        return [self.program]

    def settle(self, session):
        """Answers what a new session asks, and waits until it takes a prompt."""

    def rest(self, session):
        """Waits until a turn, whose answer is on the screen, has ended."""
