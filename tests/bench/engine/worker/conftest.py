"""Children that do what the tests of this folder ask of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.engine.worker.process import Worker

GIGABYTE = 10**9

Start = Callable[..., Worker]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts such a child; all of them end with the test."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))  # which children inherit
    from operations import child

    workers: list[Worker] = []

    def new(**arguments: object) -> Worker:
        workers.append(Worker(child, **{"memory_limit": 2 * GIGABYTE, **arguments}))
        return workers[-1]

    yield new
    for worker in workers:
        worker.close()
