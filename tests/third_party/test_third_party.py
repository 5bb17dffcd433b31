"""A stranger's package with one plugin of every kind, installed beside the built wheel and used through the command line only."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

try:
    version("bench-third-party")
except PackageNotFoundError:
    pytest.skip("needs tests/third_party installed: `tox run -e third-party`", allow_module_level=True)


@pytest.fixture(scope="module")
def store(bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")
    bench("run", "--plugin", "shrink[factor=0.8]", "--task", "age-stripes", "--models", 8, "--budget", "100s", "--store", path)
    return path


def test_every_kind_is_listed_and_loads(bench) -> None:
    rows = json.loads(bench("plugins", "--check", "--json").stdout)
    ours = {row["name"]: row for row in rows if row["distribution"] == "bench-third-party"}
    kinds = {name: row["kind"] for name, row in ours.items()}
    assert kinds == {"shrink": "method", "age-stripes": "task", "mean-margin": "metric", "shout": "command"}
    assert all(row["status"] == "ok" and row["version"] == "1.2.3" for row in ours.values())
    assert ours["shrink"]["summary"].startswith("Shrink: scale all weights down")


def test_the_command_is_a_command(bench) -> None:
    assert bench("shout", "forget").stdout == "FORGET\n"
    assert "Shout a word." in bench("--help").stdout


def test_the_task_is_a_task(bench) -> None:
    shown = json.loads(bench("tasks", "show", "age-stripes", "--json").stdout)
    assert shown["recipe"]["epochs"] == 3


def test_the_metric_is_explained(bench) -> None:
    assert "mean logit-scaled confidence" in bench("metrics", "show", "mean-margin").stdout


def test_the_method_conforms(bench) -> None:
    assert "FAIL" not in bench("plugins", "test", "shrink").stdout


def test_a_run_of_the_method_on_the_task_has_the_metric(bench, store: Path) -> None:
    (card,) = [json.loads(path.read_text()) for path in (store / "runs").glob("shrink-*/scorecard.json")]
    assert "mean_margin" in json.dumps(card)
    assert "mean_margin" in bench("score", "shrink", "--store", store).stdout


def test_the_board_shows_the_run(bench, store: Path, tmp_path: Path) -> None:
    bench("leaderboard", "build", "--store", store, "--out", tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text()
    assert "shrink[factor=0.8]" in page
