"""What a client has to do after `meshwire init`: send in a headless turn, and show a message in an idle session."""

import re
import time

from harnesses import HARNESSES
from place import processes_of, wait_for
from session import Session
from stand_in_model import ANSWER, CONTENT, Model

TOOLS = ["send_message", "reply_to_message", "get_messages", "list_agents", "status"]
# All of these are shorter than a poll, which lasts 60 s: nothing may come, or end, only with the next one.
#
# Longest time from a send to the model of an idle session, in seconds. (Codex looks into its queue every 10 s.)
PUSH_LIMIT = 30
# The same from a send during a turn. (What a turn does not take waits for its end.)
BUSY_LIMIT = 40
# Longest time for which our programs may outlive a session, in seconds.
END_LIMIT = 40


def set_up(place, name, folder, **model):
    """A client that is wired in on a computer of its own."""
    computer, model = place.computer(folder), Model(**model)
    computer.init(name)
    harness = HARNESSES[name](computer, model)
    harness.configure()
    return harness


def headless(place, name):
    """The model sees the five tools and calls the one that sends, and another agent receives the message."""
    harness = set_up(place, name, name, sends=True)
    model = harness.model
    try:
        said = harness.computer.run(harness.headless("say hello to the receiver"), **harness.env())
        seen = [tool for tool in TOOLS if any(it.endswith(tool) for it in model.seen_tools)]
        assert seen == TOOLS, f"the model has seen {sorted(model.seen_tools)}; {name} said:\n{said[-3000:]}"
        assert place.received(CONTENT, f"{name}-agent"), f"nothing was received; {name} said:\n{said[-3000:]}"
    finally:
        model.close()


def pushed(place, name, busy=False):
    """Messages to a session reach the model quickly, with their sender, once, and are acknowledged then. When it is
    `busy`, the first one comes while the model answers."""
    harness = set_up(place, name, f"{name}-{'busy' if busy else 'idle'}")
    model, agent = harness.model, f"{name}-agent"
    session = Session(harness.computer, harness.interactive(), harness.env())

    def delivered(content):
        """Sends; how long it took to the model."""
        started = time.monotonic()
        message = place.send(content, agent)
        model.goes_on.set()
        wait_for(f"{content} at the model", lambda: model.saw(content), BUSY_LIMIT if busy else PUSH_LIMIT)
        took = time.monotonic() - started
        wait_for(f"the acknowledgement of {content}", lambda: place.acknowledged(message))
        return took

    try:
        harness.settle(session)
        if busy:
            model.goes_on.clear()
        session.say("good morning", lambda: model.saw("good morning"))
        if not busy:
            session.shows(ANSWER)
            harness.rest(session)
            wait_for(f"{agent}, ready to be pushed to", lambda: is_live(place.agent(agent)))
        contents = [f"first-{name}-news", f"second-{name}-news"]
        took = [delivered(content) for content in contents]
        conversation = model.saw(contents[-1])
        for content in contents:
            check_shown_once(conversation, content)
        session.close()
        ours = place.programs / "meshwire"
        wait_for(f"the end of our programs, which {name} has started",
                 lambda: not processes_of(harness.computer.home, ours), END_LIMIT)
        return "after " + " and ".join(f"{it:.1f} s" for it in took)
    except AssertionError as error:
        raise AssertionError(f"{error}\nThe screen:\n{session.last_screen()}") from None
    finally:
        session.close()
        model.close()


def at_a_border(place, name):
    """What is unread reaches the model with the next turn, once, and is acknowledged then."""
    harness = set_up(place, name, f"{name}-border")
    content = f"{name}-news"
    message = place.send(content, f"{name}-agent")
    try:
        said = harness.computer.run(harness.headless("good morning"), **harness.env())
        conversation = harness.model.saw("good morning")
        assert conversation, f"the model was asked nothing; {name} said:\n{said[-3000:]}"
        check_shown_once(conversation, content)
        assert place.acknowledged(message), "it was not acknowledged"
    finally:
        harness.model.close()


def check_shown_once(conversation, content):
    """Holds the last request of a model, which has the whole conversation in it, to what it should show."""
    places = [match.start() for match in re.finditer(content, conversation)]
    shown = "\n".join(conversation[max(0, at - 400):at + 100] for at in places)
    assert len(places) == 1, f"{content} has reached the model {len(places)} times:\n{shown}"
    assert "not from the user" in shown and " from receiver, an agent of ada" in shown, shown


def is_live(agent):
    return agent and agent["active"] and agent["wake"] == "live"
