"""`bench plugins`: what is installed, whether it works, and how an author starts, tests and runs a method."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.engine import inspection
from bench.engine.worker import calls

BENCH = str(Path(sys.executable).parent / "bench")
GOOD = '''"""A method that does nothing."""
from bench import Method, hookimpl


class Nothing(Method):
    def unlearn(self, model, data, trial):
        return model


@hookimpl
def register_methods(register):
    register(Nothing)
'''
NEWER = '''"""For a newer bench."""
from bench import hookimpl


@hookimpl
def register_methods(register, colours):
    register(colours)
'''
Call = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder that strangers install into."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def call(packages: Path, tmp_path: Path) -> Call:
    """`bench` where those packages are installed."""

    def run(*arguments: object, code: int = 0, **environment: str) -> subprocess.CompletedProcess:
        command = [BENCH, *(str(argument) for argument in arguments)]
        everything = {**os.environ, "PYTHONPATH": f"{packages}:{os.environ['PYTHONPATH']}", **environment}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=everything, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def _rows(call: Call, *options: str, code: int = 0, **environment: str) -> dict[tuple[str, str], dict]:
    rows = json.loads(call("plugins", *options, "--json", code=code, **environment).stdout)
    return {(row["name"], row["distribution"]): row for row in rows}


def test_every_kind_is_listed(bench) -> None:
    kinds = {row["name"]: row["kind"] for row in _rows(bench).values() if row["distribution"] == "unlearning-bench"}
    assert (kinds["scrub"], kinds["age-synthetic"], kinds["ulira"], kinds["plugins"]) == ("method", "task", "metric", "command")


def test_what_is_wrong_is_a_status(call, distribute, packages: Path) -> None:
    distribute(packages, "third-one", "nothing", "third_one", GOOD)
    distribute(packages, "third-two", "nothing", "third_two", GOOD)
    distribute(packages, "third-missing", "missing", "third_missing", None)
    rows = _rows(call, BENCH_PLUGINS_DISABLED="scrub, scrub-r")
    assert rows["nothing", "third-one"]["status"] == "name also claimed by third-two"
    assert rows["missing", "third-missing"]["status"] == "broken: no module third_missing"
    assert rows["scrub", "unlearning-bench"]["status"] == "disabled by BENCH_PLUGINS_DISABLED"
    assert "third-one and third-two" in call("run", "--plugin", "nothing", code=2).stderr
    told = call("run", "--plugin", "scrub", code=2, BENCH_PLUGINS_DISABLED="scrub").stderr
    assert told == "bench: plugin 'scrub' is disabled by BENCH_PLUGINS_DISABLED\n"


def test_check_imports_each_and_shows_errors_as_rows(call, distribute, packages: Path) -> None:
    distribute(packages, "third-good", "nothing", "third_good", GOOD)
    distribute(packages, "third-broken", "broken", "third_broken", 'raise RuntimeError("at import")\n')
    distribute(packages, "third-crash", "crash", "third_crash", "import os\nos.kill(os.getpid(), 11)\n")
    distribute(packages, "third-newer", "newer", "third_newer", NEWER)
    distribute(packages, "third-missing", "missing", "third_missing", None)
    rows = _rows(call, "--check", code=1)
    assert rows["nothing", "third-good"]["status"] == "ok"
    assert "RuntimeError: at import" in rows["broken", "third-broken"]["status"]
    assert "signal 11" in rows["crash", "third-crash"]["status"]
    assert "is made for another version of bench" in rows["newer", "third-newer"]["status"]
    assert "ModuleNotFoundError" in rows["missing", "third-missing"]["status"]
    assert {row["status"] for row in rows.values() if row["distribution"] == "unlearning-bench"} == {"ok"}


def test_packages_that_cannot_be_read_stop_nothing(call, distribute, packages: Path, copied) -> None:
    """Of whatever group: torch and triton read all of them when they are imported, and import those for other devices."""
    distribute(packages, "third-odd", "foo bar\nodd", "third_odd", None, group="console_scripts")
    distribute(packages, "third-device", "device", "third_device", "raise RuntimeError", group="torch.backends")
    rows = json.loads(call("plugins", "--json").stdout)
    (row,) = [row for row in rows if row["kind"] == "package"]
    assert row["name"] == "third_odd-1.0"
    assert row["status"] == "skipped: entry_points.txt is not as packages have it; mend or uninstall it"
    assert "scrub" in call("plugins", "show", "scrub").stdout
    call("run", "--task", "age-tiny", "--models", "8", "--plugin", "noise-injection", "--store", copied.path, "--seed", "1")


def test_strict_raises_what_a_plugin_raises(call, distribute, packages: Path) -> None:
    distribute(packages, "third-broken", "broken", "third_broken", 'raise RuntimeError("at import")\n')
    assert "Traceback" not in call("plugins", "show", "broken", code=2).stderr
    told = call("plugins", "show", "broken", code=1, BENCH_STRICT="1").stderr
    assert "Traceback" in told
    assert told.rstrip().endswith("RuntimeError: at import")


def test_show_explains_a_method(bench) -> None:
    shown = bench("plugins", "show", "scrub").stdout
    assert "Source: Kurmanji et al. 2023" in shown
    assert "gamma = 0.99" in shown
    assert "Towards Unbounded Machine Unlearning" in shown
    assert "setting by name: scrub[preset=paper]" in shown
    assert re.search(r"temperature = 4\.0 +\[above 0\]  search", shown)
    told = json.loads(bench("plugins", "show", "scrub", "--json").stdout)
    assert (told["paper"]["year"], told["presets"]["paper"]["alpha"]) == (2023, 0.001)
    assert told["paper"]["bibtex"].startswith("@misc{kurmanji2023towards,\n  title = {Towards Unbounded Machine Unlearning},")
    assert shown.endswith(f"\n\n{told['paper']['bibtex']}\n")
    (rate,) = [each for each in told["hyper_parameters"] if each["name"] == "learning_rate"]
    assert (rate["kind"], rate["domain"], rate["search"]) == ("float", "above 0", [3e-4, 3e-2, True])
    assert "public code, large-scale setting" in shown
    assert "stackable = True" in shown
    assert "deterministic = False" in shown
    assert "reconstruction" not in shown
    assert "  reconstruction: the paper's learning rates, batch size" in bench("plugins", "show", "negmerge").stdout
    assert json.loads(bench("plugins", "show", "delete", "--json").stdout)["reconstruction"].startswith("the paper's optimiser")
    fields = json.loads(bench("plugins", "show", "scrub-r", "--json").stdout)["hyper_parameters"]
    sources = {field["name"]: field["source"] for field in fields}
    assert sources["gamma"] == "public code, large-scale setting"  # inherited
    assert sources["alpha"] == "search"  # its own


@pytest.mark.parametrize("template", ["method", pytest.param("function", marks=pytest.mark.slow)])
def test_a_new_plugin_passes_its_own_tests_and_gets_a_scorecard(
    call, distribute, filled, packages: Path, tmp_path: Path, template: str
) -> None:
    call("plugins", "new", "my-method", "--template", template)
    made = tmp_path / "my-method"
    config = configparser.ConfigParser()
    config.read(made / "setup.cfg")
    name, module = (word.strip() for word in config["options.entry_points"]["bench"].strip().split("="))
    distribute(packages, config["metadata"]["name"], name, module, (made / f"{module}.py").read_text())
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=made, env={**os.environ, "PYTHONPATH": str(packages)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout
    passed = 12 if template == "function" else 14  # some checks do not apply; functions can declare nothing
    assert f"{passed} passed" in tested.stdout or f"{passed + 1} passed" in tested.stdout
    if template == "method":
        assert "my-method" in call("run", "--task", "age-tiny", "--plugin", "my-method", "--store", filled.path).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new", "My Method"], "is no name for a method"),
        (["new", "../evil"], "is no name for a method"),
        (["new", "scrub"], "is taken by unlearning-bench"),
        (["new", "random"], "a module random would be taken for one of Python's"),
        (["test", "scrub[alpha=x]"], "at character 13"),
        (["test", "retrain"], "is a control row"),
        (["show", "scrubb"], "did you mean scrub"),
    ],
)
def test_bad_input_is_one_line(bench, arguments: list[str], message: str) -> None:
    told = bench("plugins", *arguments, code=2).stderr
    assert message in told
    assert len(told.splitlines()) == 1


def test_nothing_is_overwritten(bench, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "setup.cfg").write_text("precious")
    assert "exists" in bench("plugins", "new", "mine", code=2, cwd=tmp_path).stderr
    assert (tmp_path / "mine" / "setup.cfg").read_text() == "precious"


@pytest.mark.parametrize("statement", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_a_file_that_ends_whoever_imports_it_is_told(bench, tmp_path: Path, statement: str) -> None:
    (tmp_path / "ends.py").write_text(f"import os\n{statement}\n")
    told = bench("plugins", "test", "ends.py", code=2, cwd=tmp_path).stderr
    assert re.fullmatch(r"bench: plugin ends .*: the worker process (ended|died) \(.*\), when it was imported\n", told)


def test_a_file_that_never_stops_importing_is_told(bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "SETUP_LIMIT", 1.0)  # nobody needs to wait as long as users do
    (tmp_path / "endless.py").write_text("while True:\n    pass\n")
    told = bench("plugins", "test", "endless.py", code=2, cwd=tmp_path).stderr
    assert re.fullmatch(r"bench: plugin endless .*: killed after .* the limit is 1\.0 s, when it was imported\n", told)


def test_the_kit_on_a_file(bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is imported in one process before it is in this one."""
    (tmp_path / "nothing.py").write_text(GOOD)
    probes: list[object] = []
    monkeypatch.setattr(inspection, "_probe", lambda probe=inspection._probe: probes.append(probe) or probe())
    done = bench("plugins", "test", "nothing.py", code=1, cwd=tmp_path)
    assert len(probes) == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert [line.split()[1].rstrip(":") for line in failed] == ["names-its-source", "changes-weights", "uses-the-forget-set"]


def test_the_kit_within_pytest(tmp_path: Path) -> None:
    """Every check is a test of its own."""
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--conformance", "finetune", str(tmp_path)]
    done = subprocess.run([*command, "-k", "changes-weights"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "::conformance of finetune[changes-weights] PASSED" in done.stdout
    assert "1 passed, 16 deselected" in done.stdout


def test_a_function_is_run_and_scored(run, copied, tmp_path: Path) -> None:
    (tmp_path / "submission.py").write_text(
        "import torch\n\n\ndef unlearning(net, retain_loader, forget_loader, val_loader):\n"
        "    optimizer = torch.optim.SGD(net.parameters(), 1e-3)\n"
        "    for batch in forget_loader:\n"
        "        optimizer.zero_grad()\n"
        "        torch.nn.functional.cross_entropy(net(batch['image']), batch['age_group'] * 0).backward()\n"
        "        optimizer.step()\n"
    )
    asked = ["--plugin", tmp_path / "submission.py:unlearning", "--store", copied.path]
    assert "submission.unlearning" in run(*asked).stdout
    assert "TypeError" in run(*asked, "--batch-format", "tuple", code=2).stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [("bench run --plugin scr", "scrub"), ("bench run --task age", "age-synthetic"), ("bench metrics show ul", "ulira")],
)
def test_names_are_completed(call, words: str, expected: str) -> None:
    typed = words.split()
    environment = {"_BENCH_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(typed) - 1)}
    assert f"plain,{expected}" in call(**environment).stdout.splitlines()
