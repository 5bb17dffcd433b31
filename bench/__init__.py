"""bench: the benchmark of machine unlearning."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.hookspecs import hookimpl
from bench.method import Control, Method

if TYPE_CHECKING:
    from bench.benchmark import Board, Result, Results, load, run

    __version__: str

__all__ = ["BenchError", "Board", "Control", "Method", "Result", "Results", "__version__", "hookimpl", "load", "run"]


def __getattr__(name: str) -> Any:
    """What takes time to import is imported when it is first used: `import bench` costs a few milliseconds."""
    if name == "__version__":
        from importlib.metadata import version

        return version("unlearning-bench")
    if name in __all__:  # what reads results needs no engine
        return getattr(import_module("bench.benchmark" if name == "run" else "bench.scoring.results"), name)
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
