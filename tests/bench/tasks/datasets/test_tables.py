"""Tables are read whichever program wrote them; a number is one only if it is written as one."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.tasks.datasets.tables import decade, decades, read_table, whole

ROWS = [{"path": "a ä.jpg", "age": "31"}, {"path": "b.jpg", "age": "40"}]


@pytest.mark.parametrize(
    "content",
    [
        b"path,age\na \xc3\xa4.jpg,31\nb.jpg,40\n",
        b"path, age\r\n a \xc3\xa4.jpg , 31\r\nb.jpg,40",
        b"PATH,Age\na \xc3\xa4.jpg,31\n\n,\nb.jpg,40\n",
        codecs.BOM_UTF8 + b'"path","age"\n"a \xc3\xa4.jpg","31"\nb.jpg,40\n',
        "path,age\na ä.jpg,31\nb.jpg,40\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + "path,age\na ä.jpg,31\nb.jpg,40\n".encode("utf-16-be"),
        b"path;age\na \xc3\xa4.jpg;31\nb.jpg;40\n",
        b"path\tage\na \xc3\xa4.jpg\t31\nb.jpg\t40\n",
        b"path,age\ra \xc3\xa4.jpg,31\rb.jpg,40\r",
    ],
)
def test_tables_of_other_programs(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "photos.csv").write_bytes(content)
    assert read_table(tmp_path / "photos.csv", "path", "age") == ROWS


def test_short_rows_and_long_ones(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text("path,age,person\na.jpg\nb.jpg,40,Bo,more\n")
    assert read_table(tmp_path / "photos.csv", "path", "age") == [
        {"path": "a.jpg", "age": "", "person": ""},
        {"path": "b.jpg", "age": "40", "person": "Bo"},
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has no column path; it has none"),
        (b"file,age\n", "has no column path; it has file, age"),
        (b"Path,path,age\n", "has two columns path"),
        (b"path,age\n\xff\xfe\xfa,3\n", "save it as UTF-8"),
        (b"\xff\xfea", "save it as UTF-8"),
        (b'path,age\n"' + b"x" * 200_000 + b'",3\n', "cannot be read as CSV: field larger"),
    ],
)
def test_what_is_no_table_is_said_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "photos.csv").write_bytes(content)
    with pytest.raises(BenchError, match=said) as refused:
        read_table(tmp_path / "photos.csv", "path", "age")
    assert "\n" not in str(refused.value)


def test_a_table_may_be_a_link_but_no_pipe(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text("path,age\na ä.jpg,31\nb.jpg,40\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "photos.csv")
    assert read_table(tmp_path / "link.csv", "path") == ROWS
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("pipe.csv", ".", "absent.csv"):
        with pytest.raises(BenchError, match="cannot be read as CSV"):
            read_table(tmp_path / name, "path")


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("31", 31), ("007", 7), ("-3", -3)])
def test_whole_numbers(text: str, number: int) -> None:
    assert whole(text) == number


@pytest.mark.parametrize("text", ["", "1_0", " 1", "1 ", "+1", "1.0", "1e1", "٣", "²", "nan", "1\n", "9" * 5000])
def test_what_is_no_whole_number(text: str) -> None:
    assert whole(text) is None


@pytest.mark.parametrize(("age", "group"), [("0", 0), ("9.5", 0), ("10", 1), ("31.", 3), ("079", 7), ("80", 8), ("120", 8)])
def test_ages(age: str, group: int) -> None:
    assert decade(age, 80) == group
    assert len(decades(80)) == 9


@pytest.mark.parametrize("age", ["1_0", "٣٠", "nan", "inf", "1e1", "30-39", "30 years", "0x1f", "9" * 400])
def test_ages_that_are_no_number(age: str) -> None:
    assert decade(age, 80) == f"age {age!r} is no number"


def test_ages_that_nobody_has() -> None:
    assert decade("121", 80) == "age '121' is out of range"
    assert decade("-1", 80) == "age '-1' is out of range"
    assert decade("", 80) == "there is no age"
