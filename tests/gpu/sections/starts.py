"""How long a child process takes to its first use of the device (seconds): the first one, and one more."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection

from findings import Findings, synchronise

from bench.engine.worker.forking import start_child

CHILDREN = ("the first child", "one more child")  # the first starts the server that forks, which imports torch


def measure(findings: Findings) -> None:
    """Seconds from the start of a child to its answer, and of that: of importing torch, the context, the first convolution."""
    for child in CHILDREN:
        findings.attempt(child, _start, findings, child)


def _start(findings: Findings, child: str) -> None:
    ours, theirs = multiprocessing.Pipe()
    start = time.perf_counter()
    process = start_child(_first_use, theirs, findings.device)
    theirs.close()
    if not ours.poll(findings.left / 2):
        process.kill()
        raise TimeoutError("the child does not answer")
    try:
        phases = ours.recv()
    except EOFError:
        raise ChildProcessError("the child died") from None
    total = time.perf_counter() - start
    process.join(findings.left)
    findings.put(child, total=round(total, 2), **{name: round(seconds, 3) for name, seconds in phases.items()})


def _first_use(connection: Connection, device: str) -> None:
    """In the child: what it has to do before it can train."""
    times = [time.perf_counter()]
    import torch

    times.append(time.perf_counter())
    torch.zeros(1, device=device).add_(1)
    synchronise(device)
    times.append(time.perf_counter())
    layer = torch.nn.Conv2d(3, 16, 5).to(device)
    layer(torch.rand(64, 3, 32, 32, device=device)).sum().backward()
    synchronise(device)
    times.append(time.perf_counter())
    phases = ("import", "context", "first convolution")
    connection.send({name: after - before for name, before, after in zip(phases, times, times[1:], strict=False)})
