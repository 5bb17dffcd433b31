"""What a benchmark will take, before anybody pays for it: time, memory and disk, by rates that were measured, here or elsewhere.

Everything here is arithmetic; nothing is trained. Each figure says where it comes from.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Literal

from bench.budget import Budget
from bench.errors import BenchError
from bench.metrics.timing import FEWEST_TIMED
from bench.models.devices import DEVICES, FLOAT32, Precision, device_of, is_cpu, precision_of
from bench.models.networks import NETWORKS, Cost
from bench.models.recipe import Recipe
from bench.tasks.answers import output_rows

if TYPE_CHECKING:
    from bench.engine.session import Session

Source = Literal["measured here", "measured elsewhere", "on paper"]

USUAL_SIZE = 32  # pixels of a side, of all rates
_SCORING = 1.0, 0.1  # seconds, and seconds a model, of all metrics: docs/evidence/performance.md
_BETWEEN = 2.0  # seconds between two timed trials, for processes to start and end: docs/evidence/performance.md
_STARTING = {"cpu": 3.5, "gpu": 11.0}  # seconds until the first step: docs/evidence/performance.md and gpu.md
_HOST = {"cpu": 0.4e9, "gpu": 1.1e9}  # bytes of a process before it trains: docs/evidence/performance.md and gpu.md
_FLOAT = 4  # bytes


@dataclass(frozen=True)
class Rate:
    """Training images per second of all models together, at 32 pixels, batches of 64."""

    device: str  # a GPU's name, or "cpu": one thread
    network: str
    alone: float
    stacked: float
    where: str
    precision: Precision = FLOAT32
    memory: int = 0  # bytes, of a GPU


_EPYC, _H200 = "a core of an AMD EPYC", "an H200, with TF32 in convolutions"
RATES = (  # docs/evidence/performance.md and gpu.md
    Rate("cpu", "resnet8-v1", 6_800, 9_200, _EPYC),
    Rate("cpu", "resnet18-v1", 380, 380, _EPYC),
    Rate("NVIDIA H200", "resnet8-v1", 11_600, 232_000, _H200, "tf32", 139 * 2**30),
    Rate("NVIDIA H200", "resnet18-v1", 7_300, 50_500, _H200, "tf32", 139 * 2**30),
)


@dataclass(frozen=True)
class Planned:
    """What is to be computed, and what is known of it."""

    network: str
    cost: Cost | None  # None: the network does not come with bench
    recipe: Recipe
    size: int  # pixels of a side
    classes: int
    training: int  # examples that a retrained model is trained on
    pictures: int  # of all splits
    answered: int  # examples that outputs are kept of
    kind: str  # of the device
    workers: int
    stack: int
    models: int
    budget: Budget
    to_train: int = 0  # models that there are not yet, the original among them
    retraining: float | None = None  # seconds of one, where it was measured here

    @classmethod
    def of(cls, session: Session, models: int, budget: Budget) -> Planned:
        """Of a session, as if everything had to be trained."""
        task, data, cost = session.task, session.data, NETWORKS.get(session.task.network)
        return cls(
            network=task.network,
            cost=cost,
            recipe=task.recipe,
            size=task.size,
            classes=len(task.groups),
            training=len(data.splits["retain"]),
            pictures=len(data.images),
            answered=sum(map(len, output_rows(data).values())),
            kind=session.device.kind,
            workers=session.workers,
            stack=session.stack_size if cost else 1,
            models=models,
            budget=budget,
            to_train=models + 1,
        )


@dataclass(frozen=True)
class Part:
    """Some of it: seconds, and where they come from."""

    name: str
    seconds: float
    source: Source
    told: str = ""


@dataclass(frozen=True)
class Estimate:
    """All of it. Bytes of memory are of one worker, on the device and on its host."""

    planned: Planned
    parts: tuple[Part, ...]
    device_bytes: float
    host_bytes: float
    disk_bytes: float

    @property
    def seconds(self) -> float:
        """Of one method with what it is compared with."""
        return sum(part.seconds for part in self.parts)


def estimate(planned: Planned) -> Estimate:
    """What one method takes that uses its budget up.

    Raises:
        BenchError: nobody has measured anything like it.
    """
    rate = _rate(planned)
    seconds, source, told = _retraining(planned, rate)
    at_once = min(planned.workers, ceil(planned.models / planned.stack)) if is_cpu(planned.kind) else 1  # workers share one GPU
    faster = at_once * (rate.stacked / rate.alone if rate and planned.stack > 1 else 1.0)
    allowance = planned.budget.allowance(seconds)
    epochs = 2 * seconds / planned.recipe.epochs
    starting = _STARTING["cpu" if is_cpu(planned.kind) else "gpu"]
    parts: tuple[Part, ...] = (
        Part("starting", starting, "measured elsewhere", rate.where if rate else _EPYC),
        Part(f"{planned.to_train} models to compare with", planned.to_train * seconds / faster, source, told),
        Part(f"{planned.models} trials, at most", planned.models * allowance / faster, source, told),
        Part(f"{FEWEST_TIMED} timed trials, at most", FEWEST_TIMED * (allowance + epochs + _BETWEEN), source, told),
        Part("all metrics", _SCORING[0] + _SCORING[1] * planned.models, "measured elsewhere", _EPYC),
    )
    if not planned.to_train:
        parts = tuple(part for part in parts if "to compare with" not in part.name)
    return Estimate(planned, parts, *_bytes(planned))


def measured_gpu(text: str) -> tuple[str, int]:
    """The name and the bytes of a GPU that was measured, which part of its name stands for.

    Raises:
        BenchError: there is none of that name.
    """
    gpus = {rate.device: rate.memory for rate in RATES if rate.memory}
    found = [(name, memory) for name, memory in gpus.items() if text.strip() and text.strip().lower() in name.lower()]
    if not found:
        raise BenchError(f"there is no device {text!r}; give {DEVICES}, or one that was measured elsewhere: {', '.join(gpus)}")
    return found[0]


def _rate(planned: Planned) -> Rate | None:
    known = NETWORKS.get(planned.network)
    alike = [name for name, other in NETWORKS.items() if known and other.parameters == known.parameters]
    fits = (rate for rate in RATES if rate.device == device_of(planned.kind) and rate.network in alike)
    return next(fits, None)


def _retraining(planned: Planned, rate: Rate | None) -> tuple[float, Source, str]:
    """Seconds of one retraining."""
    if planned.retraining:
        return planned.retraining, "measured here", "one retraining"
    if rate is None:
        known = f"known are {', '.join(NETWORKS)} on {' and '.join(dict.fromkeys(each.device for each in RATES))}"
        wanted = f"{planned.network} on {device_of(planned.kind)}"
        raise BenchError(f"nobody has measured {wanted}: {known}; --measure trains an epoch on a device that is here")
    seconds = planned.recipe.epochs * planned.training * (planned.size / USUAL_SIZE) ** 2 / rate.alone
    alike = planned.size == USUAL_SIZE and rate.network == planned.network and precision_of(planned.kind) == rate.precision
    source: Source = "measured elsewhere" if alike else "on paper"
    return seconds, source, rate.where


def _bytes(planned: Planned) -> tuple[float, float, float]:
    """Of memory on the device and on the host, and of disk."""
    models = planned.stack * (planned.cost.training_bytes(planned.size, planned.recipe.batch_size) if planned.cost else 0)
    pictures = planned.pictures * 3 * planned.size**2
    answers = _FLOAT * planned.answered * planned.classes * (planned.models + planned.to_train)
    if is_cpu(planned.kind):
        return 0.0, _HOST["cpu"] + models + pictures, answers
    return float(models + pictures), _HOST["gpu"] + pictures, answers
