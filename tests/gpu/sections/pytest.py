"""The project's own tests for GPUs."""

from __future__ import annotations

import subprocess
import sys

from findings import ROOT, Findings

TESTS = "tests/bench/test_gpu.py"
LOG = "pytest.log"
BAD = ("FAILED", "ERROR")


def measure(findings: Findings) -> None:
    """What pytest says of them; without a GPU all are skipped."""
    if not (ROOT / TESTS).exists():
        raise FileNotFoundError(TESTS)
    words = [TESTS, "-m", "gpu", "-q", "-rA", "--durations=0", "-p", "no:cacheprovider"]
    command = [sys.executable, "-P", "-m", "pytest", *words]
    with (findings.folder / LOG).open("w", encoding="utf-8") as log:  # what was written is there when it takes too long
        code: int | str
        try:
            code = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, timeout=findings.left, check=False).returncode
        except subprocess.TimeoutExpired:
            code = "out of time"
    lines = (findings.folder / LOG).read_text(encoding="utf-8").splitlines()
    bad = [line[:200] for line in lines if line.startswith(BAD)]
    findings.put("pytest tests/bench/test_gpu.py", code=code, said=next(reversed(lines), ""), failed=bad)
