"""Zip files of strangers: nothing but what `bench export` writes comes out of them."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.scoring.scorecard import Scorecard, keep_scorecard
from bench.store.exchange import (
    REFERENCE_FILES,
    RUN_FILES,
    add_reference,
    export_reference,
    export_run,
    imported_run,
    unpacked,
)
from bench.store.fields import VERSION
from bench.store.runs import Run
from bench.store.store import Store


def zipped(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def rewritten(file: Path, change: Callable[[Path], object], scratch: Path) -> None:
    """Change what is in a zip file."""
    with zipfile.ZipFile(file) as archive:
        archive.extractall(scratch)
    change(scratch)
    zipped(file, {path.name: path.read_bytes() for path in scratch.iterdir()})
    shutil.rmtree(scratch)


@pytest.fixture
def run(drawn) -> Run:
    run = drawn.add("run", drawn.shifted(0.0), run="run-0123456789ab")
    keep_scorecard(run, Scorecard())
    return run


@pytest.fixture
def sent_run(run: Run, tmp_path: Path) -> Path:
    export_run(run, tmp_path / "sent" / "run.zip")
    return tmp_path / "sent" / "run.zip"


@pytest.fixture
def sent_reference(drawn, tmp_path: Path) -> Path:
    export_reference(drawn.reference, tmp_path / "sent" / "reference.zip")
    return tmp_path / "sent" / "reference.zip"


def test_members_are_unpacked_for_as_long_as_they_are_needed(tmp_path: Path) -> None:
    members = {"run.json": b"{}", "scorecard.json": b"[]", "outputs-0000.npz": b"PK", "outputs-12345.npz": b""}
    with unpacked(zipped(tmp_path / "a.zip", members), RUN_FILES) as folder:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == members
    assert not folder.exists()


@pytest.mark.parametrize(
    "name",
    ["further.py", "../run.json", "/run.json", "run.json/", "a/run.json", "run.json\n", "outputs-1.npz", "labels.npz"],
)
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    file = zipped(tmp_path / "a.zip", {"run.json": b"{}", name: b""})
    with pytest.raises(BenchError, match="it holds other files"), unpacked(file, RUN_FILES):
        pytest.fail("it was unpacked")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_runs_and_references_have_different_names(tmp_path: Path) -> None:
    names = ("reference.json", "labels.npz", "original.npz", "original.safetensors", "retrained-0000-0015.npz")
    file = zipped(tmp_path / "a.zip", dict.fromkeys(names, b""))
    with unpacked(file, REFERENCE_FILES) as folder:
        assert {path.name for path in folder.iterdir()} == set(names)
    with pytest.raises(BenchError, match="it holds other files"), unpacked(file, RUN_FILES):
        pytest.fail("it was unpacked")


def test_a_name_comes_once(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("run.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("run.json", "[]")
    with pytest.raises(BenchError, match="it holds other files"), unpacked(tmp_path / "a.zip", RUN_FILES):
        pytest.fail("it was unpacked")


def test_there_are_not_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = zipped(tmp_path / "a.zip", {f"outputs-{index:04d}.npz": b"" for index in range(4)})
    monkeypatch.setattr("bench.store.exchange.MOST_FILES", 3)
    with pytest.raises(BenchError, match="it holds other files"), unpacked(file, RUN_FILES):
        pytest.fail("it was unpacked")


def test_compressed_files_are_refused(tmp_path: Path) -> None:
    file = zipped(tmp_path / "a.zip", {"run.json": b"0" * 10**7}, zipfile.ZIP_DEFLATED)
    with pytest.raises(BenchError, match="it is compressed"), unpacked(file, RUN_FILES):
        pytest.fail("it was unpacked")


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    """Two names for one content: more comes out than went in."""
    file = zipped(tmp_path / "a.zip", {"outputs-0000.npz": b"0" * 10**5, "outputs-0001.npz": b""})
    with zipfile.ZipFile(file, "a") as archive:
        first, second = archive.infolist()
        second.header_offset, second.file_size = first.header_offset, first.file_size
        second.compress_size, second.CRC = first.compress_size, first.CRC
        archive.writestr("run.json", "{}")
    with pytest.raises(BenchError, match="its members overlap"), unpacked(file, RUN_FILES):
        pytest.fail("it was unpacked")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.zip")
    with pytest.raises(BenchError, match="is not a file that `bench export` wrote"), unpacked(tmp_path / "a.zip", RUN_FILES):
        pytest.fail("it was unpacked")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_zip_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with (
        pytest.raises(BenchError, match=r"a\.zip is not a file that `bench export` wrote"),
        unpacked(tmp_path / "a.zip", RUN_FILES),
    ):
        pytest.fail("it was unpacked")


def test_a_run_travels(drawn, run: Run, sent_run: Path) -> None:
    with imported_run(sent_run) as found:
        assert found.folder.name == "run-0123456789ab"
        assert found.folder != run.folder
        assert found.record == run.record
        assert (found.folder / "scorecard.json").read_bytes() == (run.folder / "scorecard.json").read_bytes()
        assert found.outputs(drawn.reference).digest() == run.outputs(drawn.reference).digest()
    assert not found.folder.exists()


@pytest.mark.parametrize("name", ["my method", "vergessen_ü", ".hidden"])
def test_what_nobody_could_import_is_not_sent(drawn, tmp_path: Path, name: str) -> None:
    run = drawn.add(name, drawn.shifted(0.0), run=f"{name}-0123456789ab")
    keep_scorecard(run, Scorecard())
    with pytest.raises(BenchError, match="nobody could import a run called"):
        export_run(run, tmp_path / "sent.zip")
    assert not (tmp_path / "sent.zip").exists()


def test_the_same_run_is_the_same_file(run: Run, sent_run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == sent_run.read_bytes()
    with zipfile.ZipFile(sent_run) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert [path.name for path in sent_run.parent.iterdir()] == ["run.zip"]


def test_only_complete_scored_intact_runs_are_sent(drawn, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "sent.zip"
    with pytest.raises(BenchError, match="is not complete and scored"):
        export_run(drawn.add("unfinished", drawn.shifted(0.0), timed=()), out)
    (run.folder / "scorecard.json").unlink()
    with pytest.raises(BenchError, match="is not complete and scored"):
        export_run(run, out)
    keep_scorecard(run, Scorecard())
    (run.folder / "outputs-0000.npz").write_bytes(b"PK")
    with pytest.raises(BenchError, match=r"outputs-0000\.npz"):
        export_run(run, out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("../../escaped", "does not say which run it is"),
        ("a/b", "does not say which run it is"),
        ("", "does not say which run it is"),
        (".hidden", "does not say which run it is"),
        ("a" * 201, "does not say which run it is"),
        ("a" * 5000, "run.json is damaged; ask for it again"),
        ("nul\x00", "run.json is damaged; ask for it again"),
    ],
)
def test_names_of_runs_are_names(sent_run: Path, forger, tmp_path: Path, name: str, told: str) -> None:
    def change(folder: Path) -> None:
        forger.write(folder / "run.json", {**forger.read(folder / "run.json"), "run": name})

    rewritten(sent_run, change, tmp_path / "scratch")
    with pytest.raises(BenchError) as caught, imported_run(sent_run):
        pytest.fail("it was imported")
    assert str(caught.value).startswith(f"{sent_run}")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "run.json").unlink(),
        lambda folder: (folder / "run.json").write_text("{}"),
        lambda folder: (folder / "run.json").write_text((folder / "run.json").read_text().replace('"seed": 0', '"seed": 1')),
    ],
)
def test_damaged_records_are_asked_for_again(sent_run: Path, tmp_path: Path, change: Callable[[Path], object]) -> None:
    rewritten(sent_run, change, tmp_path / "scratch")
    with pytest.raises(BenchError) as caught, imported_run(sent_run):
        pytest.fail("it was imported")
    assert str(caught.value) == f"{sent_run}: run.json is damaged; ask for it again"


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (VERSION - 1, f"an earlier bench (schema {VERSION - 1}, this one reads {VERSION}); ask for it again"),
        (VERSION + 1, f"a newer bench (schema {VERSION + 1}, this one reads {VERSION}); upgrade unlearning-bench"),
    ],
)
def test_runs_of_other_versions_are_refused(sent_run: Path, forger, tmp_path: Path, version: int, told: str) -> None:
    rewritten(sent_run, lambda folder: forger.write(folder / "run.json", {}, version), tmp_path / "scratch")
    with pytest.raises(BenchError) as caught, imported_run(sent_run):
        pytest.fail("it was imported")
    assert str(caught.value) == f"{sent_run} was written by {told}"


def test_what_is_found_later_is_told_of_the_file(run: Run, sent_run: Path, tmp_path: Path) -> None:
    """Outputs are looked at by whoever scores the run."""
    rewritten(sent_run, lambda folder: (folder / "outputs-0000.npz").write_bytes(b"PK"), tmp_path / "scratch")
    with pytest.raises(BenchError) as caught, imported_run(sent_run) as found:
        found.check_outputs()
    assert str(caught.value) == f"{sent_run}: outputs-0000.npz is damaged; ask for it again"


def test_a_reference_travels(drawn, sent_reference: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "other")
    store.prepare()
    folder = add_reference(store, sent_reference)
    assert folder == store.reference_folder(drawn.reference.record.task.key, "cpu")
    found = store.reference(drawn.reference.record.task.key, "cpu", pytest.fail)
    found.check()
    assert found.record == drawn.reference.record
    assert found.identifier(16) == drawn.reference.identifier(16)
    with pytest.raises(BenchError, match=r"there is a reference in .*; choose another store with --store"):
        add_reference(store, sent_reference)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: record.update(task=None), "does not say which task and device it is a reference of"),
        (lambda record: record.update(device=""), "does not say which task and device it is a reference of"),
        (lambda record: record.pop("device"), "does not say which task and device it is a reference of"),
        (lambda record: record["task"].update(key="../../x"), "reference.json is damaged; ask for it again"),
        (lambda record: record["files"].update({"labels.npz": "0" * 64}), "labels.npz is damaged; ask for it again"),
        (lambda record: record["files"].update({"../x.npz": "0" * 64}), "reference.json is damaged; ask for it again"),
        (lambda record: record.update(baselines={"a": {"klom": 1}}), "reference.json is damaged; ask for it again"),
    ],
    ids=range(7),
)
def test_references_that_are_not_what_they_say_are_refused(
    sent_reference: Path, forger, tmp_path: Path, change: Callable[[dict], object], told: str
) -> None:
    def changed(folder: Path) -> None:
        record = forger.read(folder / "reference.json")
        change(record)
        forger.write(folder / "reference.json", record)

    rewritten(sent_reference, changed, tmp_path / "scratch")
    store = Store(tmp_path / "other")
    store.prepare()
    with pytest.raises(BenchError, match=told):
        add_reference(store, sent_reference)
    assert store.reference_folders() == []
    assert not list(store.references.iterdir())


@pytest.mark.parametrize("harm", ["link", "nonsense"])
def test_a_scorecard_that_cannot_be_read_is_not_exported(run: Run, tmp_path: Path, harm: str) -> None:
    path = run.folder / "scorecard.json"
    path.unlink()
    if harm == "link":
        path.symlink_to("/etc/hostname")
    else:
        path.write_text("{}")
    with pytest.raises(BenchError, match=r"damaged file .*scorecard\.json"):
        export_run(run, tmp_path / "out" / "run.zip")
    assert not list(tmp_path.glob("out/*"))
