"""Tables and numbers that somebody wrote with another program, on another machine."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from bench.errors import BenchError, one_line
from bench.store.files import read_bytes

LARGEST = 2**30  # bytes of a table
OLDEST = 120  # years
_SEPARATORS = ",;\t"  # what spreadsheets write, by country
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]*)?")  # not what Python's own takes: 1_0, nan, digits of other scripts


def read_text(path: Path) -> str:
    """A text in Unicode, with a byte-order mark or without.

    Raises:
        OSError: it cannot be read, or is no file.
        UnicodeDecodeError: it is something else.
    """
    content = read_bytes(path, LARGEST, follow=True)
    return content.decode("utf-16" if content.startswith(_UTF16) else "utf-8-sig")


def read_table(path: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of a CSV file that has at least these columns, in whatever case; without blanks around fields.

    Raises:
        BenchError: it has not, or is no text.
    """
    try:
        text = read_text(path)
        found = next((rows for rows in _tables(text) if not _absent(rows, columns)), None)
        first = next(_tables(text))
    except UnicodeDecodeError as problem:
        raise BenchError(f"{path} cannot be read as CSV: save it as UTF-8") from problem
    except (OSError, csv.Error) as problem:
        raise BenchError(one_line(f"{path} cannot be read as CSV: {problem}")) from problem
    if found is None:
        has = ", ".join(first[0] if first else []) or "none"
        raise BenchError(one_line(f"{path} has no column {_absent(first, columns)[0]}; it has {has}"))
    header = [name.lower() for name in found[0]]
    double = next((name for name in columns if header.count(name) > 1), None)
    if double:
        raise BenchError(f"{path} has two columns {double}")
    return [dict(zip(header, [*row, *[""] * len(header)], strict=False)) for row in found[1:]]


def _tables(text: str) -> Iterator[list[list[str]]]:
    """The same text with one separator after the other."""
    for separator in _SEPARATORS:
        rows = ([field.strip() for field in row] for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator))
        yield [row for row in rows if any(row)]


def _absent(rows: list[list[str]], columns: tuple[str, ...]) -> list[str]:
    header = [name.lower() for name in rows[0]] if rows else []
    return [name for name in columns if name not in header]


def whole(text: str) -> int | None:
    """A whole number in plain digits; None if it is something else.

    >>> whole("31"), whole("1_0"), whole("٣")
    (31, None, None)
    """
    return int(text) if _WHOLE.fullmatch(text) else None


def decades(oldest: int) -> tuple[str, ...]:
    """Age groups of ten years, the last one open.

    >>> decades(30)
    ('0-9', '10-19', '20-29', '30+')
    """
    return (*(f"{start}-{start + 9}" for start in range(0, oldest, 10)), f"{oldest}+")


def decade(age: str, oldest: int) -> int | str:
    """The group of an age in years among `decades(oldest)`, or what is wrong with the age.

    >>> decade("31", 80), decade("99", 80), decade("-1", 80), decade("1_0", 80)
    (3, 8, "age '-1' is out of range", "age '1_0' is no number")
    """
    if not _NUMBER.fullmatch(age):
        return f"age {age!r} is no number" if age else "there is no age"
    years = float(age)
    return min(int(years // 10), oldest // 10) if 0 <= years <= OLDEST else f"age {age!r} is out of range"
