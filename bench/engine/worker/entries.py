"""Entry points of child processes, importable without torch: the parent names them, the child imports what they need."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from bench.engine.worker.guards import Guards

if TYPE_CHECKING:
    from bench.engine.jobs import Setting


def probe(connection: Connection, guards: Guards) -> None:
    """A child that looks at the devices."""
    from bench.engine.worker.loop import serve
    from bench.engine.worker.probe import Probe

    serve(connection, guards, Probe)


def trusted(connection: Connection, guards: Guards, setting: Setting, pictures: dict[str, Any]) -> None:
    """A child that trains references and evaluates."""
    from bench.engine.worker.loop import serve
    from bench.engine.worker.trusted import TrustedServer

    serve(connection, guards, lambda: TrustedServer(connection, setting, pictures))


def method(connection: Connection, guards: Guards, setting: Setting, *rest: Any) -> None:
    """A child that runs one plugin."""
    from bench.engine.worker.loop import serve
    from bench.engine.worker.method import MethodServer

    serve(connection, guards, lambda: MethodServer(guards, connection, setting, *rest))
