"""References that come with the package: used where they fit, read in place, and never trusted blindly."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from bench.errors import BenchError
from bench.metrics.metric import Baseline, Estimate
from bench.outputs import OUTPUT_SPLITS, Outputs, concatenate
from bench.store import shipped
from bench.store.exchange import add_reference, export_reference
from bench.store.files import DamagedFileError, write_record
from bench.store.records import RunRecord
from bench.store.reference_records import KeptBaseline, ReferenceRecord, ReferenceTask, origin
from bench.store.references import Reference
from bench.store.store import Store

Draw = Callable[..., Outputs]
ABOUT = ReferenceRecord(stack_size=4, task=ReferenceTask(name="t", key="f" * 64), device="cpu", environment={"torch": "theirs"})
HERE = replace(ABOUT, environment={"torch": "ours"})
LABELS = {name: np.arange(3) + index for index, name in enumerate(OUTPUT_SPLITS)}
KLOM = KeptBaseline(version=1, baseline=Baseline({"klom": Estimate(0.5)}))
WEIGHTS = {"weight": np.ones((1, 2), np.float32)}


class Told:
    """Remembers what was noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def __call__(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "packs")
    return tmp_path / "packs"


@pytest.fixture
def pack(packs: Path, outputs: Draw) -> Reference:
    """Eight retrained models of task t in the package."""
    reference = Reference(packs / "t")
    with reference.growing(ABOUT, print, shipped=False):
        fill(reference, outputs, range(0, 8, 4))
    reference.keep_retraining_time("their processor", 9.0)
    return reference


def fill(reference: Reference, outputs: Draw, starts: range) -> None:
    if not reference.has_labels:
        reference.keep_labels(LABELS, {})
        reference.keep_original(WEIGHTS, outputs(1))
    for start in starts:
        reference.keep_retrained(range(start, start + 4), outputs(4, seed=start))


@pytest.fixture
def own(tmp_path: Path) -> Reference:
    """A reference in a new store."""
    return Reference(tmp_path / "store" / "references" / "t" / "cpu")


def test_what_fits_is_used_and_read_in_place(pack: Reference, own: Reference, told: Told) -> None:
    with own.growing(HERE, told):
        assert own.has_labels
        assert own.has_original
        assert own.has_retrained(range(4, 8))
    own.keep_retraining_time("our processor", 1.0)
    again = Reference(own.folder)
    assert (again.record.available, again.record.shipped_models) == (8, 8)
    assert again.identifier(8) == pack.identifier(8)
    assert again.original_weights()["weight"].tolist() == [[1.0, 1.0]]
    again.check()
    assert [path.name for path in sorted(own.folder.iterdir()) if path.suffix != ".json" and path.name != ".lock"] == []
    assert told.notes == []


def test_times_never_come_from_it(pack: Reference, own: Reference, told: Told) -> None:
    with own.growing(HERE, told):
        pass
    assert own.retraining_time("their processor") is None
    assert own.record.environment == {"torch": "ours"}


def test_what_metrics_say_of_it_comes_with_it(pack: Reference, own: Reference, told: Told) -> None:
    models, later = pack.identifier(8), replace(KLOM, version=2)
    pack.keep_baseline(models, "klom", KLOM)
    pack.keep_baseline(models, "ulira", KLOM)
    with own.growing(HERE, told):
        pass
    assert own.kept_baseline(models, "klom") == KLOM
    own.keep_baseline(models, "klom", later)
    with own.growing(HERE, told, shipped=False):
        pass
    with own.growing(HERE, told):  # it is adopted once more, and what was found out here wins
        assert own.record.shipped_models == 8
    assert own.kept_baseline(models, "klom") == later
    assert own.kept_baseline(models, "ulira") == KLOM


def test_more_models_are_added_to_it_here(pack: Reference, own: Reference, outputs: Draw, told: Told) -> None:
    with own.growing(HERE, told):
        assert not own.has_retrained(range(8, 12))
        own.keep_retrained(range(8, 12), outputs(4, seed=8))
    again = Reference(own.folder)
    assert (again.record.available, again.record.shipped_models) == (12, 8)
    both = concatenate([outputs(4, seed=0).select([1]), outputs(4, seed=8).select([1])])
    assert again.retrained([1, 9]).digest() == both.digest()  # from both places at once
    assert len(again.retrained(range(12))) == 12
    assert (own.folder / "retrained-0008-0011.npz").is_file()
    assert not (own.folder / "retrained-0000-0003.npz").exists()


def test_what_was_trained_here_wins(pack: Reference, own: Reference, outputs: Draw, told: Told) -> None:
    with own.growing(HERE, told, shipped=False):
        fill(own, outputs, range(0, 4, 4))
    with own.growing(HERE, told):
        assert not own.has_retrained(range(4, 8))
    assert own.record.shipped_models == 0


def test_who_asks_for_training_gets_rid_of_it(pack: Reference, own: Reference, outputs: Draw, told: Told) -> None:
    with own.growing(HERE, told):
        own.keep_retrained(range(8, 12), outputs(4, seed=8))
    with own.growing(HERE, told, shipped=False):
        assert not own.has_labels
        assert not own.has_original
        assert not own.has_retrained(range(4))
        assert own.has_retrained(range(8, 12))
        fill(own, outputs, range(0, 8, 4))
    assert (own.record.available, own.record.shipped_models) == (12, 0)
    assert (own.folder / "retrained-0000-0003.npz").is_file()


@pytest.mark.parametrize(
    ("about", "why"),
    [
        (replace(HERE, task=ReferenceTask(name="t", key="e" * 64)), "it is of another version of the task"),
        (replace(HERE, stack_size=8), "it was trained in stacks of 4, and this machine needs stacks of 8"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(
    pack: Reference, own: Reference, told: Told, about: ReferenceRecord, why: str
) -> None:
    with own.growing(about, told):
        assert not own.has_original
    assert told.notes == [f"the reference that comes with bench is not used, but trained: {why}"]


@pytest.mark.parametrize(
    "about", [replace(HERE, device="Some GPU"), replace(HERE, task=ReferenceTask(name="t[size=64]", key="f" * 64))]
)
def test_other_devices_and_forms_of_the_task_have_none(
    pack: Reference, own: Reference, told: Told, about: ReferenceRecord
) -> None:
    with own.growing(about, told):
        assert not own.has_original
    assert told.notes == []


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _make_newer(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda folder: _flip(folder / "retrained-0004-0007.npz"), "its checksum differs"),
        (lambda folder: (folder / "labels.npz").write_bytes(b""), "its checksum differs"),
        (lambda folder: (folder / "original.npz").unlink(), "No such file"),
        (lambda folder: (folder / "reference.json").write_text("{"), "damaged file"),
        (lambda folder: _make_newer(folder / "reference.json"), "was written by a newer bench"),
    ],
    ids=["flipped", "truncated", "missing", "record", "newer"],
)
def test_what_is_damaged_is_not_used(
    pack: Reference, own: Reference, told: Told, harm: Callable[[Path], object], why: str
) -> None:
    harm(pack.folder)
    with own.growing(HERE, told):
        assert not own.has_original
    (note,) = told.notes
    assert why in note
    assert "\n" not in note


def test_a_store_goes_on_with_another_version_of_the_package(pack: Reference, own: Reference, outputs: Draw, told: Told) -> None:
    """It may keep its files otherwise. Other outputs are noticed by whoever asks which they are."""
    with own.growing(HERE, told):
        pass
    models, again = own.identifier(8), {"forget": np.array([4, 5, 6])}
    with pack.growing(ABOUT, told, shipped=False):
        pack.keep_labels(LABELS, again)
    assert Reference(own.folder).identities()["forget"].tolist() == [4, 5, 6]
    assert Reference(own.folder).identifier(8) == models
    with pack.growing(ABOUT, told, shipped=False):
        pack.keep_retrained(range(4, 8), outputs(4, seed=99))
    assert Reference(own.folder).identifier(8) != models
    _flip(pack.folder / "labels.npz")
    with pytest.raises(DamagedFileError, match="install unlearning-bench again"):
        Reference(own.folder).labels()


def test_damage_that_comes_later_says_what_to_do(pack: Reference, own: Reference, told: Told) -> None:
    with own.growing(HERE, told):
        pass
    _flip(pack.folder / "retrained-0000-0003.npz")
    with pytest.raises(DamagedFileError, match="install unlearning-bench again, or train your own with --reference train"):
        own.retrained([0])
    with own.growing(HERE, told):
        assert not own.has_retrained(range(4))  # and is trained here
        assert own.has_retrained(range(4, 8))


@pytest.mark.parametrize("name", ["../t", "/etc", "..", "", "t/../t"])
def test_a_strangers_name_leads_nowhere(pack: Reference, own: Reference, told: Told, name: str) -> None:
    with own.growing(replace(HERE, task=ReferenceTask(name=name, key="f" * 64)), told):
        assert not own.has_original
    assert told.notes == []


def test_an_export_holds_all_of_it(pack: Reference, own: Reference, outputs: Draw, told: Told, tmp_path: Path) -> None:
    with own.growing(HERE, told):
        own.keep_retrained(range(8, 12), outputs(4, seed=8))
    own.keep_retraining_time("our processor", 1000.0)
    own.keep_baseline("a" * 16, "klom", KLOM)
    export_reference(own, tmp_path / "reference.zip")
    other = Store(tmp_path / "other")
    other.prepare()
    added = Reference(add_reference(other, tmp_path / "reference.zip"))
    assert not added.record.retraining_times  # a budget is a share of what this machine takes
    assert not added.record.baselines  # and a ceiling is computed from the outputs
    assert (added.record.available, added.record.shipped_models) == (12, 0)
    assert added.identifier(12) == own.identifier(12)


def test_a_file_that_leaves_out_what_comes_with_the_package_is_refused(
    pack: Reference, own: Reference, told: Told, tmp_path: Path
) -> None:
    with own.growing(HERE, told):
        pass
    record = own.record
    export_reference(own, tmp_path / "reference.zip")
    write_record(tmp_path / "reference.json", record)
    with zipfile.ZipFile(tmp_path / "reference.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "forged.zip", "w") as archive:
        for name, content in {**members, "reference.json": (tmp_path / "reference.json").read_bytes()}.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    other = Store(tmp_path / "other")
    other.prepare()
    with pytest.raises(BenchError, match="lacks files that its record lists"):
        add_reference(other, tmp_path / "forged.zip")


@pytest.mark.parametrize(("models", "came", "words"), [(8, 8, "shipped"), (12, 8, "8 shipped, 4 own"), (4, 0, "trained here")])
def test_where_models_come_from_in_words(models: int, came: int, words: str) -> None:
    assert origin(models, came) == words


def train_others(own: Reference, outputs: Draw, told: Told) -> None:
    """Have a store train models of its own, which differ from those of the package."""
    with own.growing(HERE, told, shipped=False):
        own.keep_labels(LABELS, {})
        own.keep_original(WEIGHTS, outputs(1, seed=9))
        own.keep_retrained(range(4), outputs(4, seed=9))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A new store."""
    made = Store(tmp_path / "store")
    made.prepare()
    return made


def _a_run(record: RunRecord, name: str = "t", key: str = "f" * 64) -> RunRecord:
    return replace(record, task=replace(record.task, name=name, key=key))


def test_a_store_that_has_none_reads_it_and_writes_nothing(pack: Reference, run_record: RunRecord, store: Store) -> None:
    found = store.reference_of(_a_run(run_record))
    assert found.identifier(8) == pack.identifier(8)
    assert not found.folder.exists()
    assert store.reference_of(_a_run(run_record, key="e" * 64)).record.available == 0
    assert store.reference_of(_a_run(run_record, name="other")).record.available == 0


def test_a_run_that_was_compared_with_it_still_is_after_training_here(
    pack: Reference, run_record: RunRecord, outputs: Draw, told: Told, store: Store
) -> None:
    """Also what is found out about it then is kept, and does not get into the way of the store's own."""
    own = store.reference("f" * 64, "cpu")
    with own.growing(HERE, told):
        own.keep_retrained(range(8, 12), outputs(4, seed=8))
    before = own.identifier(12)
    pack.keep_baseline(pack.identifier(8), "ulira", KLOM)
    run = replace(_a_run(run_record), shipped_models=8)
    train_others(own, outputs, told)
    found = store.reference_of(run)
    assert (found.identifier(8), found.identifier(12)) == (pack.identifier(8), before)
    found.keep_baseline(before, "klom", KLOM)
    assert found.identifier(12) == before
    assert found.kept_baseline(pack.identifier(8), "ulira") == KLOM  # what came with the package is not forgotten
    again = store.reference("f" * 64, "cpu")
    assert again.identifier(4) == own.identifier(4) != pack.identifier(4)
    assert again.kept_baseline(before, "klom") == KLOM
    assert store.reference_of(run).kept_baseline(before, "klom") == KLOM


def test_a_store_that_has_one_reads_its_own(
    pack: Reference, run_record: RunRecord, outputs: Draw, told: Told, store: Store
) -> None:
    own = store.reference("f" * 64, "cpu")
    train_others(own, outputs, told)
    assert store.reference_of(_a_run(run_record)).identifier(4) == own.identifier(4) != pack.identifier(4)
