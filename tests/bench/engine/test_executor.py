"""Executors come through entry points, like every other plugin; whatever is wrong with one is a line that names it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.engine.executor import find_executor
from bench.errors import BenchError
from bench.registry import discovery

GROUP = "bench.executors"
GOOD = '''"""Computes nothing."""
from bench import hookimpl


class Idle:
    def __init__(self, shelf, workers, note):
        self.given = shelf, workers, note


@hookimpl
def register_executors(register):
    register(Idle)
'''


def refused(name: str) -> str:
    with pytest.raises(BenchError) as caught:
        find_executor(name)
    told = str(caught.value)
    assert "\n" not in told
    return told


def test_a_third_partys_executor_is_made_with_the_shelf_the_workers_and_whom_to_tell(install) -> None:
    install("third-idle", "idle", "third_idle", GOOD, GROUP)
    executor = find_executor("idle")("shelf", 3, print)
    assert (type(executor).__name__, executor.given) == ("Idle", ("shelf", 3, print))
    assert {"local", "idle"} <= {plugin.name for plugin in discovery.plugins(discovery.EXECUTORS)}


def test_listing_and_finding_import_no_other_executor(install) -> None:
    install("third-broken", "broken", "third_broken", 'raise RuntimeError("at import")\n', GROUP)
    assert "broken" in {plugin.name for plugin in discovery.plugins(discovery.EXECUTORS)}
    assert find_executor("local").__name__ == "LocalExecutor"
    assert "third_broken" not in sys.modules


def test_an_executor_that_does_not_exist_is_suggested() -> None:
    assert refused("locl") == "unknown executor 'locl'; did you mean local?"


def test_an_executor_whose_module_fails_to_import_is_named(install) -> None:
    install("third-broken", "broken", "third_broken", 'raise RuntimeError("at import")\n', GROUP)
    assert refused("broken") == "plugin broken (third-broken) fails to import: RuntimeError: at import"
    install("third-missing", "missing", "third_missing", None, GROUP)
    assert refused("missing").startswith("plugin missing (third-missing) fails to import: ModuleNotFoundError: ")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (GOOD.replace("@hookimpl\n", ""), "plugin idle (third-idle): decorate register_executors with @hookimpl"),
        (GOOD.replace("register(Idle)", "pass"), "exactly one thing for the name 'idle'; found: nothing"),
        (
            GOOD.replace("register(Idle)", "register(Idle); register(Idle)"),
            "exactly one thing for the name 'idle'; found: Idle,",
        ),
        (GOOD.replace("register(Idle)", "register(3)"), "exactly one thing for the name 'idle'; found: 3"),
        (GOOD.replace("register(Idle)", "1 / 0"), "plugin idle (third-idle) fails in register_executors: ZeroDivisionError"),
    ],
    ids=["undecorated", "nothing", "two", "no-factory", "fails"],
)
def test_an_executor_that_registers_something_else_is_named(install, source: str, told: str) -> None:
    install("third-idle", "idle", "third_idle", source, GROUP)
    assert told in refused("idle")


def test_an_executor_that_is_disabled_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(discovery.DISABLED, "local")
    assert refused("local") == f"executor 'local' is disabled by {discovery.DISABLED}"


def test_two_packages_with_one_name_are_told(install) -> None:
    install("third-one", "idle", "third_one", GOOD, GROUP)
    install("third-two", "idle", "third_two", GOOD, GROUP)
    assert "third-one and third-two" in refused("idle")


@pytest.mark.process
def test_where_jobs_are_computed_needs_no_torch() -> None:
    code = "import sys; from bench.engine.executor import find_executor; find_executor('local'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
