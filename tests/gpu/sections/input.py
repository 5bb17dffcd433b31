"""What it costs to have a batch (milliseconds): the engine's own batches, and the loaders that a challenge's function gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from findings import Findings, seconds_of
from torch.utils.data import DataLoader

from bench.registry.batches import ChallengeDataset
from bench.splits import bind

BATCH, STACK = 64, 64


def measure(findings: Findings) -> None:
    """Milliseconds per batch of 64, for a plain network and for a stack of 64."""
    device, count = findings.device, findings.pick(16, 2)
    columns = (
        torch.randint(256, (count * BATCH, 3, 32, 32), dtype=torch.uint8).to(device),
        torch.randint(8, (count * BATCH,)).to(device),
    )
    plain = replace(bind(columns, [0], "retain", stacked=False), identities=torch.arange(count * BATCH).to(device))
    stacked = bind(columns, range(STACK), "retain", stacked=True)
    ways: dict[str, Callable[[], Iterable[object]]] = {
        "split.batches": lambda: plain.batches(BATCH),
        "split.loader": lambda: plain.loader(BATCH),
        "ChallengeDataset loader": lambda: DataLoader(ChallengeDataset(plain), BATCH, shuffle=True),
        f"split.batches, M={STACK}": lambda: stacked.batches(BATCH),
    }
    for name, batches in ways.items():
        findings.attempt(name, _pass, findings, name, batches, count)
    shuffled = seconds_of(lambda: stacked._positions(shuffle=True), device, 3)
    findings.put(f"positions of an epoch, M={STACK}", ms=round(1e3 * shuffled, 3))


def _pass(findings: Findings, name: str, batches: Callable[[], Iterable[object]], count: int) -> None:
    """The second pass: the first one warms up."""
    _, seconds = (seconds_of(lambda: list(map(_drop, batches())), findings.device) for _ in range(2))
    findings.put(name, ms_per_batch=round(1e3 * seconds / count, 3))


def _drop(batch: object) -> None:
    """Keep nothing of a batch."""
