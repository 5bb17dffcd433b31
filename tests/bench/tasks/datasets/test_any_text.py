"""Whatever stands in a name or a table: its reader gives a value, or says in one line what is wrong."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.tasks.datasets import challenge
from bench.tasks.datasets.challenge import WEIGHTS, _read_class_weights
from bench.tasks.datasets.dataset import PARTS, Catalogue
from bench.tasks.datasets.files import Names, UnusableNameError
from bench.tasks.datasets.rows import beside
from bench.tasks.datasets.tables import decade, decades, read_table, whole
from bench.tasks.forget import Choice, _read_positions
from bench.tasks.variants import registered_task

some = settings(derandomize=True, max_examples=20, database=None)

NUMBERS = st.text("0123456789_.-+eE \u0660\u00b2", max_size=8)
KNOWN = (
    "",
    "nan",
    "inf",
    "..",
    "/",
    "\\",
    "\0",
    "train",
    "forget",
    "test",
    "a",
    "20-29",
    "7",
    "F0001_a1.jpg",
    "a-b",
    "ä.jpg",
    "A\u0308.JPG",
)
WORDS = st.text(max_size=12) | NUMBERS | st.sampled_from(KNOWN)
NAMES = st.lists(WORDS | st.sampled_from(["/", "\\", "./", "../", "ä.jpg", "sub", " ", "C:"]), max_size=5).map("".join)
FILES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)
FIELDS = st.lists(st.lists(NAMES | WORDS, max_size=6), max_size=6)
HEADERS = {
    "age-folder": ["path", "age", "person", "split"],
    "age-fairface": ["file", "age"],
    "age-mufac": ["image_path", "age_class"],
    "age-challenge": ["image_id", "age_group", "person_id"],
}
TABLES = {
    "age-folder": ["photos.csv"],
    "age-fairface": ["fairface_label_train.csv", "fairface_label_val.csv"],
    "age-mufac": [f"custom_{split}_dataset.csv" for split in ("train", "val", "test")],
    "age-challenge": ["retain.csv", "forget.csv", "validation.csv"],
}
FOLDERS = ("train/sub", "val", "train_images", "val_images", "test_images", "images/a")
LABELS = "Age_Gender.txt"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has all that these layouts ask for, but tables."""
    folder = tmp_path_factory.mktemp("any")
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
        (folder / name / "ä.jpg").write_text("x")
    (folder / "a").write_text("x")
    (folder / challenge.MODEL).write_text("x")
    (folder / WEIGHTS).write_text("[1,1,1,1,1,1,1,1,1,1]")
    return folder


def answer(read: Callable[[], Any]) -> Any:
    """What a reader says; None if that is what is wrong, in one line."""
    try:
        return read()
    except (BenchError, UnusableNameError) as problem:
        said = str(problem)
    assert said.strip()
    assert said.isprintable()
    assert len(said) < 1000
    return None


def check(folder: Path, found: Catalogue | None) -> None:
    for photo in found.photos if found else ():
        assert (folder / photo.name).resolve().is_relative_to(folder)
        assert photo.label in range(len(found.groups))
        assert photo.part in PARTS
    for _, reason in (*found.rejected, *beside(folder, found)) if found else ():
        assert reason
        assert reason.isprintable()


def write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


@some
@given(WORDS)
def test_numbers(text: str) -> None:
    group, number = decade(text, 80), whole(text)
    assert group.isprintable() if isinstance(group, str) else group in range(len(decades(80)))
    assert number is None or text.lstrip("-0") == str(abs(number)).lstrip("0")


@some
@given(text=NAMES, within=st.sampled_from(["", "train", "absent"]))
def test_names(place: Path, text: str, within: str) -> None:
    found = answer(lambda: Names(place).find(text, within))
    assert found is None or (place / found).exists()


@some
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: f"path,age\n{text}".encode()))
def test_tables(place: Path, content: bytes) -> None:
    (place / "table.txt").write_bytes(content)
    found = answer(lambda: read_table(place / "table.txt", "path", "age"))
    assert found is None or all(isinstance(value, str) for row in found for value in row.values())


@pytest.mark.parametrize("task", HEADERS)
@some
@given(rows=FIELDS)
def test_rows(place: Path, task: str, rows: list[list[str]]) -> None:
    for other in place.glob("*.csv"):
        other.unlink()
    for table in TABLES[task]:
        write(place / table, [HEADERS[task], *rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(challenge, "_read_model", lambda path: {})
        check(place, answer(lambda: registered_task(task).scan(place)))


@some
@given(lines=st.lists(st.lists(WORDS, max_size=4).map(" ".join), max_size=4))
def test_ages_of_people(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    folder = tmp_path_factory.mktemp("casia")
    (folder / "WBackground" / "1" / "ann" / "real.rssdk" / "color").mkdir(parents=True)
    (folder / "WBackground" / "1" / "ann" / "real.rssdk" / "color" / "1.jpg").write_text("x")
    (folder / LABELS).write_text("\n".join(["ann 30 F", *lines]), encoding="utf-8")
    check(folder, answer(lambda: registered_task("age-casia-surf").scan(folder)))


@pytest.mark.parametrize("task", ["age-utkface", "age-agedb", "cifar10"])
@some
@given(names=st.lists(FILES | st.builds("{}_{}_{}_f{}".format, WORDS, WORDS, WORDS, WORDS), max_size=4))
def test_names_of_files(tmp_path_factory: pytest.TempPathFactory, task: str, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("names")
    for name in names:
        if "/" not in name and "\0" not in name:
            (folder / name).write_text("x")
    check(folder, answer(lambda: registered_task(task).scan(folder)))


@some
@given(content=st.binary(max_size=40) | st.lists(WORDS, max_size=4).map(lambda words: "\n".join(words).encode()))
def test_weights_and_positions(place: Path, content: bytes) -> None:
    (place / "numbers").write_bytes(content)
    (place / "array").write_bytes(b"\x93NUMPY\x01\x00" + content)
    answer(lambda: _read_class_weights(place / "numbers"))
    for name in ("numbers", "array"):
        found = answer(lambda path=place / name: _read_positions(path, 10))
        assert found is None or found.dtype == int


@some
@given(text=WORDS | st.builds("{}:{}".format, st.sampled_from(["random", "identities", "group", "file", "memorised"]), WORDS))
def test_choices(text: str) -> None:
    found = answer(lambda: Choice.parse(text))
    assert found is None or found.kind in text
