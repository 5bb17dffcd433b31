"""Commands that answer at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image


@pytest.mark.parametrize("arguments", [["--help"], ["plugins"], ["tasks"], ["run", "--help"], ["leaderboard", "build", "--help"]])
def test_no_torch_until_something_trains(arguments: list[str]) -> None:
    code = f"""
import sys
from bench.cli.main import cli
try:
    cli.main({arguments!r}, standalone_mode=False)
finally:
    heavy = {{"torch", "scipy", "sklearn", "pandas", "plotly"}} & set(sys.modules)
    assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_help_lists_the_commands(bench) -> None:
    listed = bench("--help").stdout
    assert all(name in listed for name in ("run", "reference", "tasks", "plugins", "leaderboard"))


def test_plugins_lists_name_package_version_and_summary(bench) -> None:
    line = next(line for line in bench("plugins").stdout.splitlines() if line.startswith("scrub "))
    assert "unlearning-bench" in line
    assert "SCRUB: move away from a frozen teacher" in line
    rows = json.loads(bench("plugins", "--json").stdout)
    assert set(rows[0]) == {"name", "kind", "distribution", "version", "status", "summary"}


def test_tasks(bench, tmp_path: Path) -> None:
    assert "age-synthetic" in bench("tasks").stdout
    shown = bench("tasks", "show", "age-synthetic").stdout
    assert "9e4f085b95dc6f7c" in shown
    assert "retain 2280, forget 120" in shown
    assert json.loads(bench("tasks", "show", "age-synthetic", "--json").stdout)["recipe"]["epochs"] == 12
    bench("tasks", "preview", "age-synthetic", "--out", tmp_path / "faces.png")
    with Image.open(tmp_path / "faces.png") as sheet:
        assert sheet.size == (15 * 32 * 2, 10 * 32 * 2)
        cells = [sheet.crop((64 * x, 64 * y, 64 * x + 64, 64 * y + 64)).tobytes() for x in range(15) for y in range(10)]
        assert len(set(cells)) == 150  # a different photo in every place


def test_what_a_run_will_take_is_told_before_it_is_paid_for(bench, tmp_path: Path) -> None:
    store = "--store", tmp_path / "store"
    shipped = bench("estimate", "--device", "cpu", *store).stdout
    assert "16 trials, at most" in shipped
    assert "to compare with" not in shipped  # they come with bench
    found = json.loads(bench("estimate", "--device", "cpu", "--models", 512, *store, "--json").stdout)
    assert found["planned"]["to_train"] == 384
    assert found["seconds"] == sum(part["seconds"] for part in found["parts"])
    away = json.loads(bench("estimate", "--device", "NVIDIA H200", "--models", 512, *store, "--json").stdout)
    assert (away["planned"]["to_train"], away["planned"]["stack"]) == (513, 64)
    assert away["seconds"] < found["seconds"]
    told = bench("estimate", "--device", "Some GPU", *store, code=2).stderr
    assert "there is no device 'Some GPU'; give auto, cpu, cuda or, of several, cuda:1, or one that was measured" in told
    assert not (tmp_path / "store").exists()


def test_an_epoch_may_be_measured_for_it(bench, filled, tmp_path: Path) -> None:
    told = bench("estimate", "--task", "age-tiny", "--device", "cpu", "--measure", "--store", tmp_path).stdout
    assert "measured here: one retraining" in told
    assert "17 models to compare with" in told
    known = bench("estimate", "--task", "age-tiny", "--device", "cpu", "--models", 8, "--store", filled.path).stdout
    assert "measured here: one retraining" in known
    assert "to compare with" not in known


def test_version(bench) -> None:
    assert bench("--version").stdout.startswith("bench, version")
