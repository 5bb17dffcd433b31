"""Whether the same stack, run again on this device, answers the same bit for bit."""

from __future__ import annotations

import json

from command import call_bench, methods, run_folders
from findings import Findings

EQUAL = "bit for bit the stored outputs"  # what `bench verify` says


def measure(findings: Findings) -> None:
    """Seconds of `bench verify --rerun 1` of the first method's run, and what it saw."""
    wanted = run_folders(findings, methods(findings)[0])
    if not wanted:
        findings.put("bench verify --rerun 1", error="there is no run to repeat")
    for folder in wanted:
        done = call_bench(findings, "verify", folder.name, "--rerun", 1, "--json")
        checks = json.loads(done.said or "{}").get(folder.name, [])
        seen = next((check["seen"] or check["problem"] for check in checks if check["point"].startswith("rerun")), "nothing")
        findings.put("bench verify --rerun 1", code=done.code, seconds=round(done.seconds, 1), bit_equal=seen == EQUAL, said=seen)
