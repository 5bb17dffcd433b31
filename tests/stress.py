"""Runs the tests that start processes three times on a machine that is busy with something else: `tox run -e stress`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TIMES, BUSY = 3, 2  # runs, and processes that never rest on each core
FOLDERS = ("faults", "bench/engine", "bench/executors", "end_to_end")
TESTS = Path(__file__).parent


def main() -> int:
    """How many of the runs had a test that failed."""
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", "-p", "no:benchmark", *sys.argv[1:]]
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY * (os.cpu_count() or 1))]
    try:
        runs = [subprocess.run([*command, *(str(TESTS / name) for name in FOLDERS)], check=False) for _ in range(TIMES)]
    finally:
        for process in busy:
            process.kill()
    return sum(run.returncode != 0 for run in runs)


if __name__ == "__main__":
    sys.exit(main())
