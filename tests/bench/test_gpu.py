"""The same code on a CUDA device: runs where there is one and `-m gpu` asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from bench.engine.worker.answers import PeakMemory
from bench.engine.worker.loop import serve
from bench.engine.worker.process import Worker
from bench.errors import WorkerError
from bench.models.build import initialised
from bench.models.stacked import stack
from bench.models.training import fit
from bench.registry import discovery
from bench.splits import bind
from bench.store.fields import Record
from bench.tasks.task import Recipe
from bench.testing.checks import CHECKS
from bench.testing.outcome import Status
from bench.testing.subject import subject
from bench.weights import state

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.process,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device, or not asked for by `-m gpu`"),
]


def test_training_on_cuda_equals_the_cpu_in_float64() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(64, 3, 32, 32, generator=generator, dtype=torch.float64)
    labels = torch.randint(4, (64,), generator=generator)
    recipe = Recipe(epochs=3, batch_size=16, learning_rate=4e-3, weight_decay=1e-4, warmup=0.1)
    trained = {}
    for device in ("cpu", "cuda"):
        nets = [initialised("resnet8-v1", 4, seed).double() for seed in range(4)]
        columns = (images.to(device), labels.to(device))
        trained[device] = state(fit(stack(nets).to(device), bind(columns, range(4), "retain", stacked=True), recipe))
    for name, view in trained["cpu"].items():
        torch.testing.assert_close(trained["cuda"][name].cpu(), view, rtol=0, atol=1e-8, msg=name)


class Product(Record, frozen=True, kw_only=True):
    """What `multiply` answers."""

    sum: float


@dataclass(frozen=True)
class Busy:
    """Keeps the device busy, or takes its memory; children import it by name."""

    def operations(self):
        return {"multiply": self.multiply, "hang": self.hang, "peak_memory": self.peak_memory}

    def multiply(self, times: int):
        square = torch.rand(4096, 4096, device="cuda")
        product = square
        for _ in range(times):
            product = product @ square / 2048  # its mean stays about one half
        torch.cuda.synchronize()
        return Product(sum=float(product.sum())), {}

    def hang(self):
        torch.cuda._sleep(10**13)  # a kernel of hours
        torch.cuda.synchronize()
        return {}, {}

    def peak_memory(self):
        return PeakMemory(bytes=torch.cuda.max_memory_allocated()), {}


def busy(connection, guards) -> None:
    serve(connection, guards, Busy)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from test_gpu import busy as importable

    workers = []

    def new() -> Worker:
        kind = torch.cuda.get_device_name()
        workers.append(Worker(importable, device_kind=kind, memory_limit=64 * 10**9))
        return workers[-1]

    yield new
    for worker in workers:
        worker.close()


def test_the_clock_waits_for_the_device(start) -> None:
    """To hand over 200 products takes milliseconds; to compute them takes as long as a device of 1 petaflop needs, at least."""
    worker = start()
    worker.ask("multiply", times=1)
    before = worker.clock()
    worker.ask("multiply", times=200)
    assert worker.clock() - before >= 200 * 2 * 4096**3 / 1e15


def test_peak_memory_is_the_devices(start) -> None:
    worker = start()
    worker.ask("multiply", times=1)
    assert 2 * 4 * 4096**2 <= worker.ask("peak_memory").read(PeakMemory).bytes < 10**9


def test_a_hung_kernel_is_killed_and_the_next_process_is_unharmed(start) -> None:
    worker = start()
    worker.ask("multiply", times=1)
    with pytest.raises(WorkerError, match=r"the limit is 2\.0 s") as caught:
        worker.ask("hang", limit=2.0)
    assert caught.value.kind == "time"
    assert not worker.alive
    assert start().ask("multiply", times=1).read(Product).sum != 0


@pytest.mark.parametrize(
    "name", sorted({plugin.name for plugin in discovery.plugins(discovery.METHODS)} - {"original", "retrain"})
)
def test_what_is_shipped_conforms(name: str) -> None:
    outcomes = [check.run(subject(name)) for check in CHECKS]
    assert [outcome for outcome in outcomes if outcome.status is Status.FAILED] == []
