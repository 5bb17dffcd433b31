"""Where the `bench` command begins: whoever interrupts it, be it while it imports itself or winds up, sees one line."""

from __future__ import annotations

import _thread
import sys
import threading

from bench.cli.report import stopped

_PAUSE = 0.01  # seconds until what must not be interrupted is over


def main() -> None:
    """Entry of the `bench` command."""
    sys.unraisablehook = _told_again
    try:
        from bench.cli.main import main as command

        command()
    except KeyboardInterrupt:
        stopped()


def _told_again(ignored: sys.UnraisableHookArgs) -> None:
    """An interruption in a finaliser, of which Python would print a traceback and then forget it, comes again right after it."""
    if ignored.exc_type is KeyboardInterrupt:
        again = threading.Timer(_PAUSE, _thread.interrupt_main)
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(ignored)
