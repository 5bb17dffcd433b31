"""Entry points of child processes, importable without torch: the parent names them, the child imports what they need."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import msgspec

from bench.engine.worker.guards import Guards

if TYPE_CHECKING:
    from bench.engine.jobs import Setting


def probe(connection: Connection, guards: Guards) -> None:
    """A child that looks at the devices."""

    def make() -> Any:
        from bench.engine.worker.probe import Probe

        return Probe()

    _serve(connection, guards, make)


def trusted(connection: Connection, guards: Guards, setting: Setting, pictures: dict[str, Any]) -> None:
    """A child that trains references and evaluates."""

    def make() -> Any:
        from bench.engine.worker.trusted import TrustedServer

        return TrustedServer(connection, setting, pictures)

    _serve(connection, guards, make)


def method(connection: Connection, guards: Guards, setting: Setting, *rest: Any) -> None:
    """A child that runs one plugin."""

    def make() -> Any:
        from bench.engine.worker.method import MethodServer

        return MethodServer(guards, connection, setting, *rest)

    _serve(connection, guards, make)


def _serve(connection: Connection, guards: Guards, make: Callable[[], Any]) -> None:
    """Serve, or tell why that is impossible."""
    from bench.engine.worker.preloaded import failure

    if failure:
        with suppress(EOFError, OSError):
            while connection.recv():
                connection.send_bytes(msgspec.json.encode(failure))
        return
    from bench.engine.worker.loop import serve

    serve(connection, guards, make)
