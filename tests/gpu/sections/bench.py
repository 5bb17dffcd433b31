"""The product itself: references, trials, timed trials and scores, as `bench run` makes them (seconds)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from command import call_bench, methods, models, run_folders
from findings import Findings

if TYPE_CHECKING:
    from bench.store.records import RunRecord

RUNS = "runs.jsonl"  # the records of all runs


def measure(findings: Findings) -> None:
    """Seconds of `bench run` of each method, the first one with the references, and what the records say of time and memory."""
    for name in methods(findings):
        findings.attempt(f"bench run {name}", _run, findings, name)


def _run(findings: Findings, name: str) -> None:
    count = models(findings)
    where = ("--task", findings.task, "--device", findings.device)
    budget = findings.pick("20%", "100s")  # a fifth of a second's training is too little to measure a trial by
    done = call_bench(findings, "run", "--plugin", name, *where, "--models", count, "--budget", budget)
    findings.put(f"bench run {name} N={count}", code=done.code, seconds=round(done.seconds, 1))
    for folder in run_folders(findings, name):
        _record(findings, folder)


def _record(findings: Findings, folder: Path) -> None:
    from bench.store.runs import RECORD, Run

    record = Run.read(folder).record
    findings.put(f"run {record.method.name} on {record.device.kind}", **_said(record))
    with (findings.folder / RUNS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(json.loads((folder / RECORD).read_text(encoding="utf-8"))) + "\n")


def _said(record: RunRecord) -> dict[str, object]:
    """Seconds of retraining, of the budget and of the timed trials; phases of the first chunk; bytes at the peak."""
    from bench.store.records import Failed, Killed, Measured, NotTimed

    chunks = [chunk for chunk in record.chunks if isinstance(chunk, Measured)]
    timed = record.alone
    other = [
        trial.failure if isinstance(trial, NotTimed) else trial.killed
        for trial in record.timed
        if isinstance(trial, NotTimed | Killed)
    ]
    return {
        "retraining": round(record.retraining_seconds, 3),
        "allowance": round(record.allowance_seconds, 4),
        "timed": [round(each.seconds, 4) for each in timed],
        "beside": [[round(seconds, 3) for seconds in each.retraining] for each in timed],
        "shares": [round(share, 4) for share in record.timing.shares],
        "over_budget": record.timing.over_budget,
        "not_timed": [text[:200] for text in other],
        "failures": [chunk.failure[:200] for chunk in record.chunks if isinstance(chunk, Failed)],
        "stack_size": record.stack_size,
        "chunk": _rounded(chunks[0].phases) if chunks else None,
        "timed_phases": _rounded(timed[0].phases) if timed else None,
        "peak_memory": [part.peak_memory for part in (*chunks, *timed)],
        "peak_host_memory": [part.peak_host_memory for part in (*chunks, *timed)],
    }


def _rounded(phases: dict[str, float]) -> dict[str, float]:
    return {name: round(seconds, 3) for name, seconds in phases.items()}
