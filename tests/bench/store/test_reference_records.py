"""Records of references: what strangers send is refused unless every field fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.store.files import read_record
from bench.store.reference_records import ReferenceRecord, whole_chunks

Fields = dict[str, Any]
Harm = Callable[[Fields], object]


@pytest.fixture
def read_reference(tmp_path: Path, forger) -> Callable[[Fields], ReferenceRecord]:
    def read(fields: Fields) -> ReferenceRecord:
        forger.write(tmp_path / "reference.json", fields)
        return read_record(tmp_path / "reference.json", ReferenceRecord)

    return read


def test_a_good_record_has_no_problem(read_reference, reference_fields: Fields) -> None:
    reference = read_reference(reference_fields)
    assert reference.baselines["a" * 16]["klom"].baseline.retrained["klom"].value == 0.5


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda record: record["files"].update({"../x.npz": "0" * 64}), "characters that do not belong there"),
        (
            lambda record: record["files"].update({"labels.npz": "0"}),
            "characters that do not belong there - at `$.files",
        ),
        (lambda record: record.update(device="CPU"), "do not belong there - at `$.device`"),
        (lambda record: record["retraining_times"].update(cpu=0), "Expected `float` > 0.0 - at `$.retraining_times"),
        (lambda record: record.update(baselines=[]), "Expected `object`, got `array` - at `$.baselines`"),
        (lambda record: record.update(baselines={"a": {"klom": {"version": 1}}}), "missing required field `baseline`"),
        (lambda record: record.update(stack_size=0), "Expected `int` >= 1 - at `$.stack_size`"),
        (lambda record: record.update(task={"name": "t", "key": "f"}), "- at `$.task.key`"),
    ],
    ids=range(8),
)
def test_references_that_do_not_fit(read_reference, refused, reference_fields: Fields, harm: Harm, told: str) -> None:
    harm(reference_fields)
    assert told in refused(read_reference, reference_fields)


def test_whole_chunks_hold_what_is_asked_for() -> None:
    assert whole_chunks([3, 4], 4) == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert whole_chunks([9, 8, 0], 2) == [(0, 1), (8, 9)]
    assert whole_chunks([], 4) == []


def test_available_models_are_counted_without_gaps() -> None:
    files = {ReferenceRecord.retrained_file(chunk): "0" * 64 for chunk in ((0, 1, 2, 3), (4, 5, 6, 7), (12, 13, 14, 15))}
    assert ReferenceRecord(files=files, stack_size=4).available == 8
    assert ReferenceRecord(files=files, stack_size=2).available == 0
    assert ReferenceRecord().available == 0
