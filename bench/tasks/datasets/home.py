"""Where prepared data lie."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from bench.errors import BenchError
from bench.registry.paths import expanded

HOME = "BENCH_DATA"  # environment variable that says so


def home() -> Path:
    """Where prepared data lie: $BENCH_DATA, or the place that the platform has for such things.

    Raises:
        BenchError: the user has no home, as in some containers.
    """
    if named := os.environ.get(HOME):
        return expanded(named)
    try:
        place = platformdirs.user_data_path("unlearning-bench")
    except (RuntimeError, KeyError):  # it asks for the home folder of a user whom the system does not know
        raise BenchError(f"there is no home folder for prepared data; set {HOME} to a folder that you may write to") from None
    if not place.is_absolute():
        raise BenchError(f"{place} is no place for prepared data; set {HOME} to a folder that you may write to")
    return place
