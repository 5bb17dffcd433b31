"""Plugins are found by metadata and listed without being imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import hookspecs
from bench.errors import BenchError
from bench.registry import discovery
from bench.tasks.variants import load_task

SOURCE = '"""A method that does nothing."""\n'


def test_shipped_methods_come_through_entry_points() -> None:
    found = {plugin.name: plugin for plugin in discovery.plugins(discovery.METHODS)}
    shipped = {
        "scrub",
        "scrub-r",
        "noise-injection",
        "finetune",
        "scrub-noise",
        "negative-gradient",
        "neggrad-plus",
        "original",
        "retrain",
    }
    assert shipped <= set(found)
    assert all(found[name].distribution == "unlearning-bench" for name in shipped)
    assert all(found[name].summary() and "broken" not in found[name].summary() for name in shipped)


def test_third_party_method(install) -> None:
    install("third-party", "nothing", "third_nothing", SOURCE)
    plugin = discovery.find_method("nothing")
    assert (plugin.distribution, plugin.version) == ("third-party", "1.0")
    assert plugin.summary() == "A method that does nothing."


def test_listing_imports_nothing(install) -> None:
    install("third-broken", "broken", "third_broken", '"""Breaks."""\nraise RuntimeError("at import")\n')
    install("third-missing", "missing", "third_missing", None)
    install("third-syntax", "syntax", "third_syntax", "def (:\n")
    install("third-deep", "deep", "third_deep", f'"""Deep."""\nx = {"-" * 2_000}1\n')
    install("third-deeper", "deeper", "third_deeper", f'"""Deeper."""\nx = {"-" * 20_000}1\n')
    install("third-loud", "loud", "third_loud", '"""Loud\\x1b[31m."""\n')
    summaries = {plugin.name: summary for plugin, summary in discovery.summaries(discovery.METHODS)}
    assert summaries["broken"] == "Breaks."
    assert summaries["missing"].startswith("(broken: no module")
    assert summaries["syntax"].startswith("(broken: SyntaxError")
    assert summaries["deep"] == "Deep."
    assert summaries["deeper"] == "(broken: ValueError: it is nested too deeply)"
    assert summaries["loud"] == "Loud[31m."
    assert "third_broken" not in sys.modules


def test_two_packages_with_one_name_are_an_error_that_names_both(install) -> None:
    install("third-one", "nothing", "third_one", SOURCE)
    install("third-two", "nothing", "third_two", SOURCE)
    with pytest.raises(BenchError, match="third-one and third-two"):
        discovery.find_method("nothing")
    assert [plugin.name for plugin in discovery.plugins(discovery.METHODS)].count("nothing") == 2
    assert discovery.find_method("scrub").name == "scrub"


def test_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(BenchError, match="did you mean scrub"):
        discovery.find_method("scrubb")


def test_source_hash_follows_the_source(tmp_path: Path) -> None:
    file = tmp_path / "my_method.py"
    file.write_text(SOURCE)
    before = discovery.find_method(str(file)).source_hash()
    file.write_text(SOURCE + "\n# changed\n")
    assert discovery.find_method(str(file)).source_hash() != before
    assert discovery.find_method("scrub").source_hash() != discovery.find_method("finetune").source_hash()


@pytest.mark.parametrize("name", ["my_method.py", "my-method.v2.py", "7.py", "_.py", f"{'a' * 170}.py:unlearning"])
def test_names_of_files_that_runs_can_have(tmp_path: Path, name: str) -> None:
    (tmp_path / name.partition(":")[0]).write_text(SOURCE)
    assert discovery.RUN_NAME.fullmatch(f"{discovery.find_method(str(tmp_path / name)).name}-0123456789ab")


@pytest.mark.parametrize(
    "name",
    [
        "my method.py",
        "vergessen_ü.py",
        "vergessen_u\u0308.py",
        ".hidden.py",
        "-.py",
        "a&b.py",
        "a\nb.py",
        "mine.py:unlearning_ü",
        "٣.py",
        f"{'a' * 188}.py",
    ],
)
def test_names_of_files_that_no_run_can_have_are_told_before_it_starts(tmp_path: Path, name: str) -> None:
    (tmp_path / name.partition(":")[0]).write_text(SOURCE)
    with pytest.raises(
        BenchError, match=r"^a run cannot be called '.*': rename the file, or what it defines, with letters a to z"
    ) as caught:
        discovery.find_method(str(tmp_path / name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["my method", "a/b", "../../escaped", "vergessen_ü"])
def test_so_are_entry_points(install, name: str) -> None:
    install("third-odd", name, "third_odd", SOURCE)
    with pytest.raises(BenchError, match="rename the entry point of third-odd"):
        discovery.find_method(name)


def test_missing_file() -> None:
    with pytest.raises(BenchError, match="does not exist"):
        discovery.find_method("absent.py")


def test_tasks_executors_and_commands_use_the_same_door() -> None:
    assert load_task("age-synthetic").name == "age-synthetic"
    assert {plugin.name for plugin in discovery.plugins(discovery.COMMANDS)} >= {
        "run",
        "plugins",
        "tasks",
        "reference",
        "leaderboard",
    }
    assert {plugin.name for plugin in discovery.plugins(discovery.EXECUTORS)} >= {"local"}


def _hooks() -> list[str]:
    return [name for name, item in vars(hookspecs).items() if hasattr(item, "bench_spec")]


def test_there_are_hooks() -> None:
    assert {"register_methods", "register_tasks", "register_metrics", "register_executors", "register_commands"} <= set(_hooks())


@pytest.mark.parametrize("hook", _hooks())
def test_every_hook_is_documented_and_has_a_third_party_user(hook: str) -> None:
    root = Path(__file__).parents[3]
    package = "".join(path.read_text() for path in (root / "tests" / "third_party" / "third_party").glob("*.py"))
    assert f"def {hook}(" in package
    assert f"`{hook}(" in (root / "docs" / "reference" / "plugin-api.md").read_text()
    assert getattr(hookspecs, hook).__doc__
    group = getattr(hookspecs, hook).__doc__.partition("group: `")[2].partition("`")[0]
    assert f"{group} =" in (root / "tests" / "third_party" / "setup.cfg").read_text()
