"""Where a section writes what it finds, and how it measures seconds."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Picked = TypeVar("Picked")

ROOT = Path(__file__).parents[2]
REPORT = "report.jsonl"


@dataclass(frozen=True)
class Findings:
    """The findings of one section, and what it must know to make them."""

    folder: Path
    section: str
    device: str  # "cuda", or "cpu" for a rehearsal
    ends: float  # when the time box ends, as `time.monotonic` counts
    scratch: Path  # for all sections of a report, removed after the last one
    task: str  # of which models are trained

    @property
    def cuda(self) -> bool:
        """Whether this is no rehearsal."""
        return self.device == "cuda"

    @property
    def left(self) -> float:
        """Seconds until a second before the time box ends."""
        return max(self.ends - 1.0 - time.monotonic(), 0.1)

    @property
    def store(self) -> Path:
        """The store that sections share."""
        return self.scratch / "store"

    def pick(self, full: Picked, rehearsed: Picked) -> Picked:
        """The size of a measurement, and its size in a rehearsal."""
        return full if self.cuda else rehearsed

    def put(self, what: str, **values: object) -> None:
        """Write one finding."""
        line = json.dumps({"section": self.section, "what": what, **values}, default=str)
        with (self.folder / REPORT).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)

    def failed(self, what: str, problem: BaseException) -> None:
        """Write why something could not be found."""
        self.put(what, error=f"{type(problem).__name__}: {str(problem)[:300]}")

    def attempt(self, what: str, do: Callable[..., object], *arguments: object) -> None:
        """Do it; that it goes wrong is a finding, and the section goes on."""
        try:
            do(*arguments)
        except Exception as problem:
            self.failed(what, problem)
            traceback.print_exc()

    def command(self, section: str, seconds: float) -> list[str]:
        """What measures a section in a process of its own."""
        where = ["--out", str(self.folder), "--device", self.device, "--scratch", str(self.scratch), "--task", self.task]
        return [
            sys.executable,
            str(Path(__file__).with_name("report.py")),
            *where,
            "--section",
            section,
            "--seconds",
            str(seconds),
        ]


def synchronise(device: str) -> None:
    """Wait until a device has done what it was asked."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def seconds_of(do: Callable[[], object], device: str, repeats: int = 1) -> float:
    """Mean seconds of a call, with the device idle before the first and after the last one."""
    synchronise(device)
    start = time.perf_counter()
    for _ in range(repeats):
        do()
    synchronise(device)
    return (time.perf_counter() - start) / repeats
