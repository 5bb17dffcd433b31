"""What the keeper of a board and its readers wait for: a thousand runs in twenty divisions."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.scoring.scorecard import keep_scorecard, read_scorecard
from bench.store.files import write_record
from bench.store.runs import Run

BENCH = str(Path(sys.executable).parent / "bench")
RUNS, DIVISIONS = 1000, 20
_numbers = itertools.count()


def _run(*words: object) -> None:
    subprocess.run([BENCH, *map(str, words)], check=True, capture_output=True)


def _multiply(run: Path, copies: int, divisions: int) -> None:
    """Runs like this one, of other methods with other scores, in divisions that differ in their budget."""
    source = Run.read(run)
    record, card = source.record, read_scorecard(source)
    section = card.sections["challenge"]
    final, resampled = section.measures["final_score"], section.details["resampled_final_score"]
    for _ in range(copies):
        number = next(_numbers)
        draw, folder = random.Random(number), run.parent / f"method-{number}-{number:012d}"
        folder.mkdir()
        for path in run.glob("outputs-*.npz"):
            os.link(path, folder / path.name)
        shift = draw.uniform(-0.5, 1.0) * final.value
        low, high = final.interval
        moved = replace(final, value=final.value + shift, interval=(low + shift, high + shift))
        measures = {**section.measures, "final_score": moved}
        details = {**section.details, "resampled_final_score": [value + shift + draw.gauss(0, 0.003) for value in resampled]}
        method = replace(record.method, name=f"method-{number}", spec=f"method-{number}")
        budget = f"{5 + number % divisions}%"
        copy = Run(folder, replace(record, run=folder.name, method=method, budget=budget))
        write_record(folder / "run.json", copy.record)
        keep_scorecard(copy, card.with_section("challenge", replace(section, measures=measures, details=details)))


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one real run of 16 models."""
    store = tmp_path_factory.mktemp("one")
    _run("run", "--plugin", "noise-injection", "--store", store)
    return store


def _store(one_run: Path, path: Path, divisions: int) -> Path:
    shutil.copytree(one_run, path)
    run = next((path / "runs").glob("noise-injection-*"))
    _multiply(run, RUNS - 1, divisions)
    return path


@pytest.fixture(scope="module")
def store(one_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _store(one_run, tmp_path_factory.mktemp("many") / "store", DIVISIONS)


def test_whole_board(benchmark, store: Path, tmp_path: Path) -> None:
    fresh = (tmp_path / str(number) for number in itertools.count())

    def build(out: Path) -> None:
        _run("leaderboard", "build", "--store", store, "--out", out)

    benchmark.pedantic(build, setup=lambda: ((next(fresh),), {}), rounds=3)
    benchmark.extra_info["index_bytes"] = (tmp_path / "0" / "index.html").stat().st_size


def test_table_of_a_thousand_rows_in_a_browser(one_run: Path, tmp_path: Path, benchmark) -> None:
    """Milliseconds from the start of the navigation until the table is sortable and the charts are drawn (Performance API)."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("no Chromium: apt-get install chromium")
    _run("leaderboard", "build", "--store", _store(one_run, tmp_path / "store", 1), "--out", tmp_path / "site")
    usable = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1440, "height": 900})

        def visit() -> None:
            tab.goto((tmp_path / "site" / "index.html").as_uri())
            usable.append(tab.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"))

        benchmark.pedantic(visit, rounds=10, warmup_rounds=1)
        browser.close()
    benchmark.extra_info["usable_milliseconds"] = sorted(usable)


def test_one_new_run(benchmark, store: Path, tmp_path: Path) -> None:
    build = ("leaderboard", "build", "--store", store, "--out", tmp_path / "site")
    _run(*build)
    run = next((store / "runs").glob("noise-injection-*"))
    benchmark.pedantic(lambda: _run(*build), setup=lambda: _multiply(run, 1, DIVISIONS), rounds=5)
