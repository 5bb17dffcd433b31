"""bench: the benchmark of machine unlearning."""

from bench.errors import BenchError
from bench.hookspecs import hookimpl
from bench.method import Control, Method

__all__ = ["BenchError", "Control", "Method", "hookimpl"]
