"""References: what was trained is kept once, and found again whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock, Timeout

from bench.errors import BenchError
from bench.metrics.metric import Baseline, Estimate
from bench.outputs import OUTPUT_SPLITS, Outputs
from bench.store.files import DamagedFileError, EarlierVersionError, read_record
from bench.store.reference_records import KeptBaseline, ReferenceRecord, ReferenceTask
from bench.store.references import Reference, folder_of, reference_folders

Draw = Callable[..., Outputs]
ABOUT = ReferenceRecord(
    stack_size=4, task=ReferenceTask(name="t", key="f" * 64, forget_set="people"), device="cpu", environment={"torch": "2"}
)
LABELS = {name: np.arange(3) + index for index, name in enumerate(OUTPUT_SPLITS)}
WEIGHTS = {"weight": np.arange(6, dtype=np.float32).reshape(1, 2, 3)}
STACKS = ((0, 1, 2, 3), (4, 5, 6, 7), (12, 13, 14, 15))


def silent(text: str) -> None:
    """Nobody is waited for."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of(tmp_path, "f" * 64, "cpu")


@pytest.fixture
def models(outputs: Draw) -> Outputs:
    return outputs(16)


@pytest.fixture
def grown(folder: Path, models: Outputs, outputs: Draw) -> Reference:
    reference = Reference(folder)
    with reference.growing(ABOUT, silent):
        reference.keep_labels(LABELS, {"forget": np.array([5, 6, 7]), "unseen": np.array([8])})
        reference.keep_original(WEIGHTS, outputs(1))
        for stack in STACKS:
            reference.keep_retrained(stack, models.select(stack))
    reference.keep_retraining_time("a processor", 2.5)
    return reference


def baseline(value: float, version: int = 1) -> KeptBaseline:
    return KeptBaseline(
        version=version,
        baseline=Baseline({"klom": Estimate(value, 0.1)}, {"klom": Estimate(value)}, {"per_example": (0.5, None)}),
    )


def test_what_is_not_there_yet_is_empty(folder: Path) -> None:
    reference = Reference(folder)
    assert reference.record == ReferenceRecord()
    assert not reference.has_labels
    assert not reference.has_original
    assert not reference.has_retrained((0, 1))
    assert reference.retraining_time("a processor") is None
    assert reference.kept_baseline("a" * 16, "klom") is None
    assert not folder.exists()


def test_what_was_kept_is_read_again(grown: Reference, models: Outputs, outputs: Draw) -> None:
    reference = Reference(grown.folder)
    assert reference.record == grown.record
    assert (reference.record.task, reference.record.device) == (ABOUT.task, "cpu")
    assert reference.record.environment == {"torch": "2"}
    assert reference.has_labels
    assert reference.has_original
    for name, labels in reference.labels().items():
        np.testing.assert_array_equal(labels, LABELS[name])
        assert labels.dtype == np.int64
    assert {name: people.tolist() for name, people in reference.identities().items()} == {"forget": [5, 6, 7], "unseen": [8]}
    assert reference.original().digest() == outputs(1).digest()
    np.testing.assert_array_equal(reference.original_weights()["weight"], WEIGHTS["weight"])
    assert all(reference.has_retrained(stack) for stack in STACKS)
    assert not reference.has_retrained((8, 9, 10, 11))
    assert reference.retrained(range(8)).digest() == models.select(range(8)).digest()
    assert reference.retraining_time("a processor") == 2.5
    assert reference.retraining_time("another") is None
    reference.check()


def test_retrained_models_come_in_the_order_asked_for(grown: Reference, models: Outputs) -> None:
    for asked in ([13, 0, 5, 4], [7], [3, 3, 2], range(8)):
        assert grown.retrained(asked).digest() == models.select(asked).digest()
    with pytest.raises(DamagedFileError, match=r"retrained-0008-0011\.npz"):
        grown.retrained([0, 8])


def test_whole_stacks_from_the_first_are_available(grown: Reference) -> None:
    assert grown.record.available == 8


def test_identities_may_be_unknown(folder: Path) -> None:
    reference = Reference(folder)
    with reference.growing(ABOUT, silent):
        reference.keep_labels(LABELS, {})
    assert Reference(folder).identities() == {}
    assert Reference(folder).labels().keys() == set(OUTPUT_SPLITS)


def test_identifiers_stand_for_the_models_that_are_compared_with(grown: Reference, outputs: Draw) -> None:
    first = grown.identifier(4)
    assert first == Reference(grown.folder).identifier(4)
    assert grown.identifier(8) != first
    with grown.growing(ABOUT, silent):
        grown.keep_retrained(STACKS[1], outputs(4))
    assert grown.identifier(4) == first
    with grown.growing(ABOUT, silent):
        grown.keep_original(WEIGHTS, outputs(1, seed=1))
    assert grown.identifier(4) != first


@pytest.mark.parametrize("name", ["labels.npz", "original.npz", "original.safetensors", "retrained-0004-0007.npz"])
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"PK"), lambda path: path.unlink()])
def test_a_damaged_file_is_found_and_counts_as_missing(grown: Reference, name: str, damage: Callable[[Path], None]) -> None:
    damage(grown.folder / name)
    reference = Reference(grown.folder)
    with pytest.raises(DamagedFileError, match=name):
        reference.check()
    assert reference.has_labels is (name != "labels.npz")
    assert reference.has_original is not name.startswith("original")
    assert [reference.has_retrained(stack) for stack in STACKS] == [True, not name.startswith("retrained"), True]


@pytest.mark.parametrize(
    ("name", "look"),
    [
        ("labels.npz", Reference.labels),
        ("labels.npz", Reference.identities),
        ("original.npz", Reference.original),
        ("original.safetensors", Reference.original_weights),
        ("retrained-0000-0003.npz", lambda reference: reference.retrained([0])),
    ],
)
def test_files_of_another_kind_are_damaged(grown: Reference, forger, name: str, look: Callable[[Reference], object]) -> None:
    """Their checksums fit."""
    record = forger.read(grown.folder / "reference.json")
    other = "original.npz" if name == "original.safetensors" else "original.safetensors"
    (grown.folder / name).write_bytes((grown.folder / other).read_bytes())
    record["files"][name] = record["files"][other]
    forger.write(grown.folder / "reference.json", record)
    with pytest.raises(DamagedFileError, match=name) as caught:
        look(Reference(grown.folder))
    assert "\n" not in str(caught.value)


def test_baselines_are_kept(grown: Reference) -> None:
    grown.keep_baseline("a" * 16, "klom", baseline(0.5))
    grown.keep_baseline("a" * 16, "ulira", baseline(0.6, version=3))
    grown.keep_baseline("b" * 16, "klom", baseline(0.7))
    reference = Reference(grown.folder)
    assert reference.kept_baseline("a" * 16, "klom").baseline.retrained == {"klom": Estimate(0.5, 0.1)}
    assert reference.kept_baseline("a" * 16, "klom").baseline.original == {"klom": Estimate(0.5)}
    assert list(reference.kept_baseline("a" * 16, "klom").baseline.details["per_example"]) == [0.5, None]
    assert reference.kept_baseline("a" * 16, "ulira").version == 3
    assert reference.kept_baseline("b" * 16, "klom").baseline.retrained["klom"].value == 0.7
    assert reference.kept_baseline("b" * 16, "ulira") is None
    grown.keep_baseline("a" * 16, "klom", baseline(0.8))
    assert Reference(grown.folder).kept_baseline("a" * 16, "klom").baseline.retrained["klom"].value == 0.8


def test_a_baseline_that_is_not_finite_is_not_kept(grown: Reference) -> None:
    with pytest.raises(BenchError, match=r"inf is not a finite number - at `\$\.baselines\.a+\.klom\.baseline\.retrained\.klom"):
        grown.keep_baseline("a" * 16, "klom", baseline(float("inf")))
    assert grown.kept_baseline("a" * 16, "klom") is None
    assert Reference(grown.folder).record == grown.record


def test_what_another_process_writes_is_kept(grown: Reference, models: Outputs) -> None:
    """Both were opened before either wrote."""
    one, other = Reference(grown.folder), Reference(grown.folder)
    one.keep_baseline("a" * 16, "klom", baseline(0.5))
    other.keep_baseline("a" * 16, "ulira", baseline(0.6))
    assert other.kept_baseline("a" * 16, "klom") is not None
    assert Reference(grown.folder).record.baselines["a" * 16].keys() == {"klom", "ulira"}
    with one.growing(ABOUT, silent):
        assert one.kept_baseline("a" * 16, "ulira") is not None
        one.keep_retrained((8, 9, 10, 11), models.select((8, 9, 10, 11)))
    with other.growing(ABOUT, silent):
        assert other.has_retrained((8, 9, 10, 11))
    other.keep_retraining_time("another", 3.0)
    reference = Reference(grown.folder)
    assert reference.record.available == 16
    assert reference.retraining_time("another") == 3.0
    assert reference.retraining_time("a processor") == 2.5


def test_the_shortest_time_is_kept_whoever_saw_it(grown: Reference) -> None:
    one, other = Reference(grown.folder), Reference(grown.folder)
    one.keep_retraining_time("a processor", 2.0)
    other.keep_retraining_time("a processor", 2.25)  # less than it has read, more than is known by now
    assert other.retraining_time("a processor") == 2.0
    one.keep_retraining_time("a processor", 3.0)
    assert Reference(grown.folder).retraining_time("a processor") == 2.0


def test_a_damaged_record_is_restored_from_its_copy(grown: Reference) -> None:
    path, notes = grown.folder / "reference.json", []
    path.write_text("{")
    with pytest.raises(DamagedFileError, match=r"reference\.json"):
        Reference(grown.folder)
    assert Reference.opened(grown.folder, notes.append).record == grown.record
    assert notes == [f"damaged file {path}: set aside, its copy is used"]
    assert (grown.folder / "reference.json.damaged").read_text() == "{"
    assert Reference(grown.folder).record == grown.record


def test_a_lost_record_is_restored_from_its_copy(grown: Reference) -> None:
    (grown.folder / "reference.json").unlink()
    assert Reference(grown.folder).record == grown.record
    assert read_record(grown.folder / "reference.json", ReferenceRecord) == grown.record


def test_a_reference_without_a_good_record_is_made_again(grown: Reference) -> None:
    path, notes = grown.folder / "reference.json", []
    for damaged in (path, grown.folder / "reference.copy.json"):
        damaged.write_text("{")
    reference = Reference.opened(grown.folder, notes.append)
    assert reference.record == ReferenceRecord()
    assert notes == [f"damaged file {path}: set aside, the reference is made again"]
    with reference.growing(ABOUT, silent):
        assert not reference.has_labels
        reference.keep_labels(LABELS, {})
    assert Reference(grown.folder).record.files.keys() == {"labels.npz"}


def test_a_reference_of_an_earlier_version_stays_as_it_is(grown: Reference, forger) -> None:
    path = grown.folder / "reference.json"
    forger.write(path, {"files": {}, "yardsticks": {}, "baselines": {}}, version=1)
    before = {file.name: file.read_bytes() for file in grown.folder.iterdir()}
    with pytest.raises(EarlierVersionError, match=r"reference\.json was written by an earlier bench") as caught:
        Reference.opened(grown.folder, pytest.fail)
    assert "\n" not in str(caught.value)
    assert {file.name: file.read_bytes() for file in grown.folder.iterdir()} == before


def test_one_process_at_a_time_makes_a_reference(grown: Reference) -> None:
    with grown.growing(ABOUT, pytest.fail), pytest.raises(Timeout):
        FileLock(grown.folder / ".lock").acquire(timeout=0)


def test_folders_are_named_by_task_and_device(tmp_path: Path, models: Outputs) -> None:
    kinds = {"cpu": "cpu", "NVIDIA H100 80GB HBM3": "nvidia-h100-80gb-hbm3", "../../x": "-x"}
    keys = ("e" * 64, "f" * 64)
    for key in keys:
        for kind, name in kinds.items():
            folder = folder_of(tmp_path, key, kind)
            assert folder == tmp_path / key[:16] / name
            reference = Reference(folder)
            with reference.growing(ABOUT, silent):
                pass
            reference.keep_retraining_time("a processor", 1.0)
    (tmp_path / "0" / "empty").mkdir(parents=True)
    assert reference_folders(tmp_path, keys[1]) == sorted(folder_of(tmp_path, keys[1], kind) for kind in kinds)
    assert reference_folders(tmp_path) == sorted(folder_of(tmp_path, key, kind) for key in keys for kind in kinds)
