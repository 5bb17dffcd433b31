"""A stranger's package with one plugin of every kind, installed beside the built wheel and used through the command line only."""

from __future__ import annotations

import csv
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

try:
    version("bench-third-party")
except PackageNotFoundError:
    pytest.skip("needs tests/third_party installed: `tox run -e third-party`", allow_module_level=True)


BROKEN = """
from bench import Method


class Broken(Method):
    \"\"\"Fails. Source: a test, 2026.\"\"\"

    def unlearn(self, model, data, trial):
        print("a last word")
        raise RuntimeError("not today")
"""


@pytest.fixture(scope="module")
def store(bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")
    bench("run", "--plugin", "shrink[factor=0.8]", "--task", "age-stripes", "--models", 8, "--budget", "100s", "--store", path)
    return path


def test_every_kind_is_listed_and_loads(bench) -> None:
    rows = json.loads(bench("plugins", "--check", "--json").stdout)
    ours = {row["name"]: row for row in rows if row["distribution"] == "bench-third-party"}
    kinds = {name: row["kind"] for name, row in ours.items()}
    assert kinds == {
        "shrink": "method",
        "age-stripes": "task",
        "patches": "network",
        "mean-margin": "metric",
        "pool": "executor",
        "shout": "command",
    }
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


def test_the_network_conforms(bench) -> None:
    assert "FAIL" not in bench("plugins", "test", "patches").stdout


def test_the_network_is_trained_in_the_pool_too(bench, tmp_path: Path) -> None:
    task = ["--task", "age-stripes", "--model", "patches", "--models", 8]
    for place in ("local", "pool"):
        bench("reference", "build", *task, "--executor", place, "--store", tmp_path / place)
    ours, theirs = (sorted((tmp_path / place).glob("references/*/*/*.npz")) for place in ("local", "pool"))
    assert len(ours) > 2
    assert [path.read_bytes() for path in ours] == [path.read_bytes() for path in theirs]


def test_a_run_of_the_method_on_the_task_has_the_metric(bench, store: Path) -> None:
    (card,) = [json.loads(path.read_text()) for path in (store / "runs").glob("shrink-*/scorecard.json")]
    assert "mean_margin" in json.dumps(card)
    assert "mean_margin" in bench("score", "shrink", "--store", store).stdout


def test_the_board_shows_the_run(bench, store: Path, tmp_path: Path) -> None:
    bench("leaderboard", "build", "--store", store, "--out", tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text()
    assert "shrink[factor=0.8]" in page


def test_the_metric_has_a_column_because_it_says_so(bench, store: Path, tmp_path: Path) -> None:
    (line,) = [line for line in bench("score", "--store", store).stdout.splitlines() if "held-out eps" in line]
    assert "margin" in line.split()
    bench("leaderboard", "build", "--store", store, "--out", tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text()
    assert '<th scope="col" class="numeric" title="mean confidence of the forget examples">margin</th>' in page
    (card,) = [json.loads(path.read_text()) for path in (store / "runs").glob("shrink-*/scorecard.json")]
    value = card["sections"]["mean-margin"]["measures"]["mean_margin"]["value"]
    with (tmp_path / "site" / "board.csv").open(newline="") as table:
        (row,) = [row for row in csv.DictReader(table) if row["method"].startswith("shrink")]
    assert float(row["mean_margin"]) == pytest.approx(value)
    assert f">{value:.1f}</td>" in page


def test_another_executor_gives_the_same_outputs_bit_for_bit(bench, store: Path, tmp_path: Path) -> None:
    wanted = ["--plugin", "shrink[factor=0.8]", "--task", "age-stripes", "--models", 8, "--budget", "100s"]
    bench("run", *wanted, "--executor", "pool", "--store", tmp_path)
    outputs = sorted(
        path.relative_to(store) for path in store.rglob("*.npz") if not path.name.startswith("timed")
    )  # those are drawn
    assert len(outputs) > 3
    for path in outputs:
        folder = next(tmp_path.glob(f"{path.parts[0]}/{path.parts[1].rpartition('-')[0]}*")) if path.parts[0] == "runs" else None
        theirs = folder / path.name if folder else tmp_path / path
        assert theirs.read_bytes() == (store / path).read_bytes()


def test_a_chunk_that_fails_in_the_pool_is_a_row(bench, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    wanted = ["--plugin", tmp_path / "broken.py", "--task", "age-stripes", "--models", 8, "--budget", "100s"]
    done = bench("run", *wanted, "--executor", "pool", "--store", tmp_path / "store", code=2)
    assert "RuntimeError: not today" in done.stderr
    (log,) = (tmp_path / "store" / "runs").glob("broken-*/log.txt")  # which the command alone writes
    assert "a last word\n" in log.read_text()
    assert 'raise RuntimeError("not today")' in log.read_text()


def test_an_executor_that_nobody_has_is_suggested(bench, tmp_path: Path) -> None:
    done = bench("run", "--plugin", "shrink", "--executor", "pol", "--store", tmp_path, code=2)
    assert done.stderr.splitlines()[-1] == "bench: unknown executor 'pol'; did you mean pool?"
