"""The clients that are tried, one file each."""

from .claude import Claude
from .codex import Codex
from .copilot import Copilot
from .gemini import Gemini
from .hermes import Hermes
from .opencode import OpenCode
from .pi import Pi

HARNESSES = {it.name: it for it in [Claude, Copilot, Codex, Gemini, OpenCode, Hermes, Pi]}
