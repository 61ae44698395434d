# Stands in for Hermes Agent: a session with one plugin.
#
#   python3 hermes.py PLUGIN-FOLDER [ARGUMENTS-OF-HERMES]

import importlib.util
import json
import sys
import threading

folder = sys.argv.pop(1)
spec = importlib.util.spec_from_file_location("meshwire_plugin", folder + "/__init__.py")
plugin = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plugin)

writing = threading.Lock()


def say(value):
    with writing:
        print(json.dumps(value), flush=True)


class Context:
    refuses = False
    hooks = {}

    def inject_message(self, text, role):
        if self.refuses:
            return False
        say({"injected": text, "role": role})
        return True

    def register_hook(self, name, callback):
        self.hooks[name] = callback


context = Context()
plugin.register(context)
say({"hooks": sorted(context.hooks)})
for line in sys.stdin:
    for name, value in json.loads(line).items():
        # What comes of it is said after this.
        with writing:
            if name == "hook":
                context.hooks[value](session_id="s")
            elif name == "refuse":
                context.refuses = value
            print(json.dumps({name: None}), flush=True)
