"""The project agrees with itself: packaging, documentation and the contract say the same."""

from __future__ import annotations

import configparser
import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import bench
from bench import Control, Method, losses, weights
from bench.budget import Allowance
from bench.metrics import metric, two_sample
from bench.splits import MethodData, Split
from bench.tasks.datasets.dataset import Catalogue, Dataset
from bench.tasks.task import Recipe, Task, TaskData
from bench.trial import Trial

ROOT = Path(__file__).parents[2]
FOLDERS = {"bench": "bench", "bench_plugins": "plugins", "bench_leaderboard": "leaderboard"}


def _setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_every_package_folder_is_shipped() -> None:
    listed = set(_setup()["options"]["packages"].split())
    found = set()
    for package, folder in FOLDERS.items():
        for marker in (ROOT / folder).rglob("__init__.py"):
            inside = marker.parent.relative_to(ROOT / folder).parts
            found.add(".".join([package, *inside]))
    assert listed == found


def test_installed_package_is_not_the_checkout_when_tox_runs() -> None:
    if ".tox" not in str(Path(pytest.__file__)):
        pytest.skip("not under tox")
    assert ROOT / "bench" not in Path(bench.__file__).parents


def _modules() -> list[str]:
    names = []
    for package in FOLDERS:
        found = importlib.import_module(package)
        names += [package, *(module.name for module in pkgutil.walk_packages(found.__path__, f"{package}."))]
    return names


@pytest.mark.parametrize("name", _modules())
def test_doctests_and_docstrings(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, "every module says what it is for"
    scope = {**vars(module), "np": importlib.import_module("numpy")}
    assert doctest.testmod(module, globs=scope).failed == 0


def _public(thing: object) -> set[str]:
    """Names that users may use: fields, methods and class variables of a class, functions of a module."""
    own = {name for name, value in vars(thing).items() if not inspect.ismodule(value)}
    if inspect.ismodule(thing):
        own = {name for name in own if getattr(getattr(thing, name), "__module__", None) == thing.__name__}
    declared = set() if inspect.ismodule(thing) else set(inspect.get_annotations(thing))
    return {name for name in own | declared if not name.startswith("_")}


API: list[object] = [
    Method,
    Control,
    Split,
    MethodData,
    Trial,
    Allowance,
    losses,
    weights,
    Task,
    TaskData,
    Recipe,
    Dataset,
    Catalogue,
]
API += [metric.Metric, metric.PerModel, two_sample.TwoSample, metric.Quantity]
API += [metric.Evidence, metric.Models, metric.Timing, metric.Findings, metric.Baseline, metric.Estimate]


@pytest.mark.parametrize("thing", API, ids=lambda thing: thing.__name__)
def test_every_attribute_of_the_api_is_documented(thing: object) -> None:
    code = "".join(re.findall(r"`[^`]+`", (ROOT / "docs" / "reference" / "plugin-api.md").read_text(encoding="utf-8")))
    documented = set(re.findall(r"[A-Za-z_]+", code))
    internal = {"columns", "generators", "drawn", "Columns", "Views"}  # how splits and views are made
    assert _public(thing) - internal <= documented


@pytest.mark.parametrize("thing", [bench.Result, bench.Results, bench.Board], ids=lambda thing: thing.__name__)
def test_every_attribute_of_the_python_api_is_documented(thing: object) -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    code = "".join(re.findall(r"`[^`]+`", re.sub(r"```.*?```", "", page, flags=re.DOTALL)))
    assert _public(thing) <= set(re.findall(r"[A-Za-z_]+", code))


def test_every_command_is_documented() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    for name in _setup()["options.entry_points"]["bench.commands"].split("\n"):
        if name.strip():
            assert f"bench {name.partition('=')[0].strip()}" in pages


def test_every_metric_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    for line in _setup()["options.entry_points"]["bench.metrics"].strip().split("\n"):
        assert f"`{line.partition('=')[0].strip()}`" in page


def test_trust_page_shows_what_calibration_printed() -> None:
    specification = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "evidence" / "calibration" / "tables.py")
    tables = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tables)
    text = (ROOT / "docs" / "evidence" / "trust.md").read_text(encoding="utf-8")
    assert tables.page(text) == text
    assert text.count("| retrained | shift 0.5 sd |") == 3


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    last = (ROOT / ".ci" / "run").read_text(encoding="utf-8").strip().splitlines()[-1]
    assert f"    {last}\n" in readme
