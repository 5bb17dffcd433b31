"""Choices of whom to forget: what is typed, who is chosen, and what becomes of their held-out photos."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bench.errors import BenchError
from bench.tasks.age_synthetic import FORGET, task_data
from bench.tasks.forget import Choice, training_rows, with_forget
from bench.tasks.task import SPLITS, TaskData


@pytest.fixture(scope="module")
def embedded() -> TaskData:
    return task_data(FORGET)


def chosen(data: TaskData, text: str, scores: np.ndarray | None = None) -> TaskData:
    return with_forget(data, Choice.parse(text), lambda: scores)


def test_identities(embedded: TaskData) -> None:
    found = chosen(embedded, "identities:10")
    people = np.unique(found.identities[found.splits["forget"]])
    assert len(people) == 10
    assert len(found.splits["forget"]) == 30
    assert len(found.splits["forget_people"]) == 10  # their fourth photos
    for name in ("retain", "validation", "test", "unseen"):
        assert not np.isin(people, found.identities[found.splits[name]]).any()


@pytest.mark.parametrize("text", ["identities:5%", "random:100", "random:100:7", "group:3", "identities:12:3"])
def test_every_photo_stays_in_one_split(embedded: TaskData, text: str) -> None:
    found = chosen(embedded, text)
    rows = np.concatenate([found.splits[name] for name in SPLITS])
    assert sorted(rows) == list(range(3800))
    assert np.array_equal(training_rows(found), training_rows(embedded))
    assert np.array_equal(found.splits["unseen"], embedded.splits["unseen"])


def test_the_same_people_again_give_the_same_splits(embedded: TaskData, tmp_path: Path) -> None:
    train = training_rows(embedded)
    np.save(tmp_path / "rows.npy", np.flatnonzero(np.isin(train, embedded.splits["forget"])))
    found = chosen(chosen(embedded, "identities:10"), f"file:{tmp_path / 'rows.npy'}")
    assert np.array_equal(found.splits["forget"], embedded.splits["forget"])
    assert np.array_equal(found.splits["retain"], embedded.splits["retain"])
    assert np.array_equal(found.splits["forget_people"], embedded.splits["forget_people"])


def test_seeds_decide(embedded: TaskData) -> None:
    one, same, other = (chosen(embedded, text).splits["forget"] for text in ("random:50", "random:50:0", "random:50:1"))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_group(embedded: TaskData) -> None:
    found = chosen(embedded, "group:3")
    assert set(found.labels[found.splits["forget"]]) == {3}
    assert 3 not in found.labels[found.splits["retain"]]


def test_memorised_takes_the_highest_scores(embedded: TaskData) -> None:
    train = training_rows(embedded)
    scores = np.sin(train.astype(np.float64))
    ordered = train[np.argsort(scores)]
    assert set(chosen(embedded, "memorised:20", scores).splits["forget"]) == set(ordered[-20:])
    assert set(chosen(embedded, "least-memorised:20", scores).splits["forget"]) == set(ordered[:20])


def test_ties_are_not_broken_by_the_order_of_photos(embedded: TaskData) -> None:
    train = training_rows(embedded)
    scores = np.zeros(len(train))
    scores[:50] = np.nan  # nobody knows
    found = chosen(embedded, "memorised:200", scores).splits["forget"]
    positions = np.searchsorted(train, found)
    assert positions.min() >= 50
    assert abs(np.median(positions) - len(train) / 2) < 300
    assert not np.array_equal(found, chosen(embedded, "least-memorised:200", scores).splits["forget"]) or len(found) == 200


def test_shares_with_decimals(embedded: TaskData) -> None:
    assert len(chosen(embedded, "random:0.5%").splits["forget"]) == 12


def test_file_as_text(embedded: TaskData, tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("5\n3\n3\n")
    assert chosen(embedded, f"file:{tmp_path / 'rows.txt'}").splits["forget"].tolist() == training_rows(embedded)[[3, 5]].tolist()


def test_file_as_a_mask(embedded: TaskData, tmp_path: Path) -> None:
    mask = np.arange(2400) % 100 == 7
    np.save(tmp_path / "mask.npy", mask)
    found = chosen(embedded, f"file:{tmp_path / 'mask.npy'}").splits["forget"]
    assert np.array_equal(found, training_rows(embedded)[mask])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.ones(2399, bool), "is a mask of shape .2399,.: there are 2400 training photos"),
        (np.ones((2, 1200), bool), "is a mask of shape"),
        (np.zeros(2400, bool), "must hold positions"),
        (np.arange(2400) % 2, "looks like a mask"),
        (np.arange(4.0), "must hold a list of whole numbers"),
        (np.array(["1"]), "cannot be read"),
        (np.array([2**63], np.uint64), "must hold positions"),
    ],
)
def test_arrays_that_are_no_positions(embedded: TaskData, tmp_path: Path, values: np.ndarray, said: str) -> None:
    np.save(tmp_path / "rows.npy", values)
    with pytest.raises(BenchError, match=said):
        chosen(embedded, f"file:{tmp_path / 'rows.npy'}")


def test_a_pipe_is_not_waited_for(embedded: TaskData, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows")
    with pytest.raises(BenchError, match="cannot be read"):
        chosen(embedded, f"file:{tmp_path / 'rows'}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"1_0\n", "cannot be read"),
        ("٣\n".encode(), "cannot be read"),
        (b"9" * 30, "cannot be read"),
        (b"9" * 5000, "cannot be read"),
        (b"0\n1\n0\n", "looks like a mask"),
        (b"nonsense", "cannot be read"),
        (b"-1\n", "from 0 to 2399"),
        (b"2400\n", "from 0 to 2399"),
        (b"\x93NUMPY\x01\x00", "cannot be read"),
    ],
)
def test_files_that_are_none(embedded: TaskData, tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "rows"
    path.write_bytes(content)
    with pytest.raises(BenchError, match=said):
        chosen(embedded, f"file:{path}")
    with pytest.raises(BenchError, match="cannot be read"):
        chosen(embedded, f"file:{path}.absent")


@pytest.mark.parametrize(
    "text",
    ["", "random", "random:", "random:x", "random:0", "people:3", "group:3%", "group:3:1", "random:5:x", "file:", "random:-3"],
)
def test_choices_that_are_none(text: str) -> None:
    with pytest.raises(BenchError, match="forget set"):
        Choice.parse(text)


@pytest.mark.parametrize("text", ["random:1300", "random:9999", "identities:801", "group:77"])
def test_choices_that_ask_for_too_much(embedded: TaskData, text: str) -> None:
    with pytest.raises(BenchError):
        chosen(embedded, text)


def test_identities_of_nobody(embedded: TaskData) -> None:
    unknown = TaskData(embedded.images, embedded.labels, np.full(3800, -1), embedded.splits)
    with pytest.raises(BenchError, match="knows no identities"):
        chosen(unknown, "identities:3")
    found = chosen(unknown, "random:50")
    assert not len(found.splits["forget_people"])
    assert len(found.splits["test"]) + len(found.splits["validation"]) == 800
