"""Every publisher's layout: what is read from names and tables, and what is said of folders that are laid out in another way."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.model_selection import LeavePGroupsOut
from torch import nn
from torchvision.datasets import CIFAR10
from torchvision.models import resnet18

from bench.errors import BenchError
from bench.models.build import build
from bench.tasks.datasets import mufac
from bench.tasks.datasets.dataset import Catalogue
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
        "the name is not AGE_GENDER_RACE_DATE": 2,
        "age '150' is out of range": 1,
    }
    assert all(photo.label == min(int(Path(photo.name).name.partition("_")[0]) // 10, 8) for photo in found.photos)
    assert {photo.person for photo in found.photos} == {""}
    assert parts(found) == {"train": 198, "validation": 24, "test": 25}


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


@pytest.mark.parametrize("variant", ["custom", "fixed"])
def test_mufac(miniature, monkeypatch: pytest.MonkeyPatch, variant: str) -> None:
    monkeypatch.setattr(mufac, "FORGOTTEN", 40)
    found = scan("age-mufac", miniature("age-mufac", variant=variant))
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


@pytest.mark.parametrize("content", ["[1, 2]", "{}", "nonsense", "[-1,1,1,1,1,1,1,1,1,1]", '["NaN",1,1,1,1,1,1,1,1,1]'])
def test_challenge_refuses_other_class_weights(miniature, content: str) -> None:
    folder = miniature("age-challenge")
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
    assert found.rejected[-1] == (first.split(",")[0], "it is named twice")


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
