"""Syntax trees of source texts, in one thread at a time."""

from __future__ import annotations

import ast
import inspect
import threading
from typing import Any

_ONE_AT_A_TIME = threading.Lock()


def source_of(thing: Any) -> str:
    """The text of a module, class or function; of a class `inspect` makes the tree of its module.

    Raises:
        OSError, TypeError: it was made at run time.
    """
    with _ONE_AT_A_TIME:
        return inspect.getsource(thing)


def parsed(source: str | bytes) -> ast.Module:
    """The tree of a module's text.

    CPython 3.11 counts the depth of a tree for all threads together: where two make one and are switched in the middle, one gets
    a SystemError about a "recursion depth mismatch" (python/cpython issue 106905).

    Raises:
        SyntaxError, ValueError: it is no Python, or is nested more deeply than Python reads.
    """
    try:
        with _ONE_AT_A_TIME:
            return ast.parse(source)
    except (RecursionError, MemoryError) as problem:  # from some depth on the parser's own stack is full, which is the latter
        raise ValueError("it is nested too deeply") from problem
