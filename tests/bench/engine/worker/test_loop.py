"""Whatever a plugin raises is an answer that can be sent, read and shown."""

from __future__ import annotations

import msgspec
import pytest
import torch

from bench.engine.worker.answers import Header
from bench.engine.worker.loop import LONGEST_REASON, LONGEST_TRACEBACK, _failure
from bench.errors import BenchError


def told(problem: Exception) -> Header:
    """What arrives at the parent."""
    try:
        raise problem
    except Exception as raised:
        return msgspec.json.decode(msgspec.json.encode(_failure(raised)), type=Header)


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
    assert told(problem).kind == "memory"


def test_words_without_end_are_cut() -> None:
    header = told(ValueError("x" * 10**6))
    assert len(header.error or "") == LONGEST_REASON
    assert len(header.traceback) == LONGEST_TRACEBACK


def test_half_characters_are_replaced() -> None:
    assert told(ValueError("a\ud800b")).error == "ValueError: a?b"
