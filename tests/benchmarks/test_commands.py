"""What a user waits for."""

import itertools
import json
import os
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


def test_two_hundred_plugins(benchmark, tmp_path: Path) -> None:
    """One of them is broken, another takes ten seconds to import."""
    sources = {"third_0": "raise RuntimeError", "third_1": "import time\ntime.sleep(10)"}
    for number in range(200):
        module, info = f"third_{number}", tmp_path / f"third_{number}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: third-{number}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[bench]\nmethod-{number} = {module}\n")
        (tmp_path / f"{module}.py").write_text(f'"""Method {number}."""\n{sources.get(module, "")}\n')
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = benchmark.pedantic(
        subprocess.run,
        ([BENCH, "plugins", "--json"],),
        {"check": True, "capture_output": True, "env": environment},
        rounds=10,
        warmup_rounds=1,
    )
    assert len({row["distribution"] for row in json.loads(done.stdout)}) == 201


def test_from_new_to_a_scorecard(benchmark, tmp_path: Path) -> None:
    """What an author waits for on a fresh store, the generated package's own tests included."""
    fresh = itertools.count()

    def call(*words: str, cwd: Path) -> None:
        subprocess.run(words, check=True, capture_output=True, cwd=cwd, env={**os.environ, "PYTHONPATH": "my-method:."})

    def author() -> None:
        folder = tmp_path / str(next(fresh))
        folder.mkdir()
        call(BENCH, "plugins", "new", "my-method", cwd=folder)
        info = folder / "my-method" / "bench_my_method-1.0.dist-info"  # as an installation would leave
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-my-method\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[bench]\nmy-method = my_method\n")
        call(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", cwd=folder / "my-method")
        call(BENCH, "run", "--plugin", "my-method", "--store", "store", cwd=folder)

    benchmark.pedantic(author, rounds=3)


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
