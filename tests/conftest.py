"""Fixtures that several folders of tests use: the installed `bench` command, and one store that it fills once (minutes)."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import torch
from filelock import FileLock

from bench.store.exchange import add_reference, export_reference
from bench.store.fields import VERSION
from bench.store.files import _digest
from bench.store.references import Reference
from bench.store.store import Store

BENCH = str(Path(sys.executable).parent / "bench")
PLUGINS = ("original", "retrain", "finetune", "scrub", "noise-injection")

LONGEST = 7200  # seconds: no test depends on how fast a machine is, but one that hangs has to end
MARK = "BENCH_TESTS_STARTED"  # in the environment of all that tests start, to find what they leave behind

Bench = Callable[..., subprocess.CompletedProcess]
LeftBehind = Callable[[], list[psutil.Process]]


@dataclass(frozen=True)
class Filled:
    """A store with runs, and what `bench run --json` said of them."""

    path: Path
    rows: dict[str, dict]


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    elsewhere = tmp_path_factory.mktemp("elsewhere")  # not the checkout: the installed package is tested

    def call(*arguments: object, code: int = 0, cwd: Path = elsewhere) -> subprocess.CompletedProcess:
        environment = {name: value for name, value in os.environ.items() if name != "BENCH_STORE"}
        command = [BENCH, *(str(argument) for argument in arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=LONGEST, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return call


@pytest.fixture(scope="session")
def pristine(bench: Bench, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Filled:
    """One process of pytest fills it; no test writes to it."""
    base = tmp_path_factory.getbasetemp()
    common = (base if worker_id == "master" else base.parent) / "common"
    with FileLock(f"{common}.lock"):
        if not (common / "said.json").exists():
            asked = [word for name in PLUGINS for word in ("--plugin", name)]
            said = bench("run", *asked, "--store", common / "store", "--json").stdout
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
def own_reference(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Have a store keep its reference itself, whatever came with the package: `own_reference(store)` gives the folder."""

    def keep(path: Path) -> Path:
        (folder,) = Store(path).reference_folders()
        file = tmp_path_factory.mktemp("reference") / "reference.zip"
        export_reference(Reference(folder), file)
        shutil.rmtree(folder)
        return add_reference(Store(path), file)

    return keep


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
def marked() -> Iterator[str]:
    """Marks the environment of all that this process starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, f"{os.getpid()}-{secrets.token_hex(8)}")
        yield os.environ[MARK]


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """What a shell starts in the background ignores SIGINT, and so would all that tests start to interrupt it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def left_behind(marked: str) -> LeftBehind:
    """Processes that tests started and that belong to nobody here any more."""
    return lambda: [process for process in psutil.process_iter() if _is_an_orphan(process, marked)]


def _is_an_orphan(process: psutil.Process, mark: str) -> bool:
    try:
        ours = process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark
        return ours and os.getpid() not in {parent.pid for parent in process.parents()}
    except psutil.Error:  # it has just ended, or is somebody else's
        return False


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
