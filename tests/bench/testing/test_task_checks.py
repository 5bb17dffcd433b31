"""`bench plugins test` of a task."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.registry.discovery import is_task
from bench.testing.outcome import Status
from bench.testing.task_checks import outcomes

TINY = (Path(__file__).parents[2] / "tiny_task.py").read_text()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_task.py"
    path.write_text(TINY)
    return path


def test_a_good_task_passes(file: Path) -> None:
    for name in ("age-tiny", str(file)):
        found = list(outcomes(name))
        assert all(outcome.status is Status.PASSED for outcome in found)
        parts = ["description", "images", "labels", "identities", "twins", "splits", "digest"]
        assert [outcome.check for outcome in found] == [*parts, "needed-splits", "data-repeat"]


def test_each_mistake_is_told(file: Path) -> None:
    file.write_text(TINY.replace("(GROUPS, size=count)", "(GROUPS, size=count) + 1").replace("f593d", "00000"))
    failed = {outcome.check: outcome.reason for outcome in outcomes(str(file)) if outcome.status is Status.FAILED}
    assert failed == {"labels": "labels go from 1 to 4; of 4 groups they must go from 0 to 3"}


def test_a_wrong_digest_tells_the_right_one(file: Path) -> None:
    file.write_text(TINY.replace("f593d", "00000"))
    failed = {outcome.check: outcome.reason for outcome in outcomes(str(file)) if outcome.status is Status.FAILED}
    assert "their digest is f593d2297ccc" in failed["digest"]


def test_splits_without_photos_are_told_whatever_the_digest(file: Path) -> None:
    """Else its author would mend the digest twice."""
    file.write_text(
        TINY.replace("f593d", "00000").replace("    images = ", "    splits['forget'] = splits['forget'][:0]\n    images = ")
    )
    failed = [outcome.check for outcome in outcomes(str(file)) if outcome.status is Status.FAILED]
    assert failed == ["digest", "needed-splits"]


def test_a_file_has_one_task(file: Path) -> None:
    file.write_text(TINY.replace("    register(", "    register(None)\n    register("))
    with pytest.raises(BenchError, match="registers 2 tasks: one in a file can be used"):
        list(outcomes(str(file)))


def test_data_that_change_are_told(file: Path) -> None:
    changing = TINY.replace("default_rng(0)", "default_rng(int(len(TIMES) > 2))").replace(
        "def load(", "TIMES = []\n\n\ndef load("
    )
    file.write_text(changing.replace("    rng, count", "    TIMES.append(1)\n    rng, count"))
    failed = {outcome.check: outcome.reason for outcome in outcomes(str(file)) if outcome.status is Status.FAILED}
    assert list(failed) == ["data-repeat"]
    assert failed["data-repeat"].startswith("loaded again, its data are not what its key says")


def test_what_is_a_task(file: Path, tmp_path: Path) -> None:
    method = tmp_path / "my_method.py"
    method.write_text("class Mine: ...\n")
    assert [is_task(name) for name in ("age-tiny", str(file), "scrub", str(method), "nothing")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_options_and_data_that_are_not_prepared_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    with pytest.raises(BenchError, match="without options: `bench tasks check age-tiny"):
        list(outcomes("age-tiny[size=32]"))
    with pytest.raises(BenchError, match="prepare"):
        list(outcomes("age-utkface"))
