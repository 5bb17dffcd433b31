"""How long a hung kernel outlives its limit (seconds), when its memory is free, and whether the next process is well."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from typing import Any

import torch
from findings import Findings, seconds_of, synchronise

from bench.engine.worker.answers import Nothing
from bench.engine.worker.guards import Guards
from bench.engine.worker.loop import serve
from bench.engine.worker.process import Worker
from bench.errors import WorkerError

MEMORY_LIMIT = 64 * 10**9  # bytes that the child may have: far more than it needs
MEMORY_SECONDS = 20.0  # that its memory may take to be free
SOME = 2**29  # bytes: half of what it holds on a device


class Hang:
    """A server that takes memory, and then a kernel that does not end."""

    def operations(self) -> dict[str, Any]:
        """What can be asked."""
        return {"ready": self.ready, "hang": self.hang}

    def ready(self, device: str) -> tuple[Nothing, dict[str, torch.Tensor]]:
        """Take memory."""
        self.device = device
        self.held = torch.zeros(2**28 if device == "cuda" else 2**20, device=device)
        synchronise(device)
        return Nothing(), {}

    def hang(self) -> None:
        """Never come back."""
        if self.device == "cuda":
            torch.cuda._sleep(10**13)
            synchronise("cuda")
        while True:
            time.sleep(1)


def hanging(connection: Connection, guards: Guards) -> None:
    """The child."""
    serve(connection, guards, Hang)


def measure(findings: Findings) -> None:
    """Seconds since the hung call began: until it is given up, its process is gone, and its memory is free."""
    kind = torch.cuda.get_device_name() if findings.cuda else "a device that is no CPU"
    worker = Worker(hanging, device_kind=kind, memory_limit=MEMORY_LIMIT)
    worker.ask("ready", device=findings.device, limit=findings.left / 2)
    free = torch.cuda.mem_get_info()[0] if findings.cuda else 0
    start = time.perf_counter()
    try:
        worker.ask("hang", limit=findings.pick(2.0, 0.5))
        findings.put("hung kernel", error="it came back")
    except WorkerError as problem:
        after = round(time.perf_counter() - start, 2)
        findings.put("hung kernel", said=str(problem), kind=problem.kind, after=after, alive=worker.alive)
    worker.close()
    findings.put("hung kernel: process gone", after=round(time.perf_counter() - start, 2))
    if findings.cuda:
        _recovery(findings, free, start)


def _recovery(findings: Findings, free: int, start: float) -> None:
    """Seconds until the memory is free; milliseconds of a product in this process."""
    while torch.cuda.mem_get_info()[0] < free + SOME and time.perf_counter() - start < MEMORY_SECONDS:
        time.sleep(0.05)
    back = torch.cuda.mem_get_info()[0] >= free + SOME
    findings.put("hung kernel: memory free", after=round(time.perf_counter() - start, 2), free=back)
    square = torch.rand(4096, 4096, device="cuda")
    findings.put("the device works", ms=round(1e3 * seconds_of(lambda: square @ square, "cuda", 10), 3))
