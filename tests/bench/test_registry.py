"""Plugins are found by metadata, listed without being imported, loaded one at a time."""

import sys
from pathlib import Path

import pytest

from bench import hookspecs, registry
from bench.errors import BenchError

GOOD = '''"""A method that does nothing."""
from dataclasses import dataclass
from bench import Method, hookimpl

@dataclass(frozen=True)
class Nothing(Method):
    def unlearn(self, model, data, trial):
        return model

@hookimpl
def register_methods(register):
    register(Nothing)
'''


def test_shipped_methods_come_through_entry_points() -> None:
    found = {plugin.name: plugin for plugin in registry.plugins(registry.METHODS)}
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


def test_every_shipped_method_loads_and_names_its_source() -> None:
    for plugin in registry.plugins(registry.METHODS):
        assert "Source:" in (registry.load_method(plugin).__doc__ or ""), plugin.name


def test_third_party_method(install) -> None:
    install("third-party", "nothing", "third_nothing", GOOD)
    plugin = registry.find_method("nothing")
    assert (plugin.distribution, plugin.version) == ("third-party", "1.0")
    assert plugin.summary() == "A method that does nothing."
    assert registry.load_method(plugin).__name__ == "Nothing"


def test_listing_imports_nothing(install) -> None:
    install("third-broken", "broken", "third_broken", '"""Breaks."""\nraise RuntimeError("at import")\n')
    install("third-missing", "missing", "third_missing", None)
    install("third-syntax", "syntax", "third_syntax", "def (:\n")
    summaries = {plugin.name: summary for plugin, summary in registry.summaries(registry.METHODS)}
    assert summaries["broken"] == "Breaks."
    assert summaries["missing"].startswith("(broken: no module")
    assert summaries["syntax"].startswith("(broken: SyntaxError")
    assert "third_broken" not in sys.modules


def test_import_error_is_one_line_that_names_the_plugin(install) -> None:
    install("third-broken", "broken", "third_broken", 'raise RuntimeError("at import")\n')
    with pytest.raises(BenchError, match=r"broken \(third-broken\) fails to import: RuntimeError: at import"):
        registry.load_method(registry.find_method("broken"))


def test_two_packages_with_one_name_are_an_error_that_names_both(install) -> None:
    install("third-one", "nothing", "third_one", GOOD)
    install("third-two", "nothing", "third_two", GOOD)
    with pytest.raises(BenchError, match="third-one and third-two"):
        registry.find_method("nothing")
    assert [plugin.name for plugin in registry.plugins(registry.METHODS)].count("nothing") == 2
    assert registry.find_method("scrub").name == "scrub"


def test_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(BenchError, match="did you mean scrub"):
        registry.find_method("scrubb")


def test_a_plugin_registers_exactly_one_method(install) -> None:
    install("third-none", "none", "third_none", "from bench import hookimpl\n\n@hookimpl\ndef register_methods(register): pass\n")
    with pytest.raises(BenchError, match="exactly one"):
        registry.load_method(registry.find_method("none"))
    install("third-many", "many", "third_many", GOOD.replace("    register(Nothing)", "    register(Nothing); register(Nothing)"))
    with pytest.raises(BenchError, match="exactly one"):
        registry.load_method(registry.find_method("many"))


def test_method_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "my_method.py"
    file.write_text(GOOD.partition("@hookimpl")[0] + "\n@dataclass(frozen=True)\nclass Other(Nothing):\n    pass\n")
    assert registry.load_method(registry.find_method(f"{file}:Other")).__name__ == "Other"
    with pytest.raises(BenchError, match=r"Nothing, Other; say which with FILE\.py:CLASS"):
        registry.load_method(registry.find_method(str(file)))
    with pytest.raises(BenchError, match="has no Absent"):
        registry.load_method(registry.find_method(f"{file}:Absent"))


def test_source_hash_follows_the_source(tmp_path: Path) -> None:
    file = tmp_path / "my_method.py"
    file.write_text(GOOD)
    before = registry.find_method(str(file)).source_hash()
    file.write_text(GOOD + "\n# changed\n")
    assert registry.find_method(str(file)).source_hash() != before
    assert registry.find_method("scrub").source_hash() == registry.find_method("finetune").source_hash()


def test_missing_file() -> None:
    with pytest.raises(BenchError, match="does not exist"):
        registry.find_method("absent.py")


def test_tasks_and_commands_use_the_same_door() -> None:
    assert registry.load_task("age-synthetic").name == "age-synthetic"
    assert {plugin.name for plugin in registry.plugins(registry.COMMANDS)} >= {
        "run",
        "plugins",
        "tasks",
        "reference",
        "leaderboard",
    }


def _hooks() -> list[str]:
    return [name for name, item in vars(hookspecs).items() if hasattr(item, "bench_spec")]


def test_there_are_hooks() -> None:
    assert {"register_methods", "register_tasks", "register_metrics", "register_commands"} <= set(_hooks())


@pytest.mark.parametrize("hook", _hooks())
def test_every_hook_is_documented_and_has_a_third_party_user(hook: str) -> None:
    root = Path(__file__).parents[2]
    package = "".join(path.read_text() for path in (root / "tests" / "third_party" / "third_party").glob("*.py"))
    assert f"def {hook}(" in package
    assert f"`{hook}(" in (root / "docs" / "plugin-api.md").read_text()
    assert getattr(hookspecs, hook).__doc__
    group = getattr(hookspecs, hook).__doc__.partition("group: `")[2].partition("`")[0]
    assert f"{group} =" in (root / "tests" / "third_party" / "setup.cfg").read_text()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (GOOD.replace("@hookimpl\n", ""), "decorate register_methods with @hookimpl"),
        (f"{GOOD}\n\n@hookimpl\ndef register_executors(register):\n    pass\n", "is made for another version of bench"),
    ],
    ids=["undecorated", "unknown-hook"],
)
def test_hooks_that_nobody_would_call_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, told: str) -> None:
    (tmp_path / "unheard.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    plugin = registry.Plugin("nothing", "unheard", "somebody", "1")
    monkeypatch.delitem(sys.modules, "unheard", raising=False)
    with pytest.raises(BenchError, match=told):
        registry.load_method(plugin)
