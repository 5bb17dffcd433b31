"""Paths as users write them, on the command line, in variables and in Python."""

from __future__ import annotations

from pathlib import Path

from bench.errors import BenchError


def expanded(path: str | Path) -> Path:
    """A path with the home folder for `~`: shells see only one that begins a word, not that of `--store=~/results`.

    Raises:
        BenchError: whose home is meant nobody knows.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:  # the user has no home, or there is no such user
        raise BenchError(f"{path} begins with a home folder that nobody knows here; write the whole path") from None
