"""What `bench doctor` says of a machine that lacks something; its command is tested in tests/end_to_end/test_verify.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.engine import diagnosis


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


def test_looking_at_the_disk_makes_no_store(tmp_path: Path) -> None:
    assert "GB are free where" in diagnosis._disk(tmp_path / "not yet" / "store").seen
    assert not list(tmp_path.iterdir())


def test_a_task_that_is_not_installed_is_told() -> None:
    assert "did you mean age-synthetic" in diagnosis._task("age-synthetik").problem
    assert diagnosis._task("age-synthetic").well
