"""What `bench doctor` says of a machine that lacks something; its command is tested in tests/end_to_end/test_verify.py."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.engine import diagnosis
from bench.engine.worker.group import ControlGroup
from bench.store import shipped


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "LIBRARIES", ("numpy", "no-such-library"))
    check = diagnosis._libraries()
    assert check.problem == "not installed: no-such-library"
    assert check.remedy == "pip install no-such-library"


def test_little_memory_for_each_worker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "default_workers", lambda device_kind: 4)
    monkeypatch.setattr(diagnosis, "default_memory_limit", lambda workers: int(2e9 / workers))
    check = diagnosis._memory(None)
    assert check.problem == "0.5 GB for each of 4 workers is too little"
    assert check.remedy == "use fewer --workers"


def test_a_machine_that_lets_methods_hide_processes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """In some containers the system refuses both ways to find them."""
    monkeypatch.setattr(ControlGroup, "can_be_made", lambda: False)
    assert diagnosis._processes().well
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(prctl=lambda *arguments: -1))
    check = diagnosis._processes()
    assert "neither counted nor ended: prctl is refused" in check.problem
    assert "PR_SET_CHILD_SUBREAPER" in check.remedy
    monkeypatch.setattr(ControlGroup, "can_be_made", lambda: True)
    assert diagnosis._processes().well


def test_a_machine_without_room_for_temporary_files_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/full']")

    monkeypatch.setattr(tempfile, "gettempdir", full)
    check = next(check for check in diagnosis.diagnose(Path(), "age-synthetic") if check.point == "device")
    assert "No usable temporary directory found" in check.problem
    assert check.problem.endswith("; name a folder that you may write to in the variable TMPDIR")


def test_looking_at_the_disk_makes_no_store(tmp_path: Path) -> None:
    assert "GB are free where" in diagnosis._disk(tmp_path / "not yet" / "store").seen
    assert not list(tmp_path.iterdir())


def test_a_task_that_is_not_installed_is_told() -> None:
    (check,) = diagnosis._task("age-synthetik", None)
    assert "did you mean age-synthetic" in check.problem


def test_the_reference_that_comes_with_the_package_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [(check.point, check.well) for check in diagnosis._task("age-synthetic", None)] == [
        ("task age-synthetic", True),
        ("shipped reference", True),
    ]
    shutil.copytree(shipped.FOLDER, tmp_path / "packs")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "packs")
    record = tmp_path / "packs" / "age-synthetic" / "reference.json"
    record.write_bytes(record.read_bytes()[:5000])
    *_, check = diagnosis._task("age-synthetic", None)
    assert "damaged file" in check.problem
    assert check.remedy.startswith("install unlearning-bench again; until then `bench run` trains what is missing")
