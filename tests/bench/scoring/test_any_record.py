"""Whatever a stranger writes into the records of a run: it is refused in one line, or shown in tables; nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.metrics.installed import installed_metrics
from bench.scoring.results import Board
from bench.scoring.scorer import Scorer
from bench.store.store import Store

QUICK = ("challenge", "memory-left", "excess-epsilon", "utility", "runtime", "flags", "ulira")
ODD = st.sampled_from([None, True, False, 0, 1, -1, 2**63, 10**400, 0.5, -0.5, 1e308, -1e308, 5e-324, "", "x", "20%", "x" * 5000])
ODD |= st.sampled_from(["\u202e\x1b[2J", [], {}, [[]], [0], [1e308, -1e308], {"a": 1}, {"": {}}])


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a record, from the outside to the inside."""
    yield path
    for key, value in content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ():
        yield from places(value, (*path, key))


@pytest.fixture(scope="module")
def scored(draw, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with three rows, two of which nobody touches."""
    drawn = draw(tmp_path_factory.mktemp("forged") / "store")
    metrics = [item for item in installed_metrics()[0] if item.name in QUICK]
    for name, amount in (("forged", 0.5), ("other", 1.0), ("further", 1.5)):
        run = drawn.add(name, drawn.shifted(amount))
        Scorer.of(drawn.store, run).score(run, metrics)
    return drawn.store


@pytest.mark.parametrize("name", ["run.json", "scorecard.json"])
@given(data=st.data())
def test_it_is_refused_or_shown(scored: Store, forger, name: str, data: st.DataObject) -> None:
    (folder,) = scored.runs.glob("forged-*")
    kept = (folder / name).read_bytes()
    content = forger.read(folder / name)
    *way, last = data.draw(st.sampled_from(list(places(content))[1:]))
    inside = content
    for step in way:
        inside = inside[step]
    if data.draw(st.booleans()):
        inside[last] = data.draw(ODD)
    else:
        del inside[last]
    try:
        forger.write(folder / name, content)
        board = Board(scored)
        names = [name for division in board.divisions for name in board.frame(division).index]
        assert len(names) in (2, 3)
        assert all(problem.args[0].isprintable() for problem in board.problems)
    finally:
        (folder / name).write_bytes(kept)
        for beside in folder.glob(f"{name}*"):
            if beside.name != name:
                beside.unlink()
