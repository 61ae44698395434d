"""Installs what is tried, each at a pinned version and in a folder of its own. What is there whole is taken as it is."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import venv

# Longest time that one try may take, in seconds.
LIMIT = 300
# Pauses before it is tried again, in seconds: a registry may be away for a moment.
PAUSES = [10, 30]


class Tools:
    """The folder of everything that is installed. `node` names the folder of a Node to use before the system's."""

    def __init__(self, folder, node=None):
        self.folder = pathlib.Path(folder).resolve()
        self.path = os.pathsep.join(filter(None, [node, os.environ["PATH"]]))

    def npm(self, *packages):
        """Installs packages (NAME@VERSION) together; the folder node_modules."""
        folder = self.whole("npm", packages, lambda folder: run(
            ["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--loglevel=error", *packages],
            self.path))
        return folder / "node_modules"

    def pypi(self, *packages):
        """Installs packages (NAME==VERSION) into an environment of their own; its folder of programs."""
        def make(folder):
            venv.create(folder, with_pip=True)
            run([folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages],
                self.path)
        return self.whole("pypi", packages, make) / "bin"

    def whole(self, registry, packages, make):
        """The folder of these packages. What an interrupted run has left is made anew: it lacks the mark."""
        name = "+".join(packages).replace("/", "-").replace("@", "", packages[0].startswith("@"))
        folder = self.folder / f"{registry}-{name}"
        mark = folder / "installed"
        if not mark.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            make(folder)
            mark.touch()
        return folder


def run(command, path):
    command = [str(part) for part in command]
    for pause in [*PAUSES, None]:
        process = subprocess.Popen(command, env=os.environ | {"PATH": path}, text=True, start_new_session=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            said = process.communicate(timeout=LIMIT)[0]
            if not process.returncode:
                return
        except subprocess.TimeoutExpired:
            # With its children, which would go on in the folder of the next try.
            os.killpg(process.pid, signal.SIGKILL)
            said = f"{process.communicate()[0]}\nIt took more than {LIMIT} s."
        if pause:
            time.sleep(pause)
    raise RuntimeError(f"{' '.join(command)} failed:\n{said[-3000:]}")
