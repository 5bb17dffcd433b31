"""The house stays in order: what stands where, how large it may be, and that each part has a test."""

from __future__ import annotations

import ast
import configparser
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = {"bench": "tests/bench", "plugins": "tests/plugins", "leaderboard": "tests/leaderboard"}
MOST_AT_THE_TOP = 24
LONGEST_MODULE, LARGE_MODULE = 300, 40  # lines
LONGEST_METHOD, USUAL_METHOD = 100, 60  # lines that are neither empty nor docstrings
CLOCK = re.compile(
    r"\btime\.(sleep|time|monotonic|perf_counter|process_time|thread_time)\b|from time import|\btimeout=|wait_for_timeout"
)
MAY_LOOK_AT_THE_CLOCK = {  # no other test does: what depends on a clock fails on a busy machine
    "tests/bench/engine/worker/operations.py": "children that burn time, or never end",
    "tests/bench/store/test_references.py": "a lock that is not waited for",
    "tests/bench/store/test_runs.py": "a lock that is not waited for",
    "tests/bench/test_house.py": "this rule",
    "tests/bench/testing/broken.py": "a method that burns more than its budget",
    "tests/benchmarks": "measures",
    "tests/conftest.py": "`until`, which everybody else waits with",
    "tests/docs/test_notebooks.py": "somebody who interrupts a cell once more when nothing happens",
    "tests/faults/test_budgets.py": "methods that burn time",
    "tests/faults/test_escapes.py": "methods that burn time, and stay",
    "tests/faults/test_hostile_plugins.py": "methods that never end",
    "tests/leaderboard/test_browser.py": "a page that never comes",
    "tests/faults/test_kills.py": "kills at any moment of a run, as long as it is; a clock that runs backwards",
    "tests/gpu": "measures, within a time box",
}
COVERED_ELSEWHERE = {
    "leaderboard/gallery.py": "tests/leaderboard/test_site.py",
    "bench/metrics/two_sample.py": "tests/bench/metrics/test_metric.py",
    "bench/cli/calibrate.py": "tests/bench/cli/test_scores.py",
    "bench/cli/compare.py": "tests/bench/cli/test_scores.py",
    "bench/cli/estimate.py": "tests/end_to_end/test_listing.py",
    "bench/cli/export.py": "tests/end_to_end/test_export.py",
    "bench/cli/main.py": "tests/end_to_end/test_listing.py",
    "bench/cli/metrics.py": "tests/bench/cli/test_scores.py",
    "bench/cli/options.py": "tests/end_to_end/test_run.py",
    "bench/cli/plugins.py": "tests/end_to_end/test_plugins.py",
    "bench/cli/reference.py": "tests/end_to_end/test_exchange.py",
    "bench/cli/retime.py": "tests/end_to_end/test_verify.py",
    "bench/cli/run.py": "tests/end_to_end/test_run.py",
    "bench/cli/score.py": "tests/bench/cli/test_scores.py",
    "bench/cli/show.py": "tests/bench/cli/test_scores.py",
    "bench/cli/tasks.py": "tests/bench/tasks/datasets/test_runs.py",
    "bench/cli/verify.py": "tests/end_to_end/test_verify.py",
    "bench/engine/inspection.py": "tests/end_to_end/test_plugins.py",
    "bench/store/opening.py": "tests/bench/store/test_runs.py",
    "bench/engine/keeper.py": "tests/bench/engine/test_runs.py",
    "bench/engine/worker/calls.py": "tests/bench/engine/test_compute.py",
    "bench/engine/worker/entries.py": "tests/bench/engine/worker/test_preloaded.py",
    "bench/engine/worker/guards.py": "tests/bench/engine/worker/test_process.py",
    "bench/engine/worker/probe.py": "tests/bench/testing/test_checks.py",
    "bench/errors.py": "tests/bench/test_project.py",
    "bench/export/checkpoints.py": "tests/end_to_end/test_export.py",
    "bench/export/submission.py": "tests/bench/export/test_script.py",
    "bench/hookspecs.py": "tests/bench/registry/test_discovery.py",
    "bench/models/resnet8.py": "tests/bench/models/test_networks.py",
    "bench/outputs.py": "tests/bench/store/test_archives.py",
    "bench/progress.py": "tests/end_to_end/test_run.py",
    "bench/registry/documentation.py": "tests/end_to_end/test_plugins.py",
    "bench/scoring/comparison.py": "tests/bench/scoring/test_results.py",
    "bench/scoring/frames.py": "tests/bench/scoring/test_results.py",
    "bench/scoring/stored.py": "tests/bench/cli/test_scores.py",
    "bench/store/fields.py": "tests/bench/store/test_records.py",
    "bench/tasks/datasets/agedb.py": "tests/bench/tasks/datasets/test_layouts.py",
    "bench/tasks/datasets/casia_surf.py": "tests/bench/tasks/datasets/test_layouts.py",
    "bench/tasks/datasets/challenge.py": "tests/bench/tasks/datasets/test_layouts.py",
    "bench/tasks/datasets/cifar10.py": "tests/bench/tasks/datasets/test_layouts.py",
    "bench/tasks/datasets/dataset.py": "tests/bench/tasks/datasets/test_layouts.py",
    "bench/tasks/datasets/fairface.py": "tests/bench/tasks/datasets/test_layouts.py",
    "bench/tasks/datasets/folder.py": "tests/bench/tasks/datasets/test_layouts.py",
    "bench/tasks/datasets/mufac.py": "tests/bench/tasks/datasets/test_layouts.py",
    "bench/tasks/datasets/prepared.py": "tests/bench/tasks/datasets/test_preparation.py",
    "bench/tasks/datasets/utkface.py": "tests/bench/tasks/datasets/test_layouts.py",
    "bench/tasks/synthetic_faces/canvas.py": "tests/bench/tasks/test_age_synthetic.py",
    "bench/tasks/synthetic_faces/people.py": "tests/bench/tasks/test_age_synthetic.py",
    "bench/tasks/synthetic_faces/portrait.py": "tests/bench/tasks/test_age_synthetic.py",
    "bench/tasks/task.py": "tests/bench/tasks/test_age_synthetic.py",
    "bench/testing/__init__.py": "tests/bench/testing/test_checks.py",
    "bench/testing/kit.py": "tests/bench/testing/test_networks.py",
    "bench/testing/observation.py": "tests/bench/testing/test_checks.py",
    "bench/testing/outcome.py": "tests/bench/testing/test_checks.py",
    "bench/testing/subject.py": "tests/bench/testing/test_checks.py",
    "leaderboard/command.py": "tests/leaderboard/test_site.py",
    "leaderboard/division.py": "tests/leaderboard/test_site.py",
    "leaderboard/entries.py": "tests/leaderboard/test_site.py",
    "leaderboard/memory.py": "tests/leaderboard/test_site.py",
    "leaderboard/methods.py": "tests/leaderboard/test_site.py",
    "leaderboard/runs.py": "tests/leaderboard/test_site.py",
    "leaderboard/tables.py": "tests/leaderboard/test_site.py",
    "leaderboard/text.py": "tests/leaderboard/test_site.py",
    "leaderboard/words.py": "tests/leaderboard/test_site.py",
    "plugins/noised.py": "tests/plugins/test_recent.py",
    "plugins/redrawing.py": "tests/plugins/test_winners.py",
    "plugins/training.py": "tests/plugins/test_winners.py",
}


def _sources() -> list[Path]:
    return [path for folder in TESTS for path in sorted((ROOT / folder).rglob("*.py"))]


def _test_of(path: Path) -> Path:
    """The test file of a module's name; of a package, that of the folder's."""
    folder, *parts = path.relative_to(ROOT).with_suffix("").parts
    inside = parts[:-1] if parts[-1] == "__init__" else parts
    return ROOT.joinpath(TESTS[folder], *inside[:-1], f"test_{inside[-1] if inside else 'package'}.py")


def _entry_points(group: str) -> dict[str, str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options.entry_points"][group].strip().split("\n")
    return {name.strip(): module.strip() for name, _, module in (line.partition("=") for line in lines)}


def test_the_top_of_bench_is_a_table_of_contents() -> None:
    hidden = {"__init__.py", "__main__.py", "__pycache__", "py.typed"}
    assert len([entry for entry in (ROOT / "bench").iterdir() if entry.name not in hidden]) <= MOST_AT_THE_TOP


def test_functions_and_modules_stay_small() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in _sources()}
    functions = (node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    lines = sorted((node.end_lineno or 0) - node.lineno + 1 for node in functions)
    assert statistics.median(lines) <= 7
    assert lines[int(0.9 * len(lines))] <= 18
    long = [path.name for path in trees if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST_MODULE]
    assert not long


def test_tests_do_not_depend_on_how_fast_a_machine_is() -> None:
    """They wait with `until` for what they want to see."""
    named = {path for name in MAY_LOOK_AT_THE_CLOCK for path in [ROOT / name, *(ROOT / name).rglob("*.py")]}
    looking = {path for path in (ROOT / "tests").rglob("*.py") if CLOCK.search(path.read_text(encoding="utf-8"))}
    assert not looking - named
    assert not [name for name in MAY_LOOK_AT_THE_CLOCK if not looking & {ROOT / name, *(ROOT / name).rglob("*.py")}]


def _is_record(value: ast.expr) -> bool:
    return (isinstance(value, ast.Name) and value.id == "record") or (isinstance(value, ast.Attribute) and value.attr == "record")


def test_records_have_fields_not_keys() -> None:
    nodes = ((path, node) for path in _sources() for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    subscripts = ((path, node) for path, node in nodes if isinstance(node, ast.Subscript) and _is_record(node.value))
    keyed = [f"{path}, line {node.lineno}" for path, node in subscripts if isinstance(node.slice, ast.Constant)]
    assert not keyed


def test_every_large_module_has_a_test_file_or_is_named_here() -> None:
    methods = {ROOT / "plugins" / f"{module.rpartition('.')[2]}.py" for module in _entry_points("bench").values()}  # see below
    large = {path for path in _sources() if len(path.read_text(encoding="utf-8").splitlines()) > LARGE_MODULE}
    without = {path.relative_to(ROOT).as_posix() for path in large - methods if not _test_of(path).exists()}
    assert without == set(COVERED_ELSEWHERE)
    assert not [test for test in COVERED_ELSEWHERE.values() if not (ROOT / test).exists()]


def _code(path: Path) -> int:
    """Lines that are neither empty nor docstrings."""
    text = path.read_text(encoding="utf-8")
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef)
    told = [node.body[0] for node in ast.walk(ast.parse(text)) if isinstance(node, holders) and ast.get_docstring(node)]
    docstrings = {line for node in told for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    return sum(bool(line.strip()) and number not in docstrings for number, line in enumerate(text.splitlines(), 1))


def test_methods_are_read_at_a_glance() -> None:
    """Their papers stand in them: a file of all papers would make every method another one whenever one is added."""
    lines = [_code(path) for path in sorted((ROOT / "plugins").glob("*.py"))]
    assert max(lines) < LONGEST_METHOD
    assert sum(count < USUAL_METHOD for count in lines) > len(lines) / 2


def test_every_method_has_a_golden_test() -> None:
    golden = {path.stem for path in (ROOT / "tests" / "plugins" / "golden").iterdir()}
    controls = {"original", "retrain"}  # tests/plugins/test_controls.py
    assert golden == set(_entry_points("bench")) - controls


@pytest.mark.parametrize("module", list(_entry_points("bench.metrics").values()))
def test_every_metric_has_an_independent_test(module: str) -> None:
    path = ROOT / "tests" / "bench" / "metrics" / f"test_{module.rpartition('.')[2]}.py"
    tests = (node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef))
    assert any(ast.unparse(mark) == "pytest.mark.independent" for test in tests for mark in test.decorator_list)
