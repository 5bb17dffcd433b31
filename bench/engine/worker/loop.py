"""A child's side of the conversation: requests come in as calls, JSON and safetensors go out, never pickles."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import msgspec
import torch
from msgspec import Raw
from safetensors.torch import save

from bench.engine.worker.answers import Header
from bench.engine.worker.closed import REFUSED
from bench.engine.worker.guards import Guards
from bench.errors import BenchError, described
from bench.store.fields import plain

LONGEST_REASON, LONGEST_TRACEBACK = 10_000, 2**16  # characters


def serve(connection: Connection, guards: Guards, make: Callable[[], Any]) -> None:
    """Answer requests with the server that `make` makes, until the parent hangs up."""
    guards.put_up()
    torch.set_num_threads(1)  # one thread per process: two on a busy machine collapse
    server, closed = None, False
    with suppress(EOFError, BrokenPipeError):
        while True:
            operation, arguments = connection.recv()
            try:
                if server is None:
                    closed = guards.close_folders()
                    server = make()
                answer, tensors = server.operations()[operation](**arguments)
                arrays = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}) if tensors else b""
                send(connection, Header(values=Raw(msgspec.json.encode(plain(answer))), arrays=bool(arrays)))
                if arrays:
                    connection.send_bytes(arrays)
            except Exception as problem:  # whatever a plugin raises is an answer
                send(connection, _failure(problem, closed))


def _failure(problem: Exception, closed: bool) -> Header:
    """What the parent is told; it makes the reason fit to be shown. `closed`: folders are."""
    if closed and isinstance(problem, PermissionError):
        problem.add_note(REFUSED)
    text = str(problem)
    lacks_memory = isinstance(problem, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in text
    reason = text if isinstance(problem, BenchError) else described(problem)
    reason, kind = (f"memory does not suffice: {reason}", "memory") if lacks_memory else (reason, "error")
    return Header(error=_text(reason[:LONGEST_REASON]), kind=kind, traceback=_text(traceback.format_exc()[-LONGEST_TRACEBACK:]))


def _text(text: str) -> str:
    """What UTF-8 can hold of it."""
    return text.encode(errors="replace").decode()


def send(connection: Connection, header: Header) -> None:
    """Tell the parent."""
    connection.send_bytes(msgspec.json.encode(header))
