"""Whatever a plugin raises is an answer that can be sent, read and shown."""

from __future__ import annotations

import os
import socket
from multiprocessing import Pipe

import msgspec
import pytest
import torch

from bench.engine.worker.answers import Header
from bench.engine.worker.closed import REFUSED
from bench.engine.worker.loop import LONGEST_REASON, LONGEST_TRACEBACK, serve
from bench.errors import BenchError


class Doing:
    """Guards and a server in one, of this process: nothing is guarded, and one of its parts raises."""

    def __init__(self, problem: Exception, at: str = "work", closed: bool = False) -> None:
        self.problem, self.at, self.closed = problem, at, closed

    def put_up(self) -> None:
        """A process of its own does it."""

    def close_folders(self) -> bool:
        self._come_to("closing")
        return self.closed

    def make(self) -> Doing:
        self._come_to("making")
        return self

    def operations(self) -> dict:
        return {"work": lambda: self._come_to("work")}

    def _come_to(self, place: str) -> None:
        if place == self.at:
            raise self.problem


def answers(doing: Doing, requests: int = 1) -> list[Header]:
    """What arrives at the parent."""
    ours, theirs = Pipe()
    for _ in range(requests):
        ours.send(("work", {}))
    with socket.socket(fileno=os.dup(ours.fileno())) as line:
        line.shutdown(socket.SHUT_WR)  # nothing more will come
    serve(theirs, doing, doing.make)
    return [msgspec.json.decode(ours.recv_bytes(), type=Header) for _ in range(requests)]


def told(problem: Exception, at: str = "work", closed: bool = False) -> Header:
    (header,) = answers(Doing(problem, at, closed))
    return header


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (BenchError("plugin mine fails to import"), "plugin mine fails to import"),
        (ValueError("no luck"), "ValueError: no luck"),
        (ValueError(), "ValueError: no reason given"),
        (KeyError("retain"), "KeyError: 'retain'"),
    ],
)
def test_reasons(problem: Exception, reason: str) -> None:
    header = told(problem)
    assert (header.error, header.kind) == (reason, "error")
    assert header.traceback.startswith("Traceback (most recent call last)")
    assert "test_loop.py" in header.traceback


@pytest.mark.parametrize(
    "problem",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
    ids=["Python", "CUDA", "CPU"],
)
def test_lack_of_memory_is_known(problem: Exception) -> None:
    """And told in the same words, whoever notices it first."""
    assert told(problem).kind == "memory"
    assert (told(problem).error or "").startswith("memory does not suffice: ")


def test_words_without_end_are_cut() -> None:
    header = told(ValueError("x" * 10**6))
    assert len(header.error or "") == LONGEST_REASON
    assert len(header.traceback) == LONGEST_TRACEBACK


def test_half_characters_are_replaced() -> None:
    assert told(ValueError("a\ud800b")).error == "ValueError: a?b"


@pytest.mark.parametrize("closed", [True, False])
def test_why_a_file_is_refused_is_said_where_folders_are_closed(closed: bool) -> None:
    header = told(PermissionError(13, "Permission denied", "store/run.json"), closed=closed)
    assert "store/run.json" in (header.error or "")
    assert (REFUSED in (header.error or "")) == closed


@pytest.mark.parametrize("at", ["closing", "making"])
def test_nothing_is_done_before_folders_are_closed_and_the_plugin_is_loaded(at: str) -> None:
    """However often it is asked."""
    found = answers(Doing(OSError(7, "folders cannot be closed to a method"), at), requests=2)
    assert [header.error for header in found] == ["OSError: [Errno 7] folders cannot be closed to a method"] * 2
