"""Real clients against the real programs, offline.

    run.py PROGRAMS TOOLS [NAME…]    PROGRAMS: the folder with meshwire and meshwire-server
                                     TOOLS: the folder in which clients are installed
                                     NAME: what to try; without one, everything

MESHWIRE_TEST_NODE names the folder of a Node to use before the system's.
"""

import os
import sys
import time

import protocol
import turns
from harnesses import HARNESSES
from install import Tools
from place import Place


def checks(names):
    """Each check: a name, what is tried, and the function that tries it on a place."""
    for name in names:
        if name in protocol.CHECKS:
            for what, function in protocol.CHECKS[name]:
                yield name, what, function
        else:
            yield name, "headless turn", lambda place, name=name: turns.headless(place, name)
            if HARNESSES[name].is_pushed:
                yield name, "message to an idle session", lambda place, name=name: turns.pushed(place, name)
                yield name, "message during a turn", lambda place, name=name: turns.pushed(place, name, busy=True)
            else:
                yield name, "message at a turn's border", lambda place, name=name: turns.at_a_border(place, name)


def main():
    programs, folder, *names = sys.argv[1:]
    known = [*protocol.CHECKS, *HARNESSES]
    for name in names:
        if name not in known:
            sys.exit(f"There is no {name} to try; there are {', '.join(known)}.")
    passed = failed = 0
    place = Place(programs, Tools(folder, os.environ.get("MESHWIRE_TEST_NODE")))
    try:
        for name, what, function in checks(names or known):
            started = time.monotonic()
            try:
                said = function(place)
            except Exception as error:
                failed += 1
                print(f"{name}: {what}: FAILED: {type(error).__name__}: {error}")
            else:
                passed += 1
                print(f"{name}: {what}: ok ({time.monotonic() - started:.0f} s)" + (f", {said}" if said else ""))
            sys.stdout.flush()
    finally:
        place.close()
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
