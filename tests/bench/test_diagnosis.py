"""What `bench doctor` says of a machine that lacks something; its command is tested in tests/end_to_end/test_verify.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import diagnosis


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "LIBRARIES", ("numpy", "no-such-library"))
    check = diagnosis._libraries()
    assert check.problem == "not installed: no-such-library"
    assert check.remedy == "pip install no-such-library"


def test_a_store_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    (check,) = diagnosis._store(tmp_path / "store")
    assert not check.well
