"""What children need, imported once in the server that forks them; what fails there is remembered, for children to tell.

The server itself would die of it, or pass it over in silence.
"""

from __future__ import annotations

import traceback
from importlib import import_module

from bench.engine.worker.answers import Header
from bench.errors import advice, one_line

_MODULES = ("bench.engine.worker.method", "bench.engine.worker.trusted")


def _failure() -> Header | None:
    """Why torch, say, cannot be imported, as an answer to whatever is asked."""
    try:
        for module in _MODULES:
            import_module(module)
    except Exception as problem:  # whatever a library raises that does not fit this machine
        reason = one_line(f"{type(problem).__name__}: {problem}")
        remedy = advice(problem) or "install torch and torchvision again"
        text = f"what workers compute with cannot be imported ({reason}); {remedy}"
        return Header(error=text, traceback=traceback.format_exc().encode(errors="replace").decode())
    return None


failure = _failure()
