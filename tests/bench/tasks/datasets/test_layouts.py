"""Every publisher's layout: what is read from names and tables, and what is said of folders that are laid out in another way."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import shutil
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.model_selection import LeavePGroupsOut
from torch import nn
from torchvision.datasets import CIFAR10
from torchvision.models import resnet18

from bench.errors import BenchError
from bench.models.build import build
from bench.tasks.datasets import mufac
from bench.tasks.datasets.dataset import Catalogue
from bench.tasks.datasets.pictures import UnusablePictureError
from bench.tasks.variants import registered_task
from bench.weights import state

DATASETS = (
    "age-agedb", "age-casia-surf", "age-challenge", "age-fairface", "age-folder", "age-mufac", "age-utkface", "cifar10",
)  # fmt: skip


def scan(task: str, folder: Path) -> Catalogue:
    return registered_task(task).scan(folder)


def parts(catalogue: Catalogue) -> Counter[str]:
    return Counter(photo.part for photo in catalogue.photos)


def test_utkface(miniature) -> None:
    found = scan("age-utkface", miniature("age-utkface"))
    assert Counter(reason for _, reason in found.rejected) == {
        "the name is not AGE_GENDER_RACE_DATE": 1,
        "age '150' is out of range": 1,
    }
    assert all(photo.label == min(int(Path(photo.name).name.partition("_")[0]) // 10, 8) for photo in found.photos)
    assert {photo.person for photo in found.photos} == {""}
    assert parts(found) == {"train": 199, "validation": 24, "test": 25}


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("24_0_1_20170116220224657 .jpg.chip.jpg", 2),  # names as they were published
        ("55_0_0_20170116232725357jpg.chip.jpg", 5),
        ("39_1_20170116174525125.jpg.chip.jpg", 3),
        ("61_1_20170109142408075.jpg.chip.jpg", 6),
        ("61_3_20170109150557335.jpg.chip.jpg", 6),
        ("53__0_20170116184028385.jpg", 5),
        ("1_0_0_2017.JPG", 0),
        ("100_0_0_2017JPG", 8),
        ("30_0_0_2017.jfif", 3),
        ("30_0_0_2017.pg", 3),
        ("1_0.jpg", 0),
    ],
)
def test_utkface_ages_stand_before_the_first_underscore(tmp_path: Path, name: str, group: int) -> None:
    (tmp_path / name).write_text("x")
    found = scan("age-utkface", tmp_path)
    assert [(photo.name, photo.label) for photo in found.photos] == [(name, group)]
    assert not found.rejected


@pytest.mark.parametrize("name", ["_1_0_0_2017.jpg", "٣٠_0_0_2017.jpg", "30.jpg", "a30_0_0_2017.jpg", "-3_0_0_2017.jpg"])
def test_utkface_names_without_an_age(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    found = scan("age-utkface", tmp_path)
    assert found.rejected == [(name, "the name is not AGE_GENDER_RACE_DATE")]


def test_photos_behind_linked_folders_are_found(miniature, tmp_path: Path) -> None:
    for task in ("age-utkface", "age-agedb"):
        there = miniature(task)
        here = tmp_path / f"linked {task}"
        here.mkdir()
        (here / "photos").symlink_to(there)
        before, found = scan(task, there), scan(task, here)
        assert [photo.name for photo in found.photos] == [f"photos/{photo.name}" for photo in before.photos]
        assert [photo[1:] for photo in found.photos] == [photo[1:] for photo in before.photos]


def test_archives_that_hold_everything_twice(miniature) -> None:
    folder = miniature("age-utkface")
    before = scan("age-utkface", folder)
    shutil.copytree(folder / "part 1", folder / "utkface_aligned_cropped" / "UTKFace")
    found = scan("age-utkface", folder)
    assert found.photos == before.photos
    assert Counter(reason for _, reason in found.aside) == {"a copy of a photo in another folder": len(before.photos)}
    copy = folder / "utkface_aligned_cropped" / "UTKFace" / Path(before.photos[0].name).name
    copy.write_bytes(b"another picture")
    assert (copy.relative_to(folder).as_posix(), "another photo has that name in another folder") in scan(
        "age-utkface", folder
    ).rejected


@pytest.mark.parametrize("name", ["1_A B_35_f.jpg", "1_A_B_35_f.jpg", "1_A_35_F.JPG", "1_A_35_mJPG", "1_A_35_m.heic", "1_A_35_f"])
def test_agedb_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    (photo,) = scan("age-agedb", tmp_path).photos
    assert photo.label == 3
    assert photo.person.replace(" ", "_") in ("A_B", "A")


def test_agedb_keeps_people_apart(miniature) -> None:
    found = scan("age-agedb", miniature("age-agedb"))
    people = {part: {photo.person for photo in found.photos if photo.part == part} for part in ("train", "test", "unseen")}
    assert len(people["unseen"]) == 9  # 15 % of 60
    assert people["unseen"].isdisjoint(people["train"] | people["test"])
    assert people["test"] & people["train"]
    assert "Zoë Nº 7" in people["train"] | people["unseen"]
    assert found.rejected == [("readme.jpg", "the name is not NUMBER_NAME_AGE_GENDER")]


def test_fairface(miniature) -> None:
    found = scan("age-fairface", miniature("age-fairface"))
    assert parts(found) == {"train": 180, "validation": 30, "test": 30}
    assert all(photo.name.startswith("train/" if photo.part == "train" else "val/") for photo in found.photos)
    assert Counter(reason for _, reason in found.rejected) == {
        "age 'unknown' is none of the ranges": 2,
        "the file is missing": 2,
    }


@pytest.mark.parametrize("place", ["fairface-img-margin025-trainval", "images"])
def test_fairface_tables_beside_the_extracted_archive(miniature, place: str) -> None:
    folder = miniature("age-fairface")
    before = scan("age-fairface", folder)
    (folder / place).mkdir()
    for split in ("train", "val"):
        (folder / split).rename(folder / place / split)
    found = scan("age-fairface", folder)
    assert [photo.name for photo in found.photos] == [f"{place}/{photo.name}" for photo in before.photos]
    assert [photo[1:] for photo in found.photos] == [photo[1:] for photo in before.photos]
    shutil.copytree(folder / place, folder / "z" / "fairface-img-margin125-trainval")
    assert scan("age-fairface", folder).photos == found.photos


def test_mufac_tables_without_a_published_forget_set(miniature) -> None:
    """Its first rows are other photos than those that the authors' notebooks forget."""
    folder = miniature("age-mufac", variant="fixed")
    found = scan("age-mufac", folder)
    assert parts(found) == {"train": 160, "validation": 40, "test": 20, "unseen": 20}
    assert found.forget == "identities:5%"
    for split in ("train", "val"):  # without the third table they are not taken
        shutil.copy(folder / f"fixed_{split}_dataset.csv", folder / f"custom_{split}_dataset.csv")
    assert scan("age-mufac", folder) == found
    shutil.copy(folder / "fixed_test_dataset.csv", folder / "custom_test_dataset.csv")
    assert parts(scan("age-mufac", folder))["forget"] == 160
    for split in ("train", "val"):
        (folder / f"fixed_{split}_dataset.csv").unlink()
    (folder / "custom_test_dataset.csv").unlink()
    with pytest.raises(BenchError, match=r"looked for custom_train_dataset\.csv, custom_val"):
        scan("age-mufac", folder)


def test_mufac(miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mufac, "FORGOTTEN", 40)
    found = scan("age-mufac", miniature("age-mufac"))
    assert not found.forget  # the dataset's own: as published
    assert parts(found) == {"forget": 40, "train": 120, "validation": 40, "test": 20, "unseen": 20}
    forgotten = [photo for photo in found.photos if photo.part == "forget"]
    assert forgotten == found.photos[:40]  # the first rows of the table
    assert {photo.person for photo in forgotten} == {f"F{number:04d}" for number in range(10)}
    assert {reason for _, reason in found.rejected} == {"age class 'z' is none of abcdefgh"}


def test_casia_surf_is_split_as_the_published_code_does(miniature) -> None:
    """An independent reading of surf.py: with numpy's digitize, Python's shuffle and scikit-learn's LeavePGroupsOut."""
    folder = miniature("age-casia-surf")
    table = [line.split() for line in (folder / "Age_Gender.txt").read_text().splitlines()]
    users = np.unique([person for person, _, _ in table])
    ages = np.array([int(age) for _, age, _ in table])
    edges = np.linspace(ages.min(), ages.max() + 1, 11)
    groups = dict(zip([person for person, _, _ in table], np.digitize(ages, edges) - 1, strict=True))
    examples = []
    for place in sorted((folder / "WBackground").glob("*/*"), key=str):
        who, group = np.where(place.name == users)[0][0], groups[place.name]
        paths = sorted((place / "real.rssdk" / "color").glob("*.jpg"), key=str)
        examples += [(path.relative_to(folder).as_posix(), who, group) for path in paths]
    random.Random(43).shuffle(examples)
    trained = examples[: int(0.8 * len(examples))]
    identities = [person for _, person, _ in trained]
    _, forgotten = next(LeavePGroupsOut(15).split(np.zeros((len(trained), 1)), None, identities))
    expected = {name: "train" for name, _, _ in trained} | {trained[index][0]: "forget" for index in forgotten}
    expected |= {name: "validation" for name, _, _ in examples[int(0.8 * len(examples)) : int(0.9 * len(examples))]}
    expected |= {name: "test" for name, _, _ in examples[int(0.9 * len(examples)) :]}

    found = scan("age-casia-surf", folder)
    assert {photo.name: photo.part for photo in found.photos} == expected
    assert {photo.name: photo.label for photo in found.photos} == {name: group for name, _, group in examples}
    counts = Counter(group for _, _, group in trained)
    assert found.class_weights == tuple(1 / counts[group] if counts[group] else 0.0 for group in range(10))


def test_casia_surf_says_which_line_cannot_be_true(miniature) -> None:
    folder = miniature("age-casia-surf")
    table = folder / "Age_Gender.txt"
    before = table.read_text()
    table.write_text(before + before.splitlines()[0] + "\n")  # once more, and the same
    scan("age-casia-surf", folder)
    table.write_text(f"{before}CLKJ_0003 99 F")
    with pytest.raises(BenchError, match=r"Age_Gender\.txt, line 61: CLKJ_0003 is 99 years old here, and \d+ before"):
        scan("age-casia-surf", folder)
    for words in ("1_0 F", "\u0663\u0660 F", "-1 F", "30", "30 F F", f"{'9' * 5000} F"):
        table.write_text(f"{before}CLKJ_0003 {words}", encoding="utf-8")
        with pytest.raises(BenchError, match=r"Age_Gender\.txt, line 61: expected ID AGE GENDER") as refused:
            scan("age-casia-surf", folder)
        assert len(str(refused.value)) < 500


def test_casia_surf_tables_are_texts(miniature) -> None:
    folder = miniature("age-casia-surf")
    (folder / "Age_Gender.txt").unlink()
    os.mkfifo(folder / "Age_Gender.txt")
    with pytest.raises(BenchError, match=r"Age_Gender\.txt cannot be read"):
        scan("age-casia-surf", folder)


def test_challenge_pictures_have_three_channels(tmp_path: Path) -> None:
    dataset = registered_task("age-challenge")
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    assert dataset.open(tmp_path, "a.png").mode == "RGB"
    for mode in ("L", "RGBA", "LA", "P", "1"):
        Image.new(mode, (32, 32)).save(tmp_path / "a.png")
        with pytest.raises(UnusablePictureError, match=f"its colours are {mode}, those of the competition's pictures RGB"):
            dataset.open(tmp_path, "a.png")


def test_challenge_groups_are_whole_numbers_below_ten(miniature) -> None:
    folder = miniature("age-challenge")
    groups = ("10", "-1", "1_0", "\u0663", "x", "")
    with (folder / "forget.csv").open("a", encoding="utf-8") as file:
        file.writelines(f"forget0-0,{group},3,7\n" for group in groups)
    reasons = [f"age group {group!r} is out of range" for group in groups]
    assert scan("age-challenge", folder).rejected == [("images/forget0/0.png", reason) for reason in reasons]


def test_challenge_brings_its_model_and_its_class_weights(miniature) -> None:
    folder = miniature("age-challenge")
    found = scan("age-challenge", folder)
    assert parts(found) == {"forget": 20, "train": 60, "validation": 30, "test": 30}
    assert found.class_weights == tuple(0.5 + group for group in range(10))
    theirs = resnet18(num_classes=10).eval()
    theirs.load_state_dict(torch.load(folder / "original_model.pth", weights_only=True))
    ours: nn.Module = build("resnet18-challenge-v1", 10).eval()
    for name, view in state(ours).items():
        view.copy_(torch.from_numpy(found.original[name][None]))
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(255 * images), rtol=1e-4, atol=1e-4)  # it was trained on 0 to 255


class _Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/never",)


@pytest.mark.parametrize("content", [_Evil(), {"conv1.weight": torch.zeros(3)}, [1, 2]])
def test_challenge_refuses_other_models(miniature, content: object) -> None:
    folder = miniature("age-challenge")
    with (folder / "original_model.pth").open("wb") as file:
        torch.save(content, file)
    with pytest.raises(BenchError, match=r"original_model\.pth is not the weights of a ResNet-18"):
        scan("age-challenge", folder)


def test_challenge_refuses_other_class_weights(miniature) -> None:
    folder = miniature("age-challenge")
    numbers = ("[1, 2]", "[-1,1,1,1,1,1,1,1,1,1]", '["NaN",1,1,1,1,1,1,1,1,1]', f"[{'9' * 400},1,1,1,1,1,1,1,1,1]")
    for content in ("", "{}", "nonsense", "7", "[" * 100_000, *numbers):
        (folder / "age_class_weights.json").write_text(content)
        with pytest.raises(BenchError, match=r"age_class_weights\.json"):
            scan("age-challenge", folder)


def test_cifar10_in_both_versions_is_the_same(miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = miniature("cifar10")
    dataset = registered_task("cifar10")
    binary = dataset.scan(folder)
    assert parts(binary) == {"train": 200, "validation": 20, "test": 20}
    pictures = [np.asarray(dataset.open(folder, photo.name)) for photo in binary.photos]
    _as_pickles(folder, monkeypatch)
    python = dataset.scan(folder)
    assert [photo[1:] for photo in python.photos] == [photo[1:] for photo in binary.photos]
    again = [np.asarray(dataset.open(folder, photo.name)) for photo in python.photos]
    assert all(np.array_equal(one, other) for one, other in zip(pictures, again, strict=True))


def _as_pickles(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version for Python, with the checksums that torchvision demands of it."""
    place = folder / "cifar-10-batches-py"
    place.mkdir()
    known = {}
    for path in sorted((folder / "cifar-10-batches-bin").glob("*.bin")):
        rows = np.fromfile(path, np.uint8).reshape(-1, 3073)
        (place / path.stem).write_bytes(pickle.dumps({"data": rows[:, 1:], "labels": rows[:, 0].tolist()}))
        known[path.stem] = hashlib.md5((place / path.stem).read_bytes()).hexdigest()
    (place / "batches.meta").write_bytes(pickle.dumps({"label_names": ["a"] * 10}))
    meta = hashlib.md5((place / "batches.meta").read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR10, "train_list", [[name, known[name]] for name in known if name != "test_batch"])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", known["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": meta})


def test_cifar10_as_folders_of_pictures(miniature, tmp_path: Path) -> None:
    batches = miniature("cifar10")
    dataset = registered_task("cifar10")
    before = scan("cifar10", batches)
    for number, photo in enumerate(before.photos):
        split = "train" if photo.part == "train" else "test"
        path = tmp_path / "png" / split / before.groups[photo.label] / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.open(batches, photo.name).save(path)
    (tmp_path / "png" / "train" / "airplane").mkdir(exist_ok=True)
    (tmp_path / "png" / "train" / "airplane" / "labels.txt").write_text("x")
    found = scan("cifar10", tmp_path / "png")
    assert not found.rejected
    assert sorted(parts(found).items()) == sorted(parts(before).items())
    for photo in found.photos:
        original = before.photos[int(Path(photo.name).stem)]
        assert photo.label == original.label
        assert np.array_equal(dataset.open(tmp_path / "png", photo.name), dataset.open(batches, original.name))


def test_cifar10_empty_batches_hold_nothing(miniature) -> None:
    folder = miniature("cifar10")
    for path in folder.rglob("*.bin"):
        path.write_bytes(b"")
    assert not scan("cifar10", folder).photos


def test_cifar10_batches_are_files(miniature) -> None:
    folder = miniature("cifar10")
    (folder / "cifar-10-batches-bin" / "test_batch.bin").unlink()
    os.mkfifo(folder / "cifar-10-batches-bin" / "test_batch.bin")
    with pytest.raises(BenchError, match=r"test_batch\.bin cannot be read"):
        scan("cifar10", folder)


def test_cifar10_never_unpickles_what_was_not_published(miniature, tmp_path: Path) -> None:
    folder = miniature("cifar10")
    place = folder / "cifar-10-batches-py"
    place.mkdir()
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"):
        (place / name).write_bytes(pickle.dumps(_Evil()))
    with pytest.raises(BenchError, match="is not what was published"):
        scan("cifar10", folder)
    assert not Path("/tmp/never").exists()


def test_cifar10_batches_of_another_length_are_refused(miniature) -> None:
    folder = miniature("cifar10")
    with (folder / "cifar-10-batches-bin" / "data_batch_2.bin").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BenchError, match="its length is wrong"):
        scan("cifar10", folder)


def test_own_photos(miniature) -> None:
    found = scan("age-folder", miniature("age-folder"))
    assert found.forget == "identities:5%"
    assert sorted(found.rejected) == [
        ("../secret.png", "the path leads out of the folder"),
        ("Ordner 0/Bild 0 ä.png", "age 'old' is no number"),
    ]


def test_a_photo_that_is_named_twice_counts_once(miniature) -> None:
    folder = miniature("age-folder")
    before = scan("age-folder", folder)
    first = (folder / "photos.csv").read_text().splitlines()[1]
    with (folder / "photos.csv").open("a") as file:
        file.write(f"{first}\n")
    found = scan("age-folder", folder)
    assert found.photos == before.photos
    assert found.aside == [(first.split(",")[0], "named twice")]
    with (folder / "photos.csv").open("a") as file:
        file.write(f"{first.split(',')[0]},99,nobody else\n")
    assert scan("age-folder", folder).rejected[-1][1] == "it is named twice, with another age, person or split"


def test_a_table_that_another_system_wrote(miniature) -> None:
    folder = miniature("age-folder")
    before = scan("age-folder", folder)
    lines = (folder / "photos.csv").read_text(encoding="utf-8").splitlines()
    rows = [line.split(",") for line in lines[1:]]
    ways = (
        lambda path: path,
        lambda path: path.replace("/", "\\"),
        str.upper,
        lambda path: f"{folder}/{path}",
        lambda path: f"./{path}",
    )
    written = [f" {ways[number % 5](path)} ; {age} ; {person} " for number, (path, age, person) in enumerate(rows[:-2])]
    text = unicodedata.normalize("NFD", "\r\n".join([" Path ; AGE ; Person ", *written]))
    (folder / "photos.csv").write_bytes(text.encode("utf-16"))
    found = scan("age-folder", folder)
    assert found.photos == before.photos
    assert not found.rejected


def test_the_table_may_be_called_in_capitals_and_has_no_hidden_second(miniature) -> None:
    folder = miniature("age-folder")
    before = scan("age-folder", folder)
    (folder / "photos.csv").rename(folder / "Photos.CSV")
    (folder / "._Photos.CSV").write_text("x")
    found = scan("age-folder", folder)
    assert found.photos == before.photos
    (folder / "other.csv").write_text("x")
    with pytest.raises(BenchError, match=r"must have one CSV file.*found Photos\.CSV, other\.csv"):
        scan("age-folder", folder)
    (folder / "other.csv").unlink()
    (folder / "photos.of.csv").mkdir()
    assert scan("age-folder", folder).photos == before.photos


@pytest.mark.parametrize("word", ["nan", "None", "<NA>", "null"])
def test_persons_that_a_program_did_not_know(miniature, word: str) -> None:
    folder = miniature("age-folder")
    lines = (folder / "photos.csv").read_text(encoding="utf-8").splitlines()
    kept = [f"{line.rpartition(',')[0]},{word}" if number % 2 else line for number, line in enumerate(lines[1:241])]
    (folder / "photos.csv").write_text("\n".join([lines[0], *kept]), encoding="utf-8")
    found = scan("age-folder", folder)
    assert [photo.person for photo in found.photos[1::2]] == [""] * 120
    assert all(photo.person for photo in found.photos[::2])
    assert found.remarks == [f"the person of 120 of 240 photos is '{word}': taken for somebody who is not known"]


def test_a_pipe_in_the_place_of_the_table_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "photos.csv")
    with pytest.raises(BenchError, match=r"photos\.csv cannot be read as CSV"):
        scan("age-folder", tmp_path)


def test_own_photos_with_splits(miniature) -> None:
    folder = miniature("age-folder")
    names = [line.split(",")[0] for line in (folder / "photos.csv").read_text().splitlines()[1:8]]
    splits = ["train", "forget", "validation", "test", "unseen", "train", "nowhere"]
    rows = [f"{name},30,{split}" for name, split in zip(names, splits, strict=True)]
    (folder / "photos.csv").write_text("\n".join(["path,age,split", *rows]))
    found = scan("age-folder", folder)
    assert [photo.part for photo in found.photos] == splits[:-1]
    assert found.forget == "published"
    assert found.rejected[0][1].startswith("split 'nowhere' is none of")
    (folder / "photos.csv").write_text("\n".join(["path,age,split", *rows[:3], f"{names[3]},30,"]))
    with pytest.raises(BenchError, match="for some photos only"):
        scan("age-folder", folder)


@pytest.mark.parametrize("task", DATASETS)
def test_another_layout_is_refused_in_one_line_that_says_what_was_found(task: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="there is no folder"):
        scan(task, tmp_path / "nowhere")
    (tmp_path / "holiday.txt").write_text("x")
    with pytest.raises(BenchError, match="found") as refused:
        scan(task, tmp_path)
    assert "\n" not in str(refused.value)
    if task != "age-folder":
        assert "looked for" in str(refused.value)
        assert "holiday.txt" in str(refused.value)


@pytest.mark.parametrize(
    ("task", "table", "column"),
    [
        ("age-fairface", "fairface_label_val.csv", "file"),
        ("age-mufac", "custom_val_dataset.csv", "image_path"),
        ("age-challenge", "forget.csv", "image_id"),
    ],
)
def test_a_table_without_a_column_is_named(miniature, task: str, table: str, column: str) -> None:
    folder = miniature(task)
    (folder / table).write_text("other,columns\n1,2\n")
    with pytest.raises(BenchError, match=rf"{table} has no column {column}; it has other, columns"):
        scan(task, folder)


@pytest.mark.parametrize("task", DATASETS)
def test_every_dataset_says_what_it_may_be_used_for_and_where_it_is_had(task: str) -> None:
    dataset = registered_task(task)
    assert dataset.licence
    assert dataset.obtain
    page = (Path(__file__).parents[4] / "docs" / "guide" / "datasets.md").read_text(encoding="utf-8")
    assert f"`{task}`" in page
