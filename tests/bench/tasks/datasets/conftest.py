"""Miniature copies of every dataset's layout: synthetic people saved as real files, with the odd ones that real folders have."""

from __future__ import annotations

import csv
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import resnet18

from bench.tasks.synthetic_faces import draw_people, photograph

PEOPLE, PHOTOS, SIDE = 60, 4, (60, 70)
MUFAC_EDGES = (0, 7, 13, 20, 31, 46, 56, 67)
FAIRFACE = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")
FAIRFACE_EDGES = (0, 3, 10, 20, 30, 40, 50, 60, 70)
Drawn = list[tuple[int, int, Image.Image]]  # person, age in years, picture


@pytest.fixture(scope="session")
def drawn() -> Drawn:
    people = draw_people(PEOPLE, PHOTOS, person_sd=2.5, photo_sd=1.5, seed=5)
    pictures = (Image.fromarray(pixels.transpose(1, 2, 0)).resize(SIDE) for pixels in photograph(people))
    return [(int(who), int(age), picture) for who, age, picture in zip(people.identity, people.age, pictures, strict=True)]


@pytest.fixture
def miniature(drawn: Drawn, tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder in the layout of a task."""

    def make(task: str, **options: str) -> Path:
        folder = tmp_path / f"my copy of {task}"
        MAKERS[task](folder, drawn, **options)
        return folder

    return make


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where prepared data go."""
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "prepared"))
    return tmp_path / "prepared"


def bomb(path: Path, side: int = 20_000) -> None:
    """A PNG that claims 400 million pixels."""
    parts = {b"IHDR": struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(bytes(100)), b"IEND": b""}
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts.items()
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def _utkface(folder: Path, drawn: Drawn) -> None:
    (folder / "part 1").mkdir(parents=True)
    for number, (who, age, picture) in enumerate(drawn):
        suffix = ".jpg.chip.jpg" if number % 2 else ".jpg"
        picture.save(folder / "part 1" / f"{age}_{who % 2}_{who % 5}_20170109{number:09d}{suffix}", "JPEG")
    odd = folder / "part 1"
    whole = (odd / f"{drawn[0][1]}_0_0_20170109000000000.jpg").read_bytes()
    (odd / "30_0_0_20180000000000001.jpg").write_bytes(whole[: len(whole) // 2])  # truncated
    drawn[1][2].convert("L").save(odd / "31_0_0_20180000000000002.jpg")  # greyscale
    drawn[2][2].convert("CMYK").save(odd / "32_0_0_20180000000000003.jpg")
    turned = Image.Exif()
    turned[0x0112] = 6  # lies on its side
    drawn[3][2].rotate(90, expand=True).save(odd / "33_0_0_20180000000000004.jpg", exif=turned)
    bomb(odd / "34_0_0_20180000000000005.jpg")
    drawn[4][2].save(odd / "35_0_0_20180000000000006.jpg", "PNG")  # wrong extension
    (odd / "36_0_0_20180000000000007.jpg").write_text("not a picture")
    drawn[5][2].save(odd / "39_1_20170109.jpg")  # as in the published data: the race is missing
    drawn[6][2].save(odd / "портрет имя ✨.jpg")
    drawn[7][2].save(odd / "150_1_0_20170109000000.jpg")  # nobody is that old


def _agedb(folder: Path, drawn: Drawn) -> None:
    folder.mkdir(parents=True)
    for number, (who, age, picture) in enumerate(drawn):
        picture.save(folder / f"{number}_Zoë Nº {who}_{age}_{'mf'[who % 2]}.jpg")
    (folder / "readme.jpg").write_text("not a picture")


def _fairface(folder: Path, drawn: Drawn) -> None:
    for split, part in (("train", drawn[: 3 * PEOPLE]), ("val", drawn[3 * PEOPLE :])):
        (folder / split).mkdir(parents=True)
        rows = [["file", "age", "gender", "race", "service_test"]]
        for number, (who, age, picture) in enumerate(part, 1):
            picture.save(folder / split / f"{number}.jpg")
            rows.append([f"{split}/{number}.jpg", _range(age), "Female", "Black", str(who % 2 == 0)])
        rows += [[f"{split}/1.jpg", "unknown", "Male", "White", "True"], [f"{split}/9999.jpg", "20-29", "Male", "White", "True"]]
        _write_csv(folder / f"fairface_label_{split}.csv", rows)


def _range(age: int) -> str:
    return FAIRFACE[np.searchsorted(FAIRFACE_EDGES, age, side="right") - 1]


def _mufac(folder: Path, drawn: Drawn, variant: str = "custom") -> None:
    per_split = {"train": drawn[:160], "val": drawn[160:200], "test": drawn[200:]}
    for split, part in per_split.items():
        images = folder / (f"{split}_images" if variant == "custom" else f"fixed_{split}_dataset")
        images.mkdir(parents=True)
        rows = [["image_path", "age_class"]]
        for number, (who, age, picture) in enumerate(part):
            name = f"F{who:04d}_AGE_D_{age}_a{number}.jpg"
            picture.save(images / name)
            rows.append([name, "abcdefgh"[np.searchsorted(MUFAC_EDGES, age, side="right") - 1]])
        rows.append(["F9999_AGE_D_18_a1.jpg", "z"])
        _write_csv(folder / f"{variant}_{split}_dataset.csv", rows)


def _casia_surf(folder: Path, drawn: Drawn) -> None:
    ages = {f"CLKJ_{who:04d}": (age, "FM"[who % 2]) for who, age, _ in drawn}
    folder.mkdir(parents=True)
    (folder / "Age_Gender.txt").write_text("".join(f"{person} {age} {sex}\n" for person, (age, sex) in ages.items()))
    for number, (who, _, picture) in enumerate(drawn):
        place = folder / "WBackground" / f"session{who % 3}" / f"CLKJ_{who:04d}" / "real.rssdk" / "color"
        place.mkdir(parents=True, exist_ok=True)
        picture.save(place / f"{number:03d}.jpg")


def _challenge(folder: Path, drawn: Drawn) -> None:
    tables = {"forget": drawn[:20], "retain": drawn[20:80], "validation": drawn[180:]}
    for table, part in tables.items():
        rows = [["image_id", "age_group", "age", "person_id"]]
        for number, (who, age, picture) in enumerate(part):
            first, second = f"{table}{who}", str(number)
            (folder / "images" / first).mkdir(parents=True, exist_ok=True)
            picture.resize((32, 32)).save(folder / "images" / first / f"{second}.png")
            rows.append([f"{first}-{second}", str(age // 9), str(age), str(who)])
        _write_csv(folder / f"{table}.csv", rows)
    torch.manual_seed(3)
    torch.save(resnet18(num_classes=10).state_dict(), folder / "original_model.pth")
    (folder / "age_class_weights.json").write_text(json.dumps({str(group): 0.5 + group for group in range(10)}))


def _cifar10(folder: Path, drawn: Drawn) -> None:
    (folder / "cifar-10-batches-bin").mkdir(parents=True)
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    for name, part in zip(names, np.array_split(np.arange(len(drawn)), 6), strict=True):
        rows = [np.append(drawn[index][1] // 9, _planes(drawn[index][2])).astype(np.uint8) for index in part]
        np.concatenate(rows).tofile(folder / "cifar-10-batches-bin" / name)


def _planes(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.resize((32, 32))).transpose(2, 0, 1).ravel()


def _folder(folder: Path, drawn: Drawn) -> None:
    rows = [["path", "age", "person"]]
    for number, (who, age, picture) in enumerate(drawn):
        path = folder / f"Ordner {who % 3}" / f"Bild {number} ä.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
        rows.append([path.relative_to(folder).as_posix(), str(age), f"person {who}"])
    rows += [["../secret.png", "30", "x"], ["Ordner 0/Bild 0 ä.png", "old", "person 0"]]
    _write_csv(folder / "photos.csv", rows)


def _write_csv(path: Path, rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


MAKERS: dict[str, Callable[..., None]] = {
    "age-utkface": _utkface,
    "age-agedb": _agedb,
    "age-fairface": _fairface,
    "age-mufac": _mufac,
    "age-casia-surf": _casia_surf,
    "age-challenge": _challenge,
    "cifar10": _cifar10,
    "age-folder": _folder,
}
