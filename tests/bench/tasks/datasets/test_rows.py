"""Photos count once; copies, files that nothing speaks of and photos that cannot be used are told apart."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bench.tasks.datasets.dataset import Catalogue
from bench.tasks.datasets.rows import Rows, beside


def write(folder: Path, **contents: str) -> Path:
    for name, content in contents.items():
        path = folder / name.replace("__", "/").replace("_jpg", ".jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def test_a_file_counts_once_however_it_is_written(tmp_path: Path) -> None:
    rows = Rows(write(tmp_path, g1_jpg="x"))
    for name in ("g1.jpg", "./g1.jpg", "G1.JPG", str(tmp_path / "g1.jpg")):
        rows.add(name, 3, "ann")
    assert [photo.name for photo in rows.photos] == ["g1.jpg"]
    assert rows.aside == [("g1.jpg", "named twice")] * 3
    rows.add("g1.jpg", 4, "ann")
    assert rows.rejected == [("g1.jpg", "it is named twice, with another age, person or split")]


def test_a_person_is_one_however_an_accent_is_written(tmp_path: Path) -> None:
    rows = Rows(write(tmp_path, a_jpg="x", b_jpg="y"))
    rows.add("a.jpg", 0, "Zo\u00eb")
    rows.add("b.jpg", 0, "Zoe\u0308")
    assert {photo.person for photo in rows.photos} == {"Zo\u00eb"}


def test_copies_in_other_folders_are_one_photo(tmp_path: Path) -> None:
    folder = write(tmp_path, a__1_jpg="same", b__1_jpg="same", c__1_jpg="other")
    rows = Rows(folder, unique_names=True)
    for place in "abc":
        rows.add(f"{place}/1.jpg", 0)
    assert [photo.name for photo in rows.photos] == ["a/1.jpg"]
    assert rows.aside == [("b/1.jpg", "a copy of a photo in another folder")]
    assert rows.rejected == [("c/1.jpg", "another photo has that name in another folder")]


def test_a_bad_label_is_told_before_a_missing_file(tmp_path: Path) -> None:
    rows = Rows(write(tmp_path, a_jpg="x"))
    rows.add("b.jpg", "no age")
    rows.add("b.jpg", 1)
    rows.add("A.jpg", "no\nage")
    assert rows.rejected == [("b.jpg", "no age"), ("b.jpg", "the file is missing"), ("a.jpg", "no age")]


def test_names_that_say_what_is_on_a_photo(tmp_path: Path) -> None:
    for name in ("1_a.jpg", "2_b.JPG", "3_cJPG", "4_d.pg", "x.jfif", "y.heic", "readme.txt", "._1_a.jpg"):
        (tmp_path / name).write_text(name)
    rows = Rows(tmp_path)
    found = {name: match[1] for name, match in rows.named(re.compile(r"([0-9])_.*"), "NUMBER_LETTER")}
    assert found == {"1_a.jpg": "1", "2_b.JPG": "2", "3_cJPG": "3", "4_d.pg": "4"}
    assert rows.rejected == [(name, "the name is not NUMBER_LETTER") for name in ("x.jfif", "y.heic")]


def test_every_other_file_is_counted_with_a_reason(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", a_jpg="x", b_jpg="x", c_jpg="x", d__e_jpg="x")
    for name in (".DS_Store", "table.csv", "readme.pg"):
        (folder / name).write_text("x")
    (folder / "link.jpg").symlink_to(folder / "a.jpg")
    (folder / "lost.jpg").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    rows = Rows(folder)
    rows.add("a.jpg", 0)
    rows.add("b.jpg", "no age")
    found = beside(folder, Catalogue(rows.photos, ("all",), rows.rejected, read=["table.csv"]))
    assert found == [
        (".DS_Store", "hidden"),
        ("c.jpg", "a picture of which nothing is said"),
        ("d/e.jpg", "a picture of which nothing is said"),
        ("lost.jpg", "a link that leads nowhere"),
        ("pipe", "not a file"),
        ("readme.pg", "not a picture, by its name"),
    ]
