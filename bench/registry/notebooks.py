"""The code of a notebook as one text, as if it were a file: without what only IPython understands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from bench.registry.syntax import parsed

_ABOUT_CODE = re.compile(r"%%(time|timeit|capture|prun)\b[^\n]*")  # what is above code of Python, which runs all the same
_OF_IPYTHON = re.compile(r"(\s*)([%!].*|[\w, ]+=\s*[%!].*|.*\?\s*)")


def code_of(notebook: bytes) -> bytes:
    """The text of all code cells.

    Raises:
        ValueError: it is no notebook.
    """
    try:
        cells = json.loads(notebook)["cells"]
        texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (KeyError, TypeError, ValueError, RecursionError) as problem:
        raise ValueError(f"it has no cells ({type(problem).__name__})") from None
    return "\n".join(_without_magics(text) for text in texts).encode(errors="replace") + b"\n"


def _without_magics(cell: str) -> str:
    cell = _ABOUT_CODE.sub("", cell, count=1) if _ABOUT_CODE.match(cell) else cell
    if cell.startswith("%%"):  # of another language, or a file to be written
        return "\n" * cell.count("\n")
    return cell if _is_python(cell) else "\n".join(_lines(cell))


def _lines(cell: str) -> Iterator[str]:
    """The lines of a cell; what only IPython understands may go on where a line ends with a backslash."""
    goes_on = False
    for line in cell.split("\n"):
        found: Any = _OF_IPYTHON.fullmatch(line)
        left_out = goes_on or found
        yield ("" if goes_on else f"{found[1]}pass") if left_out else line
        goes_on = bool(left_out) and line.rstrip().endswith("\\")


def _is_python(cell: str) -> bool:
    try:
        parsed(cell)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True
