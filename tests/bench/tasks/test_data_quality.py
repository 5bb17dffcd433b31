"""What is seen of data: copies, however they were made, and nothing but copies; people, thin groups and shift."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from bench.tasks.data_quality import NO_TWIN, examine, find_twins
from bench.tasks.synthetic_faces import draw_people, photograph
from bench.tasks.task import UNKNOWN, TaskData

PEOPLE, PHOTOS = 100, 3


@pytest.fixture(scope="module")
def photos() -> NDArray[np.uint8]:
    return photograph(draw_people(PEOPLE, PHOTOS, person_sd=2.5, photo_sd=1.5, seed=9))


def pictures(images: NDArray[np.uint8]) -> list[Image.Image]:
    return [Image.fromarray(image.transpose(1, 2, 0)) for image in images]


def arrays(images: list[Image.Image]) -> NDArray[np.uint8]:
    return np.stack([np.asarray(image.convert("RGB")).transpose(2, 0, 1) for image in images])


def encoded(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.resize((128, 128)).save(buffer, "JPEG", quality=60)
    return Image.open(buffer).resize((32, 32), Image.Resampling.BILINEAR)


COPIES = {
    "exact": lambda image: image,
    "encoded again": encoded,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "resized": lambda image: image.resize((100, 100)).resize((32, 32)),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copies_are_found(photos, copy) -> None:
    count = len(photos)
    twins = find_twins(np.concatenate([photos, arrays([copy(image) for image in pictures(photos)])]))
    found = (twins[:count] == twins[count:]) & (twins[:count] != NO_TWIN)
    assert found.mean() > 0.97


def test_photos_of_one_person_are_no_copies(photos) -> None:
    assert (find_twins(photos) != NO_TWIN).mean() < 0.02


def test_numbers_are_shared_by_all_copies_of_one_photo(photos) -> None:
    twins = find_twins(photos[[0, 3, 0, 6, 0, 3]])
    assert len({twins[0], twins[2], twins[4]}) == 1
    assert twins[1] == twins[5] != twins[0]
    assert twins[3] == NO_TWIN


def test_larger_pictures_and_thousands_of_black_ones() -> None:
    black = np.zeros((3000, 3, 64, 64), np.uint8)
    assert (find_twins(black) == 0).all()
    assert find_twins(black[:0]).shape == (0,)
    assert find_twins(black[:1]).tolist() == [NO_TWIN]


def task_data(splits: dict[str, list[int]], labels: list[int], identities: list[int], twins: list[int] | None = None) -> TaskData:
    names = ("retain", "forget", "validation", "test", "forget_people", "unseen")
    rows = {name: np.array(splits.get(name, []), np.int64) for name in names}
    images = np.zeros((len(labels), 3, 32, 32), np.uint8)
    return TaskData(images, np.array(labels), np.array(identities), rows, twins=None if twins is None else np.array(twins))


def test_remarks() -> None:
    splits = {"retain": [0, 1, 2], "forget": [3, 4], "test": [5, 6], "unseen": [7]}
    remarks = examine(task_data(splits, [0] * 8, [1, 1, 2, 2, 3, 3, 9, 1], [7, -1, -1, 7, -1, 7, -1, -1]), ("0-9", "10-19"))
    assert remarks == [
        "1 of 2 forget photos are duplicates or near-duplicates of retain photos",
        "1 of 2 test photos are duplicates or near-duplicates of retain photos",
        "1 of 2 test photos are duplicates or near-duplicates of forget photos",
        "1 of 2 people are both to be forgotten and retained",
        "1 of 2 people on test photos are on training photos, too",
        "1 of 2 test photos show people who are to be forgotten",
        "1 of 1 people who should be unseen are on training photos",
        "the forget set has few photos (2): numbers on them say little",
        "few photos of 0-9 (5 training, 2 test), 10-19 (0 training, 0 test)",
    ]


def test_nobody_is_known() -> None:
    remarks = examine(task_data({"retain": [0], "forget": [1], "test": [2]}, [0] * 3, [UNKNOWN] * 3), ("all",))
    assert "nobody knows who is on the photos: the forget set is not made of people" in remarks


def test_some_are_not_known() -> None:
    remarks = examine(task_data({"retain": [0, 1], "forget": [2], "test": [3]}, [0] * 4, [4, UNKNOWN, 5, UNKNOWN]), ("all",))
    assert "nobody knows who is on 2 of 4 photos" in remarks


@pytest.mark.parametrize(("photos", "told"), [(19, False), (21, True)])
def test_a_person_who_may_be_many(photos: int, told: bool) -> None:
    identities = [0] * photos + [1, 1, 2, 2, 3, 3]
    rows = {"retain": list(range(photos)), "forget": [photos, photos + 1], "test": [photos + 2]}
    remarks = examine(task_data(rows, [0] * len(identities), identities), ("all",))
    assert ("one person is on 21 photos, others on 2: is that the same person?" in remarks) is told


@pytest.mark.parametrize(("count", "told"), [(1, True), (9, True), (10, False)])
def test_a_small_forget_set(count: int, told: bool) -> None:
    rows = {"retain": list(range(20)), "forget": list(range(20, 20 + count)), "test": [30]}
    remarks = examine(task_data(rows, [0] * 31, list(range(31))), ("all",))
    assert (f"the forget set has few photos ({count}): numbers on them say little" in remarks) is told


@pytest.mark.parametrize("shifted", [True, False])
def test_shift_of_ages(shifted: bool) -> None:
    labels = np.arange(200) % 4
    forget = np.flatnonzero(labels[:100] < 2) if shifted else np.arange(50)
    remarks = examine(
        task_data({"retain": [0], "forget": forget.tolist(), "test": list(range(100, 200))}, labels.tolist(), [0] * 200),
        tuple("abcd"),
    )
    assert any("labels of forget and test photos differ (total variation 0.50)" in remark for remark in remarks) is shifted
