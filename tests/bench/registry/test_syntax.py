"""Trees of source texts, made by several threads at once."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from bench.registry.sources import imported
from bench.registry.syntax import parsed


class Switching:
    """Garbage whose collection hands over to another thread, wherever that happens."""

    def __init__(self) -> None:
        self.own = self

    def __del__(self) -> None:
        os.sched_yield()


@pytest.fixture
def collecting_all_the_time() -> Iterator[None]:
    before, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(50)
    sys.setswitchinterval(1e-6)
    yield
    gc.set_threshold(*before)
    sys.setswitchinterval(interval)


def test_threads_do_not_disturb_each_other(collecting_all_the_time: None) -> None:
    text = Path(__file__).read_bytes()

    def many(_: int) -> int:
        count = 0
        for _ in range(60):
            Switching()
            count += len(parsed(text).body) > 5
        return count

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(many, range(3))) == [60] * 3


DEEP = {
    "operators": lambda depth: b"-" * depth + b"1",
    "sums": lambda depth: b"1" + b"+1" * depth,
    "attributes": lambda depth: b"a" + b".a" * depth,
    "calls": lambda depth: b"a" + b"()" * depth,
    "functions": lambda depth: b"lambda:" * depth + b"1",
    "branches": lambda depth: b"if 1: pass\n" + b"elif 1: pass\n" * depth,
    "brackets": lambda depth: b"[" * depth + b"]" * depth,
}


@pytest.mark.parametrize("depth", [2_000, 20_000, 200_000])
@pytest.mark.parametrize("kind", DEEP)
def test_what_is_nested_too_deeply_is_no_python(kind: str, depth: int) -> None:
    """Neither does it end in a RecursionError or MemoryError, nor do its imports."""
    source = DEEP[kind](depth)
    with suppress(SyntaxError, ValueError):
        parsed(source)
    with suppress(SyntaxError, ValueError):
        assert list(imported(b"import theirs\n" + source, "", {"theirs"})) == ["theirs"]


@pytest.mark.parametrize("text", [b"def", "x = (", b"\0", b"-" * 100_000 + b"1"])
def test_what_is_no_python_is_said(text: str | bytes) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        parsed(text)
