"""Who is to be forgotten: `identities:40`, `random:500`, `group:3`, `memorised:120`, `least-memorised:120`, `file:PATH`.

A number may be a share, `random:2%`; `identities` and `random` take a seed, `random:500:7`. A choice is made among a task's
training photos, and is part of the task's key through the splits that follow from it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.outputs import Integers
from bench.registry.paths import expanded
from bench.seeds import numpy_generator
from bench.store.archives import read_npy
from bench.store.files import LARGEST_FILE, read_bytes
from bench.tasks.task import UNKNOWN, TaskData

Scores = Callable[[], NDArray[np.float64]]
LARGEST_SHARE = 0.5  # of the training photos
_NPY = b"\x93NUMPY"
_HINT = "give identities:N, random:N, group:N, memorised:N, least-memorised:N (N may be a share, 2%) or file:PATH"


@dataclass(frozen=True)
class Choice:
    """A forget set, as typed."""

    kind: str
    amount: float  # a count, or a share if `is_share`
    is_share: bool = False
    seed: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Choice:
        """Read a choice.

        Raises:
            BenchError: it is none.

        >>> Choice.parse("random:2%")
        Choice(kind='random', amount=0.02, is_share=True, seed=0, path='')
        """
        kind, _, rest = text.partition(":")
        if kind == "file" and rest:
            return cls(kind, 0, path=rest)
        number, colon, seed = rest.partition(":")
        share = number.endswith("%")
        seeded = kind in ("identities", "random")
        fits = re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?%|[0-9]{1,9}", number)
        if kind not in _CHOOSERS or (colon and not (seeded and seed.isdecimal())) or not fits:
            raise BenchError(f"forget set {text!r} is not understood: {_HINT}")
        amount = float(number.removesuffix("%"))
        if kind == "group" and share:
            raise BenchError(f"forget set {text!r} is not understood: group takes the number of an age group, from 0")
        if not amount and kind != "group":
            raise BenchError(f"forget set {text!r} is empty")
        return cls(kind, amount / 100 if share else amount, share, int(seed or 0))

    def count(self, of: int) -> int:
        """How many of so many."""
        return max(1, round(self.amount * of)) if self.is_share else int(self.amount)


def with_forget(data: TaskData, choice: Choice, scores: Scores) -> TaskData:
    """The same photos with another forget set.

    Whoever was forgotten before is trained on and tested like everybody else. `forget_people` becomes the held-out photos
    of people all of whose training photos are forgotten.

    Args:
        data: a task's data.
        choice: whom to forget.
        scores: memorisation of every training photo, in the order of `training_rows`; called if the choice needs it.

    Raises:
        BenchError: the data do not have what the choice asks for.
    """
    train = training_rows(data)
    forget = np.sort(_CHOOSERS[choice.kind](data, train, choice, scores))
    if not 0 < len(forget) <= LARGEST_SHARE * len(train):
        raise BenchError(
            f"{len(forget)} of {len(train)} training photos cannot be the forget set: choose between 1 and half of them"
        )
    retain = np.setdiff1d(train, forget)
    return replace(data, splits={**data.splits, "retain": retain, "forget": forget, **_held_out(data, retain, forget)})


def training_rows(data: TaskData) -> Integers:
    """Integers of all training photos, in order."""
    return np.sort(np.concatenate([data.splits["retain"], data.splits["forget"]]))


def _held_out(data: TaskData, retain: Integers, forget: Integers) -> Mapping[str, Integers]:
    """Validation, test and forget_people once other people are forgotten; photos that return go to the two by turns."""
    people, splits = data.identities, data.splits
    gone = np.setdiff1d(people[forget], [*people[retain], UNKNOWN])
    back = splits["forget_people"][~np.isin(people[splits["forget_people"]], gone)]
    sides = {"validation": np.union1d(splits["validation"], back[::2]), "test": np.union1d(splits["test"], back[1::2])}
    away = {name: np.isin(people[rows], gone) for name, rows in sides.items()}
    returned = np.concatenate([splits["forget_people"], *(rows[away[name]] for name, rows in sides.items())])
    kept = {name: rows[~away[name]] for name, rows in sides.items()}
    return {**kept, "forget_people": np.setdiff1d(returned, back)}


def _identities(data: TaskData, train: Integers, choice: Choice, scores: Scores) -> Integers:
    people = np.setdiff1d(data.identities[train], [UNKNOWN])
    if not len(people):
        raise BenchError("this task knows no identities: forget random:N, group:N or memorised:N")
    wanted = choice.count(len(people))
    if wanted > len(people):
        raise BenchError(f"there are {len(people)} people in training, fewer than {wanted}")
    chosen = numpy_generator(choice.seed, "data", 3).choice(people, wanted, replace=False)
    return train[np.isin(data.identities[train], chosen)]


def _random(data: TaskData, train: Integers, choice: Choice, scores: Scores) -> Integers:
    wanted = choice.count(len(train))
    if wanted > len(train):
        raise BenchError(f"there are {len(train)} training photos, fewer than {wanted}")
    return numpy_generator(choice.seed, "data", 4).choice(train, wanted, replace=False)


def _group(data: TaskData, train: Integers, choice: Choice, scores: Scores) -> Integers:
    chosen: Integers = train[data.labels[train] == int(choice.amount)]
    return chosen


def _most(data: TaskData, train: Integers, choice: Choice, scores: Scores) -> Integers:
    return train[_ranked(-scores())[: choice.count(len(train))]]


def _least(data: TaskData, train: Integers, choice: Choice, scores: Scores) -> Integers:
    return train[_ranked(scores())[: choice.count(len(train))]]


def _ranked(values: NDArray[np.float64]) -> Integers:
    """Positions of values from the lowest on; ties in an order that is drawn once and for all, unknown ones (NaN) last."""
    ties = numpy_generator(0, "data", 8).permutation(len(values))
    positions: Integers = np.lexsort((ties, values))
    return positions


def _file(data: TaskData, train: Integers, choice: Choice, scores: Scores) -> Integers:
    positions = _read_positions(expanded(choice.path), len(train))
    if not len(positions) or positions.min() < 0 or positions.max() >= len(train):
        raise BenchError(f"{choice.path} must hold positions of training photos, from 0 to {len(train) - 1}")
    return train[np.unique(positions)]


def _read_positions(path: Path, count: int) -> Integers:
    """Whole numbers from a text with one in each line or an .npy file, or where a mask of so many photos is true."""
    try:
        content = read_bytes(path, LARGEST_FILE, follow=True)
        found = read_npy(content, "fiub") if content.startswith(_NPY) else _numbers(content)
    except (OSError, ValueError, OverflowError) as problem:
        raise BenchError(
            f"{path} cannot be read as positions of training photos: an .npy file, or a number in each line"
        ) from problem
    if found.dtype == np.bool_ and found.shape == (count,):
        return np.flatnonzero(found)
    if found.dtype == np.bool_:
        raise BenchError(f"{path} is a mask of shape {found.shape}: there are {count} training photos")
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer):
        raise BenchError(f"{path} must hold a list of whole numbers, or a mask of booleans")
    if len(found) > 2 and found.max() <= 1:  # numbers, but each position would be named many times
        raise BenchError(f"{path} looks like a mask: write booleans into an .npy file, or the positions of the photos")
    positions: Integers = found.astype(np.int64)
    return positions


def _numbers(content: bytes) -> Integers:
    lines = content.removeprefix(codecs.BOM_UTF8).split()
    if not lines or not all(re.fullmatch(rb"-?[0-9]+", line) for line in lines):  # `int` takes 1_0, too
        raise ValueError("something else than whole numbers")
    return np.asarray([int(line) for line in lines], np.int64)


_CHOOSERS: Mapping[str, Callable[[TaskData, Integers, Choice, Scores], Integers]] = {
    "identities": _identities,
    "random": _random,
    "group": _group,
    "memorised": _most,
    "least-memorised": _least,
    "file": _file,
}
