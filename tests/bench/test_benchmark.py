"""`import bench` for people: what is refused before anything is computed, and what the package shows."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import bench
from bench import BenchError, Method


class InACell(Method):
    """Defined where no other process can see it."""


@pytest.mark.parametrize(("thing", "name"), [(InACell, "InACell"), (print, "print"), (lambda net: net, "<lambda>"), (3, "int")])
def test_what_other_processes_cannot_see_is_refused(thing: object, name: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=f"{name} is no name: .* save it with %%writefile my_method.py"):
        bench.run(thing, store=tmp_path)


def test_a_misspelt_option_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"unknown option 'model'; did you mean models\?"):
        bench.run("scrub", model=8, store=tmp_path)
    with pytest.raises(BenchError, match="unknown option 'zzz'; there are: task, models, budget"):
        bench.run("scrub", zzz=8, store=tmp_path)


@pytest.mark.parametrize(
    ("plugin", "options", "said"),
    [
        ("scrubb", {}, "unknown plugin 'scrubb'; did you mean scrub"),
        ("scrub", {"models": 2}, "2 models are too few"),
        ("scrub", {"models": "8"}, "models takes a whole number, not '8'"),
        ("scrub", {"budget": 20}, "budget takes a text, not 20"),
        ("scrub", {"seed": -1}, "seed -1 is not understood"),
        ("scrub", {"device": "gpu"}, "there is no device 'gpu'; give auto, cpu, cuda or, of several, cuda:1"),
        ("scrub", {"workers": 0}, "0 workers cannot work"),
        ("scrub", {"budget": "lots"}, "budget 'lots' is not understood"),
        ("scrub", {"task": "age-sinthetic"}, "unknown task 'age-sinthetic'; did you mean age-synthetic"),
        ("scrub", {"executor": "locl"}, "unknown executor 'locl'; did you mean local?"),
        ("my_method.py", {}, "my_method.py does not exist"),
    ],
)
def test_what_is_not_understood_is_refused_in_one_line(plugin: str, options: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=said) as caught:
        bench.run(plugin, store=tmp_path / "store", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_no_method_at_all_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="name a method"):
        bench.run(store=tmp_path)


def test_a_store_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match=r"file cannot be written .* choose another with --store"):
        bench.run("scrub", store=tmp_path / "file")


def test_the_package_shows_what_people_need_and_nothing_else() -> None:
    assert bench.__version__ == version("unlearning-bench")
    assert all(hasattr(bench, name) for name in bench.__all__)
    with pytest.raises(AttributeError, match="no attribute 'scrub'"):
        bench.scrub  # noqa: B018


@pytest.mark.process
def test_importing_it_imports_neither_torch_nor_pandas() -> None:
    code = "import bench, sys; assert not {'torch', 'pandas', 'msgspec', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.process
def test_it_is_a_module_that_can_be_run() -> None:
    done = subprocess.run([sys.executable, "-m", "bench", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"bench, version {version('unlearning-bench')}\n"
