"""Packages that strangers installed, and a store with runs that nobody trained: outputs drawn from `bench.calibration`."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bench.calibration import Population, shifted
from bench.engine.runs import Run
from bench.metrics.metric import Models
from bench.references import References, folder_of
from bench.store import Store, write_bytes, write_record

TASK = "f" * 64
EXAMPLES = 30


@dataclass
class Drawn:
    """A store, and what its runs are drawn from."""

    store: Store
    population: Population
    references: References
    retrained: Models

    def add(self, name: str, models: Models, **changes: object) -> Run:
        """Put a complete run into the store."""
        folder = self.store.runs / f"{name}-0123456789ab"
        count = len(models)
        digest = write_bytes(folder / "outputs-0000.npz", models.outputs.to_npz())
        method = {"name": name, "spec": name, "summary": "", "distribution": "d", "version": "1", "control": False}
        method |= {"hyper_parameters": {}, "source_hash": "0" * 64}
        record = {
            "method": {**method, "reference_models": []},
            "task": {"name": "drawn", "key": TASK},
            "reference_id": self.references.identifier(min(count, self.references.available())),
            "models": count,
            "budget": "20%",
            "seed": 0,
            "device": {"kind": "cpu", "processor": "test"},
            "chunks": [{"trials": list(range(count)), "file": "outputs-0000.npz", "sha256": digest}],
            "solo": [{"trial": count + n, "seconds": 0.5} for n in range(3)],
            "retraining_seconds": 5.0,
            "allowance_seconds": 1.0,
            **changes,
        }
        write_record(folder / "run.json", record)
        return Run.read(folder)

    def shifted(self, amount: float) -> Models:
        """Unlearned models that far from retrained ones."""
        return self.population.case(shifted(amount), self.retrained)


def draw(path: Path, models: int = 16) -> Drawn:
    store = Store(path)
    store.prepare()
    population = Population.draw(EXAMPLES, seed=0)
    retrained = population.retrained(models)
    folder = folder_of(store.references, TASK, "cpu")
    buffer = io.BytesIO()
    np.savez(buffer, **population.labels)
    contents = {
        "labels.npz": buffer.getvalue(),
        "original.npz": population.original().outputs.to_npz(),
        f"retrained-0000-{models - 1:04d}.npz": retrained.outputs.to_npz(),
    }
    files = {name: write_bytes(folder / name, content) for name, content in contents.items()}
    write_record(folder / "reference.json", {"files": files, "yardsticks": {}, "baselines": {}, "stack_size": models})
    return Drawn(store, population, References(folder), retrained)


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    return draw(tmp_path / "store")


@pytest.fixture(scope="session")
def shared_drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """The same for tests that change nothing but scorecards."""
    return draw(tmp_path_factory.mktemp("drawn") / "store")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a distribution with one module and one entry point on the path."""

    def put(distribution: str, name: str, module: str, source: str | None, group: str = "bench") -> None:
        folder = tmp_path / distribution
        info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")
        if source is not None:
            (folder / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(str(folder))

    yield put
    for module in [name for name in sys.modules if name.startswith("third_")]:
        del sys.modules[module]
