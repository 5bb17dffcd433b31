"""What all records have in common: types of fields with their bounds, and the one place where numbers become plain.

Records are values: nothing changes in place, and `msgspec.structs.replace` makes another one. Whoever writes one (`files`)
has it checked first, so what can be read was fit to be read when it was written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

from bench.errors import one_line

VERSION = 2  # of every record's form

UNPRINTED = r"\x00-\x1f\x7f-\x9f\ud800-\udfff"
ONE_LINE = rf"\A[^{UNPRINTED}]*\Z"
_DEVICE = rf"cpu|(?!(?i:cpu)\Z)[^\s{UNPRINTED}]([^{UNPRINTED}]*[^\s{UNPRINTED}])?"  # the CPU has one name
ADDRESS = rf"\A(https?://[^\s<>\"'{UNPRINTED}]+)?\Z"
MANY = 100_000  # models, or items of a list
LONGEST_TEXT = 100_000  # characters
MOST_LINES = 100

Short = Annotated[str, Meta(max_length=50, pattern=ONE_LINE)]
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=ONE_LINE)]
OptionalName = Annotated[str, Meta(max_length=200, pattern=ONE_LINE)]
Line = Annotated[str, Meta(max_length=1000, pattern=ONE_LINE)]
Address = Annotated[str, Meta(max_length=1000, pattern=ADDRESS)]
Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]
Lines = Annotated[dict[str, Line], Meta(max_length=MOST_LINES)]
DeviceKind = Annotated[str, Meta(min_length=1, max_length=200, pattern=rf"\A({_DEVICE})\Z")]
OptionalDeviceKind = Annotated[str, Meta(max_length=200, pattern=rf"\A({_DEVICE})?\Z")]
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Number = Annotated[float, Meta(ge=-1e30, le=1e30)]  # beyond, squares of squares overflow
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
PositiveSeconds = Annotated[float, Meta(gt=0, le=1e9)]
Whole = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Index = Annotated[int, Meta(ge=0, le=MANY)]
Positive = Annotated[int, Meta(ge=1, le=MANY)]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is kept as JSON. Fields that another version may add are not looked at."""


class Envelope(Record, frozen=True, kw_only=True):
    """What stands beside the fields of every record in its file."""

    schema_version: Annotated[int, Meta(ge=0)]
    sha256: str = ""


R = TypeVar("R", bound=Record)


def plain(value: object) -> Any:
    """A record, or part of one, as dicts, lists and Python's own numbers.

    Raises:
        ValueError: a number in it is not finite; the message says where.
    """
    built = msgspec.to_builtins(value, enc_hook=_python_number)
    if not _is_finite(built):
        where, number = next((where, number) for where, number in _numbers(built, "$") if not math.isfinite(number))
        raise ValueError(f"{number} is not a finite number - at `{where}`")
    return built


def checked(record: R) -> R:
    """The record with Python's own numbers, if it is one that could be read back.

    Raises:
        ValueError: a field is of another type, too large, or not finite; the message says which.
    """
    return msgspec.convert(plain(record), type(record))


def in_words(problem: Exception) -> str:
    """What is wrong with a record, as one line for people, who do not read regular expressions."""
    text = re.sub(
        r"Expected `str` matching regex '.*'(?= - at|$)",
        "a text of the wrong form, or with characters that do not belong there",
        str(problem),
    )
    return one_line(text)


def _python_number(value: object) -> object:
    """Numbers that come from arrays; msgspec knows Python's own."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be recorded")


def _is_finite(value: object) -> bool:
    """Whether all numbers of plain data are; places are sought only where one is not, since that takes ten times as long."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return all(map(_is_finite, value)) if isinstance(value, list | tuple) else True


def _numbers(value: object, where: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield where, value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _numbers(each, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _numbers(each, f"{where}[{index}]")
