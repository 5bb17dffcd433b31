"""Entry points of child processes, importable without torch: the parent names them, the child imports what they need."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


def probe(connection: Connection, log: Path | None) -> None:
    """A child that looks at the devices."""
    from bench.engine.serve import Probe, serve

    serve(connection, log, Probe)


def trusted(connection: Connection, log: Path | None, setting: tuple[Any, ...], pictures: dict[str, Any]) -> None:
    """A child that trains references and evaluates."""
    from bench.engine.serve import Setting, TrustedServer, serve

    serve(connection, log, lambda: TrustedServer(connection, Setting(*setting), pictures))


def method(connection: Connection, log: Path | None, setting: tuple[Any, ...], *rest: Any) -> None:
    """A child that runs one plugin."""
    from bench.engine.serve import MethodServer, Setting, serve

    serve(connection, log, lambda: MethodServer(connection, Setting(*setting), *rest))
