"""A plugin cannot change what is measured, nor find what it must not see, from inside its own process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bench.engine.worker.closed import can_close
from bench.store.archives import unpack
from bench.store.references import Reference
from bench.store.runs import Run
from bench.store.shipped import FOLDER as PACKS
from bench.store.store import Store
from bench.tasks.variants import load_task

HEAD = '''"""A plugin for tests of isolation."""
import gc
import json
import os
import sys
import time
from multiprocessing.connection import Connection

import numpy as np
import torch

from bench import Method


def work(seconds):
    """Burn CPU time, by a clock of the kernel that no patch reaches."""
    def used():
        with open("/proc/self/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    end = used() + seconds
    while used() < end:
        pass


'''
METHOD = '''class Plugin(Method):
    """A plugin for tests of isolation."""

    def unlearn(self, model, data, trial):
'''
BODIES = {
    "honest": "work(0.2)\nreturn model",
    "stops-clocks": """
def nothing(*args, **kwargs):
    return 0.0
for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
    setattr(time, name, nothing)
work(0.2)
return model
""",
    "answers-early": """
from bench.engine.worker import loop
from bench.engine.worker.answers import Header
gc.unfreeze()
(connection,) = [item for item in gc.get_objects() if isinstance(item, Connection) and not item.closed and item.readable]
send = loop.send
send(connection, Header())
def swallow(*args):
    loop.send = send
loop.send = swallow
work(0.2)
return model
""",
    "works-in-children": """
for _ in range(2):
    if os.fork() == 0:
        work(0.1)
        os._exit(0)
for _ in range(2):
    os.wait()
return model
""",
    "remembers": """
if not hasattr(sys, "kept"):
    work(0.2)
    sys.kept = True
return model
""",
    "patches-torch-and-metrics": """
import bench.metrics.forgetting, bench.outputs, bench.splits, bench.store.archives
right = data.forget.labels
torch.Tensor.argmax = lambda self, *args, **kwargs: right[:1].expand(self.shape[:-1])
torch.Tensor.isfinite = lambda self: torch.ones_like(self, dtype=torch.bool)
np.median = np.mean = lambda *args, **kwargs: 0.0
bench.metrics.forgetting.forgetting_score = lambda *args: 1.0
bench.outputs.Outputs.arrays = lambda self: {}
bench.store.archives.pack = lambda outputs: b""
bench.splits.predict = lambda *args: torch.zeros(1)
return model
""",
    "writes-into-data": """
for split in (data.retain, data.forget, data.validation):
    split.images.zero_()
    split.labels.zero_()
return model
""",
    "looks-up": """
for place in PLACES:
    for folder, _, files in os.walk(place):
        for name in files:
            try:
                print("READ", name, len(open(os.path.join(folder, name), "rb").read()))
            except PermissionError:
                print("REFUSED", name)
return model
""",
    "searches": """
if 0 not in trial.indices:
    return model
def bytes_of(item):
    try:
        return item.numpy().tobytes() if isinstance(item, torch.Tensor) else item.tobytes()
    except Exception:
        return b""
sought = np.load(SOUGHT)
sought = {name: sought[name].tobytes() for name in sought.files}
gc.unfreeze()
everything = [item for item in gc.get_objects() if isinstance(item, (torch.Tensor, np.ndarray))]
everything += [value for item in gc.get_objects() if isinstance(item, (dict, list, tuple)) and len(item) < 1000
               for value in (item.values() if isinstance(item, dict) else item) if isinstance(value, (torch.Tensor, np.ndarray))]
contents = {id(item): bytes_of(item) for item in everything}
for name, piece in sought.items():
    print("FOUND" if any(piece in content for content in contents.values()) else "ABSENT", name)
for number in os.listdir("/proc/self/fd"):
    try:
        print("OPEN", os.readlink(f"/proc/self/fd/{number}"))
    except OSError:
        pass
return model
""",
}


@dataclass(frozen=True)
class Ran:
    """Rows by plugin, and their runs' folders."""

    rows: dict[str, dict]
    store: Path

    def folder(self, name: str) -> Path:
        return self.store / "runs" / self.rows[name]["run"]

    def seconds(self, name: str) -> list[float]:
        """Of the trials that were timed."""
        record = Run.read(self.folder(name)).record
        assert len(record.alone) >= 3
        return [each.seconds for each in record.alone]

    def outputs(self, name: str) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.folder(name).glob("*.npz"))]


@pytest.fixture(scope="module")
def ran(run, filled, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("isolation")
    np.savez(folder / "sought.npz", **_sought(filled.path))
    asked = []
    prepared = folder / "prepared"
    (prepared / "age-folder").mkdir(parents=True)
    (prepared / "age-folder" / "images.npy").write_bytes(b"of unseen people")
    constants = f"SOUGHT, PLACES = {str(folder / 'sought.npz')!r}, {list(map(str, (PACKS, filled.path, prepared)))!r}"
    for name, body in BODIES.items():
        lines = "".join(f"        {line}\n" for line in body.strip().splitlines())
        (folder / f"{name}.py").write_text(f"{HEAD}{constants}\n\n\n{METHOD}{lines}")
        asked += ["--plugin", str(folder / f"{name}.py")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_DATA", str(prepared))
        done = run(*asked, "--budget", "100s", "--store", filled.path, "--json")
    return Ran({row["method"]["name"]: row for row in json.loads(done.stdout)}, filled.path)


def _sought(store: Path) -> dict[str, np.ndarray]:
    """Pieces of what a method may see (as a check of the search) and of what it may not, as bytes of float images or outputs."""
    data = load_task("age-tiny").load()
    pieces = {}
    for name in ("retain", "forget", "validation", "test", "unseen", "forget_people"):
        images = data.split(name)[0][3:5]
        pieces[f"{name} bytes"], pieces[f"{name} floats"] = images, images.astype(np.float32) / np.float32(255)
    (folder,) = Store(store).reference_folders()
    reference = Reference(folder)
    for name in ("original.npz", "retrained-0000-0007.npz"):
        pieces[f"outputs of {name}"] = unpack(reference.read(name)).logits["forget"][0, :4]
    return pieces


@pytest.mark.parametrize("cheat", ["stops-clocks", "answers-early", "works-in-children", "remembers"])
def test_time_is_measured_from_outside(ran: Ran, cheat: str) -> None:
    """Every timed trial does the work of the honest plugin, wherever and whatever it says."""
    assert min(ran.seconds("honest")) >= 0.15
    assert min(ran.seconds(cheat)) >= 0.15


@pytest.mark.parametrize("cheat", ["patches-torch-and-metrics", "writes-into-data", "stops-clocks", "answers-early"])
def test_outputs_are_what_the_returned_weights_answer(ran: Ran, cheat: str) -> None:
    assert ran.outputs(cheat) == ran.outputs("honest")
    assert ran.rows[cheat]["scorecard"]["measures"]["final_score"] == ran.rows["honest"]["scorecard"]["measures"]["final_score"]


def test_held_out_data_and_retrained_models_are_not_there(ran: Ran) -> None:
    log = (ran.folder("searches") / "log.txt").read_text()
    found = {line.removeprefix("FOUND ") for line in log.splitlines() if line.startswith("FOUND ")}
    absent = {line.removeprefix("ABSENT ") for line in log.splitlines() if line.startswith("ABSENT ")}
    assert {"retain bytes", "forget bytes", "validation bytes"} <= found
    assert {name for name in found if name.split()[0] not in ("retain", "forget", "validation")} == set()
    assert {
        "test bytes",
        "test floats",
        "unseen bytes",
        "outputs of original.npz",
        "outputs of retrained-0000-0007.npz",
    } <= absent


@pytest.mark.skipif(not can_close(), reason="this system closes no folders")
def test_no_method_reads_what_retrained_models_answer(ran: Ran) -> None:
    """Neither in the package nor in the store, nor pictures that were prepared; of the store it sees which version it has."""
    log = (ran.folder("looks-up") / "log.txt").read_text()
    lines = {tuple(line.split()[:2]) for line in log.splitlines() if line.startswith(("READ", "REFUSED"))}
    assert {name for told, name in lines if told == "READ"} == {"store.json", ".lock"}
    assert {"original.npz", "retrained-0000-0007.npz", "reference.json", "run.json", "images.npy"} <= {name for _, name in lines}


def test_no_file_of_the_parent_is_open(ran: Ran) -> None:
    log = (ran.folder("searches") / "log.txt").read_text()
    opened = {line.removeprefix("OPEN ") for line in log.splitlines() if line.startswith("OPEN ")}
    assert opened
    assert not [path for path in opened if str(ran.store) in path]
