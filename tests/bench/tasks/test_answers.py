"""Rows of a task and answers on them: their digest, and what follows from answers on retain."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.outputs import NoAnswersError, retain_sample_rows
from bench.tasks.age_synthetic import age_synthetic
from bench.tasks.answers import Rows, output_rows
from bench.tasks.task import TaskData

MODELS, GROUPS = 3, 2
SIZES = {"retain": 6, "forget": 2, "validation": 2, "test": 4, "forget_people": 0, "unseen": 3}
COUNT = sum(SIZES.values())


def rows_of(**changes: object) -> Rows:
    ends = np.cumsum(list(SIZES.values()))
    splits = {name: np.arange(end - size, end) for (name, size), end in zip(SIZES.items(), ends, strict=True)}
    data = TaskData(np.zeros((COUNT, 3, 2, 2), np.uint8), np.arange(COUNT) % GROUPS, np.zeros(COUNT, np.int64), splits)
    task = replace(age_synthetic(), groups=("young", "old"), digest=data.digest())
    return Rows(replace(task, **changes), data)


def answers(rows: Rows) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(MODELS, len(each), GROUPS)) for name, each in rows.splits.items() if name != "retain_sample"}


def test_rows_are_those_of_outputs_and_all_of_retain() -> None:
    rows = rows_of()
    assert {name: len(each) for name, each in rows.splits.items()} == {**SIZES, "retain_sample": 4}
    assert set(output_rows(rows.data)) == set(rows.splits) - {"retain"}


def test_a_digest_is_of_one_task_and_one_order() -> None:
    rows = rows_of()
    assert rows.digest == rows_of().digest
    assert rows.digest != rows_of(network="resnet18-v1").digest
    turned = {**rows.data.splits, "forget": rows.data.splits["forget"][::-1]}
    assert rows.digest != Rows(rows.task, replace(rows.data, splits=turned)).digest


def test_accuracy_and_sample_follow_from_answers_on_retain(tmp_path: Path) -> None:
    rows = rows_of()
    given_answers = answers(rows)
    np.savez(tmp_path / "a.npz", **given_answers)
    outputs, said = rows.read(tmp_path / "a.npz")
    right = given_answers["retain"].argmax(-1) == rows.data.labels[rows.splits["retain"]]
    np.testing.assert_allclose(outputs.retain_accuracy, right.mean(-1))
    sample = given_answers["retain"].astype(np.float32)[:, retain_sample_rows(6, 4)]
    np.testing.assert_array_equal(outputs.logits["retain_sample"], sample)
    assert not said


def test_splits_that_the_task_does_not_have_need_no_answers(tmp_path: Path) -> None:
    rows = rows_of()
    kept = {name: each for name, each in answers(rows).items() if name in ("forget", "test")}
    np.savez(tmp_path / "a.npz", rows=np.array(rows.digest), **kept)
    outputs, said = rows.read(tmp_path / "a.npz")
    assert said
    assert set(outputs.logits) == {"forget", "test", "forget_people"}
    assert outputs.logits["forget_people"].shape == (MODELS, 0, GROUPS)
    assert len(outputs) == len(outputs.select([2, 0, 1])) == MODELS
    with pytest.raises(NoAnswersError, match="needs answers on retain, which"):
        _ = outputs.retain_accuracy
    with pytest.raises(NoAnswersError, match="needs answers on unseen, which"):
        _ = outputs.logits["unseen"]


def test_numbers_of_any_kind_are_logits(tmp_path: Path) -> None:
    rows = rows_of()
    whole = {name: np.round(each * 10).astype(">i2") for name, each in answers(rows).items()}
    np.savez(tmp_path / "a.npz", **whole)
    outputs, _ = rows.read(tmp_path / "a.npz")
    assert outputs.logits["test"].dtype == np.float32
    np.testing.assert_array_equal(outputs.logits["test"], whole["test"])


def test_logarithms_of_probabilities_are_logits(tmp_path: Path) -> None:
    rows = rows_of()
    exponents = {name: np.exp(each) for name, each in answers(rows).items()}
    shares = {name: each / each.sum(-1, keepdims=True) for name, each in exponents.items()}
    np.savez(tmp_path / "a.npz", **{name: np.log(each) for name, each in shares.items()})
    rows.read(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **shares)
    with pytest.raises(BenchError, match="has probabilities; logits are needed"):
        rows.read(tmp_path / "b.npz")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    for name in ("pipe.npz", "none.npz", "."):
        with pytest.raises(BenchError, match="cannot be read"):
            rows_of().read(tmp_path / name)


def test_rows_are_written_for_numpy(tmp_path: Path) -> None:
    rows = rows_of()
    rows.write(tmp_path / "rows.npz", images=True)
    with np.load(tmp_path / "rows.npz") as found:
        assert str(found["rows"]) == rows.digest
        assert found["images"].shape == (COUNT, 3, 2, 2)
        np.testing.assert_array_equal(found["labels"], rows.data.labels)
        np.testing.assert_array_equal(found["retain"], rows.splits["retain"])


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_changed_bytes_raise_nothing_but_what_users_can_mend(tmp_path_factory, position: int, value: int) -> None:
    rows = rows_of()
    path = tmp_path_factory.getbasetemp() / "changed.npz"
    np.savez(path, rows=np.array(rows.digest), **answers(rows))
    content = bytearray(path.read_bytes())
    content[position % len(content)] = value
    path.write_bytes(content)
    with suppress(BenchError):
        rows.read(path)
