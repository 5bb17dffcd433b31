"""Fixtures that several folders of tests use: the `bench` command, a task that trains in a moment, and stores filled with it."""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from multiprocessing.util import get_temp_dir
from pathlib import Path

import psutil
import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, settings

from bench.cli.main import main
from bench.engine import neighbours
from bench.store.fields import VERSION
from bench.store.files import _digest
from bench.store.runs import Run

TESTS = Path(__file__).parent
BENCH = str(Path(sys.executable).parent / "bench")
MODELS = 8  # as few as can be compared
SLOWEST = 7200  # seconds that a slow test may take; `timeout` in setup.cfg is for all others
PLUGINS = ("original", "retrain", "finetune", "scrub", "noise-injection")

MARK = "BENCH_TESTS_STARTED"  # in the environment of all that tests start, to find what they leave behind

Bench = Callable[..., subprocess.CompletedProcess]
Until = Callable[[Callable[[], object]], None]
Ended = Callable[[Iterable[psutil.Process]], None]
LeftBehind = Callable[[], list[psutil.Process]]


KINDS = {  # of the tests below a path; the others are units, unless they are marked `process`
    "bench/cli": "command_line",
    "bench/tasks/datasets/test_runs.py": "command_line",
    "docs/test_notebooks.py": "command_line",
    "end_to_end": "command_line",
    "faults": "faults",
    "gpu": "process",
    "leaderboard/test_browser.py": "browser",
    "third_party": "command_line",
}
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # it looks at the clock
settings.load_profile("patient")
_running: list[pytest.Item] = []  # the test of this moment


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test as what it is (CONTRIBUTING.md has the kinds), and leave out slow ones that nobody asks for."""
    asked = config.option.markexpr
    if "slow" not in asked:
        config.option.markexpr = f"({asked}) and not slow" if asked else "not slow"
    for item in items:
        path = item.path.relative_to(TESTS).as_posix() if item.path.is_relative_to(TESTS) else ""
        kind = next((kind for start, kind in KINDS.items() if path.startswith(start)), "unit")
        if not item.get_closest_marker("process"):
            item.add_marker(kind)
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(SLOWEST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Remember which test runs, with its fixtures of whatever scope."""
    _running[:] = [item]
    return (yield)


def _refuse_processes() -> None:
    """Units start none: they are what everybody runs after every change."""
    if _running and _running[0].get_closest_marker("unit"):
        raise AssertionError("a unit test starts a process: mark it with `process`")


def _refuse_events(event: str, arguments: object) -> None:
    if event in ("subprocess.Popen", "os.fork", "os.posix_spawn"):
        _refuse_processes()


def pytest_configure(config: pytest.Config) -> None:
    """Guard every way to start a process, and show a GPU only to whoever asks for it: results differ with the device."""
    if "gpu" not in config.option.markexpr:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    start = BaseProcess.start

    def guarded(process: BaseProcess) -> None:
        _refuse_processes()
        start(process)

    BaseProcess.start = guarded
    sys.addaudithook(_refuse_events)


@dataclass(frozen=True)
class Filled:
    """A store with runs, and what `bench run --json` said of them."""

    path: Path
    rows: dict[str, dict]


@pytest.fixture(scope="session", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests' own: no store of whoever runs them, no lock shared with others, nobody else on the machine, and `age-tiny`
    beside the installed tasks.

    What is started carries a mark, to find what is left behind.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BENCH_STORE", raising=False)
        get_temp_dir()  # removed when Python exits: must not lie in a folder that goes before
        temporary = str(tmp_path_factory.mktemp("tmp"))
        patch.setenv("TMPDIR", temporary)
        patch.setattr(tempfile, "tempdir", temporary)
        patch.setenv(MARK, f"{os.getpid()}-{secrets.token_hex(8)}")
        packages = tmp_path_factory.mktemp("packages")
        distribute(packages, "bench-tests", "age-tiny", "tiny_task", (TESTS / "tiny_task.py").read_text(), "bench.tasks")
        patch.setenv("PYTHONPATH", str(packages), prepend=os.pathsep)
        patch.syspath_prepend(packages)
        patch.setattr(neighbours, "_used_by_others", lambda: 0.0)  # what is told of the machine would change what is printed
        yield


def distribute(folder: Path, distribution: str, name: str, module: str, source: str | None, group: str = "bench") -> None:
    """Put a distribution with one module, if it has a source, and one entry point into a folder, as an installer does."""
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")
    if source is not None:
        (folder / f"{module}.py").write_text(source)


@pytest.fixture(scope="session", name="distribute")
def give_distribute() -> Callable[..., None]:
    """`distribute`, for tests."""
    return distribute


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not the checkout: the installed package is tested."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="session")
def installed(elsewhere: Path) -> Bench:
    """The installed command, in a process of its own, for tests of what processes do."""

    def call(*arguments: object, code: int | None = 0, cwd: Path = elsewhere) -> subprocess.CompletedProcess:
        command = [BENCH, *(str(argument) for argument in arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
        assert code in (None, done.returncode), done.stdout + done.stderr
        return done

    return call


@pytest.fixture(scope="session")
def bench(elsewhere: Path) -> Bench:
    """What the installed command runs, in this process: a new one would import torch again, for seconds."""

    def call(*arguments: object, code: int | None = 0, cwd: Path = elsewhere) -> subprocess.CompletedProcess:
        command = ["bench", *(str(argument) for argument in arguments)]
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", command)
            patch.chdir(cwd)
            with pytest.raises(SystemExit) as ended:
                main()
        done = subprocess.CompletedProcess(command, ended.value.code or 0, out.getvalue(), err.getvalue())
        assert code in (None, done.returncode), done.stdout + done.stderr
        return done

    return call


@pytest.fixture(scope="session")
def run(bench: Bench) -> Bench:
    """`bench run` on the task that trains in a moment."""
    return partial(bench, "run", "--task", "age-tiny", "--models", MODELS)


@pytest.fixture(scope="session")
def pristine(run: Bench, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Filled:
    """One process of pytest fills it; no test writes to it."""
    base = tmp_path_factory.getbasetemp()
    common = (base if worker_id == "master" else base.parent) / "common"
    with FileLock(f"{common}.lock"):
        if not (common / "said.json").exists():
            asked = [word for name in PLUGINS for word in ("--plugin", name)]
            said = run(*asked, "--store", common / "store", "--json").stdout
            (common / "said.json").write_text(said)
    return Filled(common / "store", {row["method"]["name"]: row for row in json.loads((common / "said.json").read_text())})


@pytest.fixture(scope="module")
def filled(pristine: Filled, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """A copy for the tests of one file, which may add runs to it."""
    path = tmp_path_factory.mktemp("own") / "store with späces"
    shutil.copytree(pristine.path, path)
    return Filled(path, pristine.rows)


@pytest.fixture
def copied(pristine: Filled, tmp_path: Path) -> Filled:
    """A copy for one test, to do harm to."""
    path = tmp_path / "store"
    shutil.copytree(pristine.path, path)
    return Filled(path, pristine.rows)


@pytest.fixture(scope="session")
def run_two_chunks(run: Bench) -> Callable[..., Path]:
    """Runs finetune with 16 models, which a CPU computes in two chunks, on a store that has their references."""

    def call(store: Path, *options: object) -> Path:
        run("--plugin", "finetune", "--models", 2 * MODELS, "--store", store, *options)
        folders = list((store / "runs").glob("finetune-*"))
        (folder,) = (folder for folder in folders if len(Run.read(folder).record.chunks) == 2)
        return folder

    return call


class Forger:
    """Records as plain JSON, with a checksum that fits whatever stands in them: what a stranger can make."""

    def read(self, path: Path) -> dict:
        """The fields of a record, without version and checksum."""
        fields = json.loads(path.read_text())
        return {name: value for name, value in fields.items() if name not in ("schema_version", "sha256")}

    def write(self, path: Path, fields: dict, version: int = VERSION) -> None:
        """Write a record that nobody checked."""
        body = {"schema_version": version, **fields}
        path.write_text(json.dumps({**body, "sha256": _digest(body)}))


@pytest.fixture(scope="session")
def forger() -> Forger:
    return Forger()


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """What a shell starts in the background ignores SIGINT, and so would all that tests start to interrupt it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def left_behind() -> LeftBehind:
    """Processes that tests started and that belong to nobody here any more."""
    return lambda: [process for process in psutil.process_iter() if _is_an_orphan(process, os.environ[MARK])]


def _is_an_orphan(process: psutil.Process, mark: str) -> bool:
    with suppress(psutil.Error):  # it has just ended, or is somebody else's
        ours = _lives(process) and process.environ().get(MARK) == mark
        return ours and os.getpid() not in {parent.pid for parent in process.parents()}
    return False


@pytest.fixture(scope="session")
def until() -> Until:
    """Waits for a condition, for as long as a test may take (`timeout` in setup.cfg): `until(file.exists)`."""

    def wait(condition: Callable[[], object]) -> None:
        while not condition():
            time.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def ended(until: Until) -> Ended:
    """Waits until processes have ended: `ended(family)`."""
    return lambda processes: until(lambda: not any(map(_lives, processes)))


def _lives(process: psutil.Process) -> bool:
    """Whether it has not ended; one that has, and that nobody has asked how, is no more."""
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
