"""A store is made, found, or refused in one line that says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.errors import BenchError
from bench.store.fields import VERSION
from bench.store.files import DamagedFileError, EarlierVersionError, read_record, write_record
from bench.store.records import RunRecord, StoreRecord
from bench.store.reference_records import ReferenceRecord
from bench.store.store import Store


def refusal(path: Path) -> BenchError:
    with pytest.raises(BenchError) as caught:
        Store(path)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_store_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "store"
    Store(path)
    assert not path.exists()
    store = Store(path)
    store.prepare()
    assert store.references.is_dir()
    assert store.runs.is_dir()
    assert read_record(path / "store.json", StoreRecord) == StoreRecord()
    before = (path / "store.json").stat().st_mtime_ns
    Store(path).prepare()
    assert (path / "store.json").stat().st_mtime_ns == before


def test_a_store_of_an_earlier_version_is_refused(tmp_path: Path, forger) -> None:
    Store(tmp_path).prepare()
    forger.write(tmp_path / "store.json", {}, VERSION - 1)
    problem = refusal(tmp_path)
    assert isinstance(problem, EarlierVersionError)
    assert str(problem) == (
        f"{tmp_path / 'store.json'} was written by an earlier bench (schema {VERSION - 1}, this one reads {VERSION});"
        f" move {tmp_path} away, or choose another with --store"
    )


def test_the_first_version_is_refused_whatever_its_checksum(tmp_path: Path) -> None:
    Store(tmp_path).prepare()
    (tmp_path / "store.json").write_text(json.dumps({"schema_version": 1, "sha256": "0" * 64}))
    assert "was written by an earlier bench (schema 1" in str(refusal(tmp_path))


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    Store(tmp_path).prepare()
    (tmp_path / "store.json").write_text('{"schema_version": 99}')
    assert str(refusal(tmp_path)) == (
        f"{tmp_path / 'store.json'} was written by a newer bench (schema 99, this one reads {VERSION}); upgrade unlearning-bench"
    )


def test_a_damaged_store_is_refused(tmp_path: Path) -> None:
    Store(tmp_path).prepare()
    (tmp_path / "store.json").write_text("{")
    problem = refusal(tmp_path)
    assert isinstance(problem, DamagedFileError)
    assert str(problem).endswith(f"; move {tmp_path} away, or choose another with --store")


def test_an_unwritable_store_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match=r"cannot be written \(Not a directory\); choose another with --store"):
        Store(tmp_path / "file" / "store").prepare()


def test_a_store_without_write_permission_is_found_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path).prepare()
    monkeypatch.setattr("bench.store.store.os.access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(BenchError, match=r"cannot be written \(no write permission\); choose another with --store"):
        Store(tmp_path).prepare()


def test_runs_with_a_record_are_listed_in_order(tmp_path: Path, run_record: RunRecord) -> None:
    store = Store(tmp_path)
    store.prepare()
    for name in ("b", "a"):
        write_record(store.runs / name / "run.json", run_record)
    (store.runs / "c").mkdir()
    assert [folder.name for folder in store.run_folders()] == ["a", "b"]


def test_runs_and_references_are_found_where_they_were_kept(tmp_path: Path, run_record: RunRecord) -> None:
    store = Store(tmp_path)
    store.prepare()
    with store.run(replace(run_record, chunks=run_record.chunks[:1], models=4, timed=()), again=False, note=pytest.fail) as run:
        assert list(store.run_folders()) == [run.folder]
    reference = store.reference("f" * 64, "cpu")
    assert store.reference_folders() == []
    with reference.growing(ReferenceRecord(), pytest.fail):
        pass
    reference.keep_retraining_time("a processor", 1.0)
    assert reference.folder == store.reference_folder("f" * 64, "cpu")
    assert store.reference_folders() == store.reference_folders("f" * 64) == [reference.folder]
    assert store.reference_folders("e" * 64) == []
    assert store.reference("f" * 64, "cpu").retraining_time("a processor") == 1.0
