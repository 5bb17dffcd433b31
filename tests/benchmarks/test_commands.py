"""What a user waits for."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = str(Path(sys.executable).parent / "bench")


@pytest.mark.parametrize("arguments", [["--help"], ["plugins"]], ids=" ".join)
def test_listing(benchmark, arguments: list[str]) -> None:
    benchmark.pedantic(
        subprocess.run, ([BENCH, *arguments],), {"check": True, "capture_output": True}, rounds=10, warmup_rounds=1
    )


def _run(plugin: str, store: Path) -> None:
    subprocess.run([BENCH, "run", "--plugin", plugin, "--store", str(store)], check=True, capture_output=True)


def test_first_run_with_references(benchmark, tmp_path: Path) -> None:
    fresh = (tmp_path / str(number) for number in itertools.count())
    benchmark.pedantic(_run, setup=lambda: (("scrub", next(fresh)), {}), rounds=3)


def test_second_method(benchmark, tmp_path: Path) -> None:
    _run("scrub", tmp_path)
    seeds = itertools.count(1)

    def run() -> None:
        command = [BENCH, "run", "--plugin", "noise-injection", "--seed", str(next(seeds)), "--store", str(tmp_path)]
        subprocess.run(command, check=True, capture_output=True)

    benchmark.pedantic(run, rounds=3)
