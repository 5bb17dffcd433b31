"""What is damaged in a store is named, with what to do; what is well is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.store.health import examine_store
from bench.store.store import Store


def problems(path: Path) -> dict[str, tuple[str, str]]:
    """Point -> what is wrong, and what to do."""
    return {check.point: (check.problem, check.remedy) for check in examine_store(path) if not check.well}


@pytest.fixture
def intact(drawn) -> Path:
    for name in ("one", "other"):
        drawn.add(name, drawn.shifted(0.0))
    return drawn.store.path


def test_an_intact_store_is_well(intact: Path) -> None:
    (check,) = examine_store(intact)
    assert check.well
    assert (check.point, check.seen) == ("store", f"{intact} has 2 runs")


def test_a_store_is_not_made_by_looking_at_it(tmp_path: Path) -> None:
    (check,) = examine_store(tmp_path / "store")
    assert check.well
    assert "does not exist yet; `bench run` makes it" in check.seen
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("content", [b"", b"PK"])
def test_damaged_outputs_of_a_run_are_named(intact: Path, content: bytes) -> None:
    (intact / "runs" / "one-0123456789ab" / "outputs-0000.npz").write_bytes(content)
    ((point, (problem, remedy)),) = problems(intact).items()
    assert point == "run one-0123456789ab"
    assert "outputs-0000.npz (its checksum differs)" in problem
    assert remedy == "the command that made it repeats what is damaged"


def test_a_damaged_record_of_a_run_is_named(intact: Path, forger) -> None:
    path = intact / "runs" / "other-0123456789ab" / "run.json"
    forger.write(path, {**forger.read(path), "models": "16"})
    ((point, (problem, _)),) = problems(intact).items()
    assert point == "run other-0123456789ab"
    assert "run.json (Expected `int`, got `str` - at `$.models`)" in problem


def test_damage_of_a_reference_is_named(intact: Path) -> None:
    (folder,) = Store(intact).reference_folders()
    (folder / "labels.npz").unlink()
    ((point, (problem, remedy)),) = problems(intact).items()
    assert point == "reference cpu"
    assert "labels.npz (No such file or directory)" in problem
    assert remedy == "`bench reference build` makes again what is damaged"
    (folder / "reference.json").write_text("{")
    ((point, (problem, _)),) = problems(intact).items()
    assert point == "reference cpu"
    assert "reference.json" in problem


def test_everything_that_is_damaged_is_named(intact: Path) -> None:
    for path in [*intact.glob("runs/*/run.json"), *intact.glob("references/*/*/original.npz")]:
        path.write_bytes(b"{")
    assert problems(intact).keys() == {"run one-0123456789ab", "run other-0123456789ab", "reference cpu"}


@pytest.mark.parametrize("version", [1, 99])
def test_a_store_of_another_version_cannot_be_used(intact: Path, forger, version: int) -> None:
    forger.write(intact / "store.json", {}, version)
    (check,) = examine_store(intact)
    assert "was written by" in check.problem
    assert check.remedy == "use another --store"


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    (check,) = examine_store(tmp_path / "store")
    assert check.problem == f"{tmp_path / 'store'} is not a folder"


def test_a_store_that_cannot_be_written_cannot_be_used(intact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.store.health.os.access", lambda path, mode: False)  # root may write anywhere
    (check,) = examine_store(intact)
    assert check.problem == f"{intact} cannot be written"
