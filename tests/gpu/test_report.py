"""A rehearsal of the report on a CPU: every section still fits the project, and a broken one costs only itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bench.engine import references
from bench.engine.jobs import Job, TimeRetraining, Trained, TrainOriginal, TrainRetrained
from bench.engine.machine import Device, processor
from bench.engine.session import Session
from bench.models.build import initialised
from bench.outputs import OUTPUT_SPLITS, Outputs
from bench.store.store import Store
from bench.tasks.task import Task
from bench.tasks.variants import load_task
from bench.weights import state

GPU = Path(__file__).parent
MODELS = 8  # of a rehearsed run
# Two reports at a time, which take about as long; `speed18` measures as `speed8` does.
REHEARSED = ("bench,verify,pytest", "env,starts,cold,correct,speed8,kill,input")
FAKES = {
    "raises": "def measure(findings):\n    findings.put('begun')\n    raise ValueError('no luck')",
    "crashes": "import os\n\ndef measure(findings):\n    os.kill(os.getpid(), 9)",
    "hangs": "import time\n\ndef measure(findings):\n    time.sleep(10**6)",
    "works": "def measure(findings):\n    findings.put('found', seconds=1.5)",
}


class Invented:
    """An executor that trains nothing: the models of a reference answer at random."""

    def __init__(self, task: Task) -> None:
        self._task, self._draws = task, np.random.default_rng(0)

    def submit(self, jobs: Sequence[Job], **_: object) -> Iterator[tuple[Job, object]]:
        return ((job, self._result(job)) for job in jobs)

    def close(self) -> None:
        pass

    def _result(self, job: Job) -> object:
        match job:
            case TrainOriginal():
                network = initialised(self._task.network, len(self._task.groups), 0)
                return Trained({name: view.numpy() for name, view in state(network).items()}, self._outputs(1))
            case TrainRetrained():
                return self._outputs(len(job.indices))
            case TimeRetraining():
                return 10.0
        raise TypeError(job)

    def _outputs(self, models: int) -> Outputs:
        counts = {name: len(rows) for name, rows in self._task.load().splits.items()}
        counts["retain_sample"] = min(counts["retain"], counts["test"])
        shapes = {name: (models, counts[name], len(self._task.groups)) for name in OUTPUT_SPLITS}
        logits = {name: self._draws.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        return Outputs(logits, self._draws.uniform(size=models))


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    """A store with a reference of the embedded task, as `bench run` would have trained it first."""
    task, store = load_task("age-synthetic"), Store(tmp_path / "ready")
    store.prepare()
    device = Device("cpu", "cpu", processor(), {})
    with Session(store, task, device, lambda *_: Invented(task)) as session:
        references.build(session, store.reference(task.key, device.kind), range(MODELS))
    return store.path


def test_rehearsal(ready: Path, tmp_path: Path) -> None:
    """Nothing depends on speed: sections may take a hundred times as long as on a GPU."""
    patience = ["--minutes", "600", "--slack", "100"]
    command = [sys.executable, GPU / "report.py", "--device", "cpu", *patience, "--store", ready]
    folders = [tmp_path / str(number) for number in range(len(REHEARSED))]
    elsewhere = {"cwd": tmp_path, "stdout": subprocess.PIPE, "text": True}  # a report does not depend on where it is called
    reports = [
        subprocess.Popen([*command, "--out", folder, "--only", only], **elsewhere)
        for folder, only in zip(folders, REHEARSED, strict=True)
    ]
    printed = [report.communicate()[0] for report in reports]
    for folder, only, table in zip(folders, REHEARSED, printed, strict=True):
        _check(folder, only.split(","))
        assert table.endswith((folder / "table.txt").read_text())
    assert {path.name for path in folders[0].iterdir()} >= {"bench.log", "runs.jsonl", "pytest.log", "log.txt"}


def _check(folder: Path, sections: list[str]) -> None:
    """Every section has findings and ended well, and what they say of results is what the engine promises."""
    found, log = _findings(folder), (folder / "log.txt").read_text()
    assert {finding["section"] for finding in found} == {"frame", *sections}
    assert not [finding for finding in found if "error" in finding or finding.get("failed")], log
    assert {finding["code"] for finding in found if "code" in finding} == {0}, log
    for finding in found:
        assert finding.get("bit_equal", True), finding
        precision = 1e-10 if "float64" in finding["what"] else 1e-3
        assert float(finding.get("relative_error", 0)) < precision, finding


def _findings(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "report.jsonl").read_text().splitlines()]


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The report's modules, and more sections for it: it finds those of its own folder and of any on the path."""
    monkeypatch.syspath_prepend(str(GPU))
    (tmp_path / "sections").mkdir()
    for name, source in FAKES.items():
        (tmp_path / "sections" / f"{name}.py").write_text(source)
    former = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{former}" if former else str(tmp_path))


@pytest.mark.usefixtures("importable")
def test_a_section_that_fails_costs_only_itself(tmp_path: Path) -> None:
    from findings import Findings
    from report import Section, run_all, table

    (tmp_path / "report.jsonl").write_text("")
    fakes = [Section("raises", 1000), Section("crashes", 1000), Section("hangs", 1), Section("works", 1000)]
    run_all(fakes, Findings(tmp_path, "frame", "cpu", time.monotonic() + 10_000, tmp_path))
    found = _findings(tmp_path)
    ended = {finding["what"]: finding["code"] for finding in found if finding["section"] == "frame"}
    assert ended == {"raises": 1, "crashes": -9, "hangs": "out of time", "works": 0}
    assert [finding["what"] for finding in found if finding["section"] == "raises"] == ["begun", "raises"]
    assert [finding["error"] for finding in found if "error" in finding] == ["ValueError: no luck"]
    assert {"section": "works", "what": "found", "seconds": 1.5} in found
    assert "Traceback" in (tmp_path / "log.txt").read_text()
    assert len(table(tmp_path).splitlines()) == 1 + len(found)


@pytest.mark.usefixtures("importable")
def test_what_there_is_no_time_for_is_said(tmp_path: Path) -> None:
    from findings import Findings
    from report import Section, run_all

    run_all([Section("works", 1000)], Findings(tmp_path, "frame", "cpu", time.monotonic() + 1, tmp_path))
    assert _findings(tmp_path) == [{"section": "frame", "what": "works", "code": "no time left"}]


@pytest.mark.usefixtures("importable")
def test_plans_name_variants_and_sections_are_modules() -> None:
    from report import SECTIONS
    from sections import speed8, speed18
    from stepping import VARIANTS

    for plan in (speed8.PLAN, speed8.REHEARSAL, speed18.PLAN, speed18.REHEARSAL):
        assert {name for names in plan.values() for name in names} <= set(VARIANTS)
    assert {section.name for section in SECTIONS} == {path.stem for path in (GPU / "sections").glob("*.py")}


@pytest.mark.usefixtures("importable")
def test_what_is_carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wheels of the project and of what the other machine lacks, without what the last call left; and the scripts."""
    import wheels

    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(wheels, "_pip", lambda *words: asked.append(words))
    monkeypatch.setattr(wheels, "_copy_sources", partial(Path.mkdir))
    (tmp_path / "msgspec-0.0.whl").touch()
    wheels.gather(tmp_path)
    built, fetched = asked
    assert built[0] == "wheel"
    assert [word.partition(">=")[0] for word in fetched[fetched.index("--dest") + 2 :]] == ["msgspec", "platformdirs", "plotly"]
    assert not list(tmp_path.glob("*.whl"))
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert names >= {"setup.cfg", "tests/gpu/report.py", "tests/gpu/sections/env.py", "tests/bench/test_gpu.py"}
    assert {wheels._name(requirement) for requirement in wheels._requirements()} >= wheels.PRESENT


@pytest.mark.usefixtures("importable")
def test_a_wheel_is_built_of_the_sources(tmp_path: Path) -> None:
    import wheels

    wheels._copy_sources(tmp_path / "source")
    assert {path.name for path in (tmp_path / "source").iterdir()} == {*wheels.SOURCES, "bench", "plugins", "leaderboard"}
