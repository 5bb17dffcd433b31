"""Trees of source texts, made by several threads at once."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("text", [b"def", "x = (", b"\0"])
def test_what_is_no_python_is_said(text: str | bytes) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        parsed(text)
