"""Real clients against the real programs, offline.

    run.py PROGRAMS CLIENTS [NAME…]     PROGRAMS: the folder with meshwire and meshwire-server;
                                        CLIENTS: where the npm packages of package.json are installed
"""

import pathlib
import sys
import time
import traceback

import turns
from place import Place


def main():
    programs, bin = sys.argv[1], pathlib.Path(sys.argv[2]) / "node_modules/.bin"
    names = sys.argv[3:] or list(turns.CLIENTS)
    passed = failed = 0
    place = Place(programs)
    try:
        for name in names:
            started = time.monotonic()
            try:
                turns.turn(place, name, bin)
            except Exception:
                failed += 1
                print(f"{name}: a headless turn FAILED")
                traceback.print_exc(limit=1, file=sys.stdout)
            else:
                passed += 1
                print(f"{name}: a headless turn ok ({time.monotonic() - started:.0f} s)")
            sys.stdout.flush()
    finally:
        place.close()
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
