"""Every file below a folder is found once, and the file that a table means is found however the table writes it."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.tasks.datasets.files import Names, UnusableNameError, entries, files, is_called_a_picture, look_for


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_linked_folders_are_followed_and_each_is_visited_once(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "b.jpg", "deep/c.jpg")
    folder = touch(tmp_path / "mine", "z/a.jpg")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(tmp_path / "elsewhere" / "deep")
    (folder / "z" / "up").symlink_to(folder)  # a circle
    (folder / "a").symlink_to(folder / "z")  # a real name is preferred
    assert files(folder) == ["again/c.jpg", "linked/b.jpg", "z/a.jpg"]


def test_the_order_is_that_of_other_systems(tmp_path: Path) -> None:
    written, names = ("e\u0308.jpg", "f.jpg", "ez.jpg"), ["ez.jpg", "f.jpg", "\u00eb.jpg"]
    touch(tmp_path / "macos", *written)
    touch(tmp_path / "linux", *names)
    assert files(tmp_path / "linux") == names
    assert [unicodedata.normalize("NFC", name) for name in files(tmp_path / "macos")] == names


def test_what_is_no_file_has_a_reason(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", ".hidden/b.jpg", "__MACOSX/._a.jpg", "sub/._a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "lost.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    assert sorted(entries(tmp_path)) == [
        (".hidden/b.jpg", ""),
        ("__MACOSX/._a.jpg", ""),
        ("a.jpg", ""),
        ("circle", "a link that leads nowhere"),
        ("lost.jpg", "a link that leads nowhere"),
        ("pipe.jpg", "not a file"),
        ("sub/._a.jpg", ""),
    ]
    assert files(tmp_path) == ["a.jpg"]


def test_a_folder_that_cannot_be_opened_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "closed/a.jpg", "open/b.jpg")
    real = os.scandir

    def guarded(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("bench.tasks.datasets.files.os.scandir", guarded)
    assert list(entries(tmp_path)) == [("closed/", "the folder cannot be opened: Permission denied"), ("open/b.jpg", "")]


def test_links_to_a_hidden_folder_give_its_files_a_name(tmp_path: Path) -> None:
    touch(tmp_path, ".annex/a.jpg")
    (tmp_path / "photos").symlink_to(tmp_path / ".annex")
    assert files(tmp_path) == ["photos/a.jpg"]


@pytest.mark.parametrize("name", ["a.jpg", "a.JPG", "a.jfif", "a.HEIC", "a.tiff", "a.jpe", "x/a.avif"])
def test_endings_of_pictures(name: str) -> None:
    assert is_called_a_picture(name)
    assert not is_called_a_picture(f"{name}.txt")


ON_DISK = ("Ordner/Bild ä.PNG", "g1.png", "Part 1/B.jpg", "with\\slash.png", " blank.png", "one/X.png", "one/x.png")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("g1.png", "g1.png"),
        ("./g1.png", "g1.png"),
        (".//g1.png", "g1.png"),
        ("one/../g1.png", "g1.png"),
        (" g1.png ", "g1.png"),
        ("G1.PNG", "g1.png"),
        (".\\G1.png", "g1.png"),
        ("Ordner\\Bild ä.PNG", "Ordner/Bild ä.PNG"),
        (unicodedata.normalize("NFD", "Ordner/Bild ä.PNG"), "Ordner/Bild ä.PNG"),
        (unicodedata.normalize("NFD", "ordner\\bild Ä.png"), "Ordner/Bild ä.PNG"),
        ("part 1\\b.JPG", "Part 1/B.jpg"),
        ("with\\slash.png", "with\\slash.png"),
        ("blank.png", " blank.png"),
        ("one/X.png", "one/X.png"),
        ("one\\x.png", "one/x.png"),
    ],
)
def test_the_file_that_is_meant(tmp_path: Path, written: str, meant: str) -> None:
    names = Names(touch(tmp_path, *ON_DISK))
    assert names.find(written) == meant


def test_names_on_disk_may_be_the_decomposed_ones(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "Zoë/é.png")
    assert Names(touch(tmp_path, name)).find("Zoë/é.png") == name


def test_absolute_paths_may_lead_into_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "mine", "a/b.png")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    assert Names(tmp_path / "mine").find(str(tmp_path / "mine" / "a" / "b.png"), within="train") == "a/b.png"
    assert Names(tmp_path / "link").find(str(tmp_path / "mine" / "a" / "b.png")) == "a/b.png"
    assert Names(tmp_path / "link").find(str(tmp_path / "link" / "a" / "b.png")) == "a/b.png"
    monkeypatch.chdir(tmp_path)
    assert Names(Path("mine")).find(str(tmp_path / "mine" / "a" / "b.png")) == "a/b.png"


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("../secret.png", "leads out of the folder"),
        ("..\\secret.png", "leads out of the folder"),
        ("one/../../secret.png", "leads out of the folder"),
        ("/etc/passwd", "leads out of the folder"),
        ("C:\\Users\\me\\g1.png", "leads out of the folder"),
        ("nothing.png", "the file is missing"),
        ("g1.png/inside.png", "the file is missing"),
        ("ONE/X.PNG", "it may mean 'X.png' or 'x.png'"),
        ("", "there is no file name"),
        (" ", "there is no file name"),
        ("a\0b", "the file is missing"),
    ],
)
def test_names_that_mean_nothing_have_a_reason(tmp_path: Path, written: str, reason: str) -> None:
    with pytest.raises(UnusableNameError, match=reason):
        Names(touch(tmp_path, *ON_DISK)).find(written)


def test_a_folder_that_is_laid_out_in_another_way_is_described(tmp_path: Path) -> None:
    touch(tmp_path, *"abcdefg")
    with pytest.raises(BenchError, match=r"not laid out as X: looked for wanted; found a, b, c, d, e and 2 more"):
        look_for(tmp_path, "X", "wanted")
    with pytest.raises(BenchError, match="there is no folder"):
        look_for(tmp_path / "a", "X")
