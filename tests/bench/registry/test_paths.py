"""`~` is the home folder wherever a user writes a path, and whoever has no home can do without."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import click
import numpy as np
import platformdirs
import pytest

from bench.cli.options import UserPath
from bench.errors import BenchError
from bench.registry.discovery import find_method
from bench.registry.paths import expanded
from bench.scoring.results import load
from bench.tasks.datasets.home import home
from bench.tasks.datasets.prepared import prepared_sizes
from bench.tasks.forget import _read_positions


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user is at home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("BENCH_DATA", raising=False)
    return tmp_path


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom the system does not know, as in a container."""

    def unknown(name: object) -> None:
        raise KeyError(f"no such user: {name}")

    for variable in ("HOME", "XDG_DATA_HOME", "BENCH_DATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)


def test_the_home_folder_and_whatever_only_looks_like_it(house: Path) -> None:
    assert expanded("~") == house
    assert expanded("~/a b/~") == house / "a b" / "~"
    for path in ("a/~/b", "a~", "/~", ""):
        assert expanded(path) == Path(path)


def test_a_home_that_nobody_knows_is_one_line(house: Path) -> None:
    with pytest.raises(BenchError, match=r"^~nobody-of-that-name/x begins with a home folder that nobody knows here"):
        expanded("~nobody-of-that-name/x")


def test_options_and_variables(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    @click.option("--store", type=UserPath(), envvar="BENCH_STORE", default=Path("here"))
    def command(store: Path) -> Path:
        return store

    assert command.main(["--store=~/results"], standalone_mode=False) == house / "results"
    assert command.main([], standalone_mode=False) == Path("here")
    monkeypatch.setenv("BENCH_STORE", "~/results")
    assert command.main([], standalone_mode=False) == house / "results"
    monkeypatch.setenv("BENCH_DATA", "~/data")
    assert home() == house / "data"


def test_every_option_that_takes_a_path_expands_it() -> None:
    root = Path(__file__).parents[3]
    sources = [path for folder in ("bench", "leaderboard") for path in (root / folder).rglob("*.py")]
    assert [path.name for path in sources if "click.Path(" in path.read_text().replace("(click.Path):", "")] == []


def test_files_of_methods_and_of_positions_and_stores(house: Path) -> None:
    (house / "mine.py").write_text('"""Mine."""\n')
    assert find_method("~/mine.py").module == str(house / "mine.py")
    assert find_method("~/mine.py:Mine").module == str(house / "mine.py")
    np.save(house / "rows.npy", np.arange(3))
    assert _read_positions(expanded("~/rows.npy"), 3).tolist() == [0, 1, 2]
    with pytest.raises(BenchError, match=rf"^{house}/results is no folder of results"):
        load("~/results")


@pytest.mark.usefixtures("homeless")
def test_without_a_home_nothing_is_prepared_and_preparing_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert prepared_sizes("age-utkface") == []
    with pytest.raises(BenchError, match=r"^there is no home folder for prepared data; set BENCH_DATA to a folder"):
        home()
    with pytest.raises(BenchError, match=r"^~/x begins with a home folder that nobody knows"):
        expanded("~/x")
    monkeypatch.setenv("BENCH_DATA", "/data")
    assert home() == Path("/data")


@pytest.mark.parametrize("place", ["", "relative"])
def test_a_home_that_is_no_place_is_said(house: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: Path(place, name))
    with pytest.raises(BenchError, match=r"is no place for prepared data; set BENCH_DATA"):
        home()
    assert os.environ["HOME"] == str(house)
