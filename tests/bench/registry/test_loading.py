"""A plugin is imported when it is asked for, and must register exactly one thing; whatever goes wrong is one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.registry import discovery, loading

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


def test_every_shipped_method_loads_and_names_its_source() -> None:
    for plugin in discovery.plugins(discovery.METHODS):
        assert "Source:" in (loading.load_method(plugin).__doc__ or ""), plugin.name


def test_third_party_method(install) -> None:
    install("third-party", "nothing", "third_nothing", GOOD)
    assert loading.load_method(discovery.find_method("nothing")).__name__ == "Nothing"


def test_import_error_is_one_line_that_names_the_plugin(install) -> None:
    install("third-broken", "broken", "third_broken", 'raise RuntimeError("at import")\n')
    with pytest.raises(BenchError, match=r"broken \(third-broken\) fails to import: RuntimeError: at import"):
        loading.load_method(discovery.find_method("broken"))


def test_a_plugin_registers_exactly_one_method(install) -> None:
    install("third-none", "none", "third_none", "from bench import hookimpl\n\n@hookimpl\ndef register_methods(register): pass\n")
    with pytest.raises(BenchError, match="exactly one"):
        loading.load_method(discovery.find_method("none"))
    install("third-many", "many", "third_many", GOOD.replace("    register(Nothing)", "    register(Nothing); register(Nothing)"))
    with pytest.raises(BenchError, match="exactly one"):
        loading.load_method(discovery.find_method("many"))


def test_method_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "my_method.py"
    file.write_text(GOOD.partition("@hookimpl")[0] + "\n@dataclass(frozen=True)\nclass Other(Nothing):\n    pass\n")
    assert loading.load_method(discovery.find_method(f"{file}:Other")).__name__ == "Other"
    with pytest.raises(BenchError, match=r"Nothing, Other; say which with FILE\.py:CLASS"):
        loading.load_method(discovery.find_method(str(file)))
    with pytest.raises(BenchError, match="has no Absent"):
        loading.load_method(discovery.find_method(f"{file}:Absent"))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (GOOD.replace("@hookimpl\n", ""), "decorate register_methods with @hookimpl"),
        (f"{GOOD}\n\n@hookimpl\ndef register_boards(register):\n    pass\n", "is made for another version of bench"),
    ],
    ids=["undecorated", "unknown-hook"],
)
def test_hooks_that_nobody_would_call_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, told: str) -> None:
    (tmp_path / "unheard.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    plugin = discovery.Plugin("nothing", "unheard", "somebody", "1")
    monkeypatch.delitem(sys.modules, "unheard", raising=False)
    with pytest.raises(BenchError, match=told):
        loading.load_method(plugin)
