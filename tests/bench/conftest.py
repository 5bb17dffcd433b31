"""Packages of strangers, and a store with runs that nobody trained: outputs drawn from `bench.scoring.calibration`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from bench.metrics.metric import Models
from bench.scoring.calibration import Population
from bench.scoring.constructions import shifted
from bench.store.archives import pack
from bench.store.files import write_bytes, write_record
from bench.store.method_records import MethodRecord
from bench.store.records import DeviceRecord, Finished, RunRecord, TaskRecord, Timed
from bench.store.reference_records import ReferenceRecord, ReferenceTask
from bench.store.references import Reference
from bench.store.runs import Run
from bench.store.store import Store

TASK = "f" * 64
EXAMPLES = 30


@dataclass
class Drawn:
    """A store, and what its runs are drawn from."""

    store: Store
    population: Population
    reference: Reference
    retrained: Models

    def add(self, name: str, models: Models, **changes: object) -> Run:
        """Put a complete run into the store; `changes` are fields of its record."""
        folder = self.store.runs / f"{name}-0123456789ab"
        count = len(models)
        digest = write_bytes(folder / "outputs-0000.npz", pack(models.outputs))
        finished = Finished(trials=tuple(range(count)), file="outputs-0000.npz", sha256=digest, seconds=0.5 * count)
        record = RunRecord(
            method=MethodRecord(
                name=name, spec=name, hyper_parameters={}, source_hash="0" * 64, control=False, reference_models=()
            ),
            task=TaskRecord(name="drawn", key=TASK),
            reference_id=self.reference.identifier(min(count, self.reference.record.available)),
            models=count,
            budget="20%",
            seed=0,
            device=DeviceRecord(kind="cpu", processor="test"),
            chunks=(finished,),
            secret="0" * 32,
            retraining_seconds=5.0,
            allowance_seconds=1.0,
        )
        for _ in range(3):
            record = replace(record, timed=(*record.timed, _timed(folder, record.next_timed, models)))
        write_record(folder / "run.json", replace(record, **changes))
        return Run.read(folder)

    def train_further(self, models: int) -> Models:
        """Add retrained models to the reference, beyond those that it has."""
        first, more = self.reference.record.available, self.population.retrained(models)
        with self.reference.growing(self.reference.record, lambda text: None):
            self.reference.keep_retrained(range(first, first + models), more.outputs)
        return more

    def shifted(self, amount: float, draw: int = 0) -> Models:
        """Unlearned models that far from retrained ones; the same whatever was drawn before, others for each `draw`."""
        generator = np.random.default_rng([draw, round(1000 * abs(amount)), int(amount < 0)])
        return dataclasses.replace(self.population, generator=generator).case(shifted(amount), self.retrained)


def _timed(folder: Path, trial: int, models: Models) -> Timed:
    """A trial that has run again, and come to the same model."""
    digest = write_bytes(folder / f"timed-{trial:04d}.npz", pack(models.outputs.select([trial])))
    return Timed(trial=trial, file=f"timed-{trial:04d}.npz", sha256=digest, seconds=0.5, retraining=(5.0, 5.0))


def draw(path: Path, models: int = 16) -> Drawn:
    store = Store(path)
    store.prepare()
    population = Population.draw(EXAMPLES, seed=0)
    retrained = population.retrained(models)
    reference = store.reference(TASK, "cpu")
    about = ReferenceRecord(stack_size=models, task=ReferenceTask(name="drawn", key=TASK), device="cpu")
    with reference.growing(about, lambda text: None):
        reference.keep_labels(dict(population.labels), {})
        reference.keep_original({"weight": np.zeros((1, 1), np.float32)}, population.original().outputs)
        reference.keep_retrained(range(models), retrained.outputs)
    return Drawn(store, population, reference, retrained)


@pytest.fixture(scope="session", name="draw")
def give_draw() -> Callable[..., Drawn]:
    """`draw`, for tests that share a store within their file."""
    return draw


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    return draw(tmp_path / "store")


@pytest.fixture(scope="session")
def shared_drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """The same for tests that change nothing but scorecards."""
    return draw(tmp_path_factory.mktemp("drawn") / "store")


@pytest.fixture
def install(distribute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a distribution with one module and one entry point on the path."""

    def put(distribution: str, name: str, module: str, source: str | None, group: str = "bench") -> None:
        folder = tmp_path / distribution
        folder.mkdir()
        distribute(folder, distribution, name, module, source, group)
        monkeypatch.syspath_prepend(str(folder))

    yield put
    for module in [name for name in sys.modules if name.startswith("third_")]:
        del sys.modules[module]
