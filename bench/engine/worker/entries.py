"""Entry points of child processes, importable without torch: the parent names them, the child imports what they need."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import Any

from bench.engine.worker.guards import Guards


def probe(connection: Connection, guards: Guards) -> None:
    """A child that looks at the devices."""
    from bench.engine.worker.loop import serve
    from bench.engine.worker.probe import Probe

    serve(connection, guards, Probe)


def trusted(connection: Connection, guards: Guards, setting: tuple[Any, ...], pictures: dict[str, Any]) -> None:
    """A child that trains references and evaluates."""
    from bench.engine.worker.loop import serve
    from bench.engine.worker.server import Setting
    from bench.engine.worker.trusted import TrustedServer

    serve(connection, guards, lambda: TrustedServer(connection, Setting(*setting), pictures))


def method(connection: Connection, guards: Guards, setting: tuple[Any, ...], *rest: Any) -> None:
    """A child that runs one plugin."""
    from bench.engine.worker.loop import serve
    from bench.engine.worker.method import MethodServer
    from bench.engine.worker.server import Setting

    serve(connection, guards, lambda: MethodServer(guards, connection, Setting(*setting), *rest))
