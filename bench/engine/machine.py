"""The machine that computes: its devices, processor and memory."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.engine.worker.answers import Devices
from bench.engine.worker.process import Worker, context
from bench.errors import BenchError


@dataclass(frozen=True)
class Device:
    """Where models are computed. `kind` is `cpu` or the CUDA device's name, and part of a row's division."""

    kind: str
    torch_name: str  # "cpu" or "cuda"
    processor: str  # the host's processor
    environment: Mapping[str, str]

    @property
    def timed_as(self) -> str:
        """What times belong to: the processor, or the CUDA device."""
        return self.processor if self.kind == "cpu" else self.kind


def find_device(wanted: str) -> Device:
    """The device that `auto`, `cpu` or `cuda` means here; a child looks, so that this process needs no torch."""
    from bench.engine.worker.entries import probe

    with Worker(context("cpu"), probe) as worker:
        found = worker.ask("devices").read(Devices)
    if wanted == "cuda" and not found.cuda:
        raise BenchError("no CUDA device is available; use --device cpu")
    use_cuda = bool(found.cuda) and wanted != "cpu"
    return Device(found.cuda if use_cuda else "cpu", "cuda" if use_cuda else "cpu", processor(), found.environment)


def processor() -> str:
    """The host processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def default_memory_limit(workers: int) -> int:
    """Bytes that a trial's processes may have: an even share of what is free now, less a tenth for everybody else."""
    return int(0.9 * psutil.virtual_memory().available / workers)
