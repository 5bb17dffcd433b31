"""What runs came to, for whoever asks in Python: results of a call, and the board of a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.outputs import Floats, Outputs
from bench.progress import Bars, Progress
from bench.registry.paths import expanded
from bench.scoring import frames
from bench.scoring.comparison import Comparison, compare_runs
from bench.scoring.divisions import apart_from_budget, divisions
from bench.scoring.ranking import Place, places, ranked
from bench.scoring.rows import Row, row, rows
from bench.scoring.scorecard import CHALLENGE_METRIC, Scorecard
from bench.scoring.stored import find_runs, score_runs
from bench.store import DEFAULT
from bench.store.references import Reference
from bench.store.runs import Run
from bench.store.store import Store

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from bench.scoring.charts import Charts


def unknown(noun: str, name: str, known: Sequence[str]) -> BenchError:
    """A name that nobody has, with what it may be a slip of."""
    close = get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(known) or 'none'}"
    return BenchError(f"unknown {noun} {name!r}; {hint}")


@dataclass(frozen=True, repr=False)
class Result:
    """One run."""

    run: Run
    store: Store

    def __repr__(self) -> str:
        return f"Result of {self.name} ({self.run.folder.name})"

    @property
    def row(self) -> Row:
        """As the board sees it, read afresh."""
        return row(Run.read(self.run.folder))

    @property
    def name(self) -> str:
        """The method with the hyper-parameters that differ from its defaults."""
        return self.row.label

    @property
    def scorecard(self) -> Scorecard | None:
        """All numbers; None if there is none, and `failure` says why."""
        return self.row.scorecard

    @property
    def failure(self) -> str:
        """Why there is no scorecard; "" if there is one."""
        return self.row.failure

    def epsilons(self) -> Floats:
        """The attacker's epsilon per forget example [E], NaN where it is undecided; empty without a score."""
        import numpy as np

        return np.array(self.row.details(CHALLENGE_METRIC).get("epsilons", ()), dtype=np.float64)

    def outputs(self, split: str) -> NDArray[np.float32]:
        """Logits of the N unlearned models [N, n, K] on a split: forget, test, validation, retain_sample or unseen."""
        return _of_split(self.run.outputs(self._reference), split)

    def retrained(self, split: str) -> NDArray[np.float32]:
        """The same of the N retrained models that the run is compared with."""
        return _of_split(self._reference.retrained(range(self.run.record.models)), split)

    @property
    def _reference(self) -> Reference:
        return self.store.reference_of(self.run.record)


def _of_split(outputs: Outputs, split: str) -> NDArray[np.float32]:
    if split not in outputs.logits:
        raise unknown("split", split, list(outputs.logits))
    return outputs.logits[split]


class Results:
    """The runs of a call, in its order, and why methods have none."""

    def __init__(self, store: Store, runs: Sequence[Run], problems: Sequence[BenchError] = ()) -> None:
        self.store, self.runs, self.problems = store, list(runs), list(problems)

    def __repr__(self) -> str:
        failed = f"; {len(self.problems)} failed" if self.problems else ""
        return f"Results: {', '.join(result.name for result in self) or 'no runs'}{failed}"

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Result]:
        return (Result(run, self.store) for run in self.runs)

    def __getitem__(self, key: int | str) -> Result:
        """A result by its place, its method or the name of its run.

        Raises:
            BenchError: there is none of that name, or several.
        """
        if not isinstance(key, str):
            return Result(self.runs[key], self.store)
        named = [result for result in self if key in (result.run.record.method.spec, result.name, result.run.folder.name)]
        if len(named) != 1:
            names = [result.run.folder.name if named else result.name for result in named or self]
            raise BenchError(f"several runs are called {key!r}: {', '.join(names)}") if named else unknown("run", key, names)
        return named[0]

    def score(self, progress: Progress) -> None:
        """Compute what the scorecards of complete runs lack."""
        self.problems += score_runs(self.store, [run for run in self.runs if run.record.complete], progress)

    def frame(self) -> pd.DataFrame:
        """A row per run, a column per number; `attrs["units"]` has the unit of each."""
        return frames.of_rows([result.row for result in self])


class Board:
    """What a store has: divisions of rows that may be ranked together."""

    def __init__(self, store: Store) -> None:
        self.store = store
        found, self.problems = rows(store)  # what is wrong with runs that cannot be read
        grouped = divisions(found)
        names = frames.titles([division[0].record for division in grouped])
        self._divisions = dict(zip(names, map(places, grouped), strict=True))

    def __repr__(self) -> str:
        return f"Board of {self.store.path}: {sum(map(len, self._divisions.values()))} runs in {len(self._divisions)} divisions"

    @property
    def divisions(self) -> list[str]:
        """What can be given to `frame`: task, N, budget and device of each division."""
        return list(self._divisions)

    def frame(self, division: str | None = None) -> pd.DataFrame:
        """A row per run with its rank, best first; of one division, or of all.

        Raises:
            BenchError: there is no such division.
        """
        chosen = self._divisions if division is None else {division: self._known(division)}
        placed: list[tuple[str, Place]] = [(title, place) for title, members in chosen.items() for place in members]
        return frames.of_places(placed)

    def plot(self, division: str | None = None) -> Charts:
        """The pictures of a division; by default of the one with most ranked runs, as on the board's first page.

        Raises:
            BenchError: there is no such division, or no run in the store.
        """
        from bench.scoring.charts import Charts

        if not self._divisions:
            raise BenchError(f"store {self.store.path} has no runs; make one with `bench.run`")
        chosen = max(self._divisions.values(), key=ranked) if division is None else self._known(division)
        related = apart_from_budget(chosen[0].row.record)
        every = [place.row for members in self._divisions.values() for place in members]
        return Charts.of(chosen, [item for item in every if apart_from_budget(item.record) == related])

    def _known(self, division: str) -> list[Place]:
        if division not in self._divisions:
            raise unknown("division", str(division), self.divisions)
        return self._divisions[division]

    def compare(self, one: str, other: str, progress: Progress | None = None) -> Comparison:
        """Can two runs be told apart? Given by the names of their runs, or beginnings of them.

        Raises:
            BenchError: there is none of a name, or several, or they are not of one division.
        """
        with progress or Bars() as bars:
            return compare_runs(self.store, find_runs(self.store, [one, other], bars.note), bars)


def load(store: str | Path = DEFAULT) -> Board:
    """What a store has.

    Raises:
        BenchError: there is no store, or it is of another version.
    """
    path = expanded(store)
    if not path.is_dir():
        raise BenchError(f"{path} is no folder of results; `bench run` makes one")
    return Board(Store(path))
