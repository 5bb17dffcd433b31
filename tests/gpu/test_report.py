"""A rehearsal of the report on a CPU: every section still fits the project, and a broken one costs only itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

GPU = Path(__file__).parent
# Two reports at a time, which take about as long.
REHEARSED = ("bench,verify", "env+starts+cold+correct+speed8+pytest+kill+speed18+input")
FAKES = {
    "raises": "def measure(findings):\n    findings.put('begun')\n    raise ValueError('no luck')",
    "crashes": "import os\n\ndef measure(findings):\n    os.kill(os.getpid(), 9)",
    "hangs": "import time\n\ndef measure(findings):\n    time.sleep(10**6)",
    "works": "def measure(findings):\n    findings.put('found', seconds=1.5)",
}


@pytest.mark.slow
def test_rehearsal(tmp_path: Path) -> None:
    """Nothing depends on speed: sections may take a hundred times as long as on a GPU."""
    patience = ["--minutes", "600", "--slack", "100"]
    command = [sys.executable, GPU / "report.py", "--device", "cpu", "--task", "age-tiny", *patience]
    folders = [tmp_path / str(number) for number in range(len(REHEARSED))]
    where = {"cwd": tmp_path, "stdout": subprocess.PIPE, "text": True}  # a report does not depend on the folder
    reports = [
        subprocess.Popen([*command, "--out", folder, "--only", only], **where)
        for folder, only in zip(folders, REHEARSED, strict=True)
    ]
    printed = [report.communicate()[0] for report in reports]
    for folder, only, table in zip(folders, REHEARSED, printed, strict=True):
        _check(folder, re.split("[+,]", only))
        assert table.endswith((folder / "table.txt").read_text())
    assert {path.name for folder in folders for path in folder.iterdir()} >= {"bench.log", "runs.jsonl", "pytest.log", "log.txt"}


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
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)


@pytest.mark.usefixtures("importable")
def test_a_section_that_fails_costs_only_itself(tmp_path: Path) -> None:
    from findings import Findings
    from report import Section, run_all, table

    (tmp_path / "report.jsonl").write_text("")
    fakes = [Section("raises", 1000), Section("crashes", 1000), Section("hangs", 1), Section("works", 1000)]
    run_all(fakes, Findings(tmp_path, "frame", "cpu", time.monotonic() + 10_000, tmp_path, "no-task"))
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

    run_all([Section("works", 1000)], Findings(tmp_path, "frame", "cpu", time.monotonic() + 1, tmp_path, "no-task"))
    assert _findings(tmp_path) == [{"section": "frame", "what": "works", "code": "no time left"}]


@pytest.mark.usefixtures("importable")
def test_plans_name_variants_and_sections_are_modules() -> None:
    from report import SECTIONS
    from sections import speed8, speed18
    from stepping import VARIANTS

    for plan in (speed8.PLAN, speed8.REHEARSAL, speed18.PLAN, speed18.REHEARSAL):
        assert {name for names in plan.values() for name in names} <= set(VARIANTS)
    names = {section.name for section in SECTIONS}
    assert names == {path.stem for path in (GPU / "sections").glob("*.py")} == set(re.split("[+,]", ",".join(REHEARSED)))


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
