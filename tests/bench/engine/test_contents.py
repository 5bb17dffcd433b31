"""What jobs name by its hash is found by that hash: in this process, or in a folder that other processes read."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.engine.contents import SharedFolder, Shelf
from bench.errors import BenchError
from bench.registry import discovery
from bench.tasks.task import SPLITS, TaskData

SOURCE = b'"""A method."""\n'


@pytest.fixture
def data() -> TaskData:
    draws = np.random.default_rng(0)
    rows = np.arange(12).reshape(6, 2)
    return TaskData(
        images=draws.integers(256, size=(12, 3, 4, 4), dtype=np.uint8),
        labels=draws.integers(3, size=12),
        identities=draws.integers(-1, 4, size=12),
        splits={**dict(zip(SPLITS, rows, strict=True)), "unseen": np.zeros(0, np.int64)},
    )


@pytest.fixture
def weights() -> dict[str, Any]:
    draws = np.random.default_rng(1)
    narrow = draws.normal(size=(6, 1)).astype(np.float32)
    return {
        "fc.weight": draws.normal(size=(1, 4, 2)).astype(np.float32),
        "turned": draws.normal(size=(2, 3)).astype(np.float32).T,  # not as it lies in memory
        "spread": np.broadcast_to(narrow, (6, 2)),
        "steps": np.array([7], np.int64),
    }


def published(data: TaskData, folder: Path) -> tuple[SharedFolder, str]:
    shelf = Shelf()
    digest = shelf.put_data(data.digest(), lambda: data)
    shelf.publish((digest,), folder)
    return SharedFolder(folder), digest


def equal(found: TaskData, data: TaskData) -> bool:
    arrays = [(getattr(found, name), getattr(data, name)) for name in ("images", "labels", "identities")]
    arrays += [(found.splits[name], data.splits[name]) for name in SPLITS]
    return all(np.array_equal(ours, theirs) and ours.dtype == theirs.dtype for ours, theirs in arrays)


@pytest.mark.parametrize("images_digest", ["", "d" * 64])
def test_data_come_back_with_the_same_digest(data: TaskData, tmp_path: Path, images_digest: str) -> None:
    data = replace(data, images_digest=images_digest)
    folder, digest = published(data, tmp_path)
    found = folder.data(digest)
    assert found.digest() == digest == data.digest()
    assert found.images_digest == images_digest
    assert equal(found, data)
    assert isinstance(found.images, np.memmap)  # however large, they are not read into memory


@pytest.mark.parametrize("images_digest", ["", "d" * 64])
def test_images_that_are_a_file_already_are_linked_and_not_copied(
    data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images_digest: str
) -> None:
    np.save(tmp_path / "images.npy", data.images)
    monkeypatch.chdir(tmp_path)  # the name may be relative
    mapped = replace(data, images=np.load("images.npy", mmap_mode="r"), images_digest=images_digest)
    folder, digest = published(mapped, tmp_path / "published")
    link = folder.images_path(digest)
    assert link.is_symlink()
    assert link.resolve() == (tmp_path / "images.npy").resolve()
    monkeypatch.chdir("/")
    found = folder.data(digest)
    assert found.digest() == mapped.digest()
    assert equal(found, data)


@pytest.mark.parametrize("images_digest", ["", "d" * 64])
def test_a_part_of_a_file_of_images_is_not_taken_for_the_file(data: TaskData, tmp_path: Path, images_digest: str) -> None:
    np.save(tmp_path / "images.npy", np.concatenate([data.images, data.images[::-1]]))
    part = np.load(tmp_path / "images.npy", mmap_mode="r")[12:]
    mapped = replace(data, images=part, images_digest=images_digest)
    folder, digest = published(mapped, tmp_path / "published")
    assert np.array_equal(folder.data(digest).images, data.images[::-1])


def test_images_that_lie_in_a_file_of_another_format_are_copied(data: TaskData, tmp_path: Path) -> None:
    (tmp_path / "images.raw").write_bytes(data.images.tobytes())
    mapped = replace(data, images=np.memmap(tmp_path / "images.raw", np.uint8, "r", shape=data.images.shape))
    folder, digest = published(mapped, tmp_path / "published")
    assert not folder.images_path(digest).is_symlink()
    assert equal(folder.data(digest), data)


def test_weights_come_back(weights: dict[str, Any], tmp_path: Path) -> None:
    shelf = Shelf()
    digest = shelf.put_weights(weights)
    assert shelf.weights(digest) is weights
    assert shelf.put_weights({name: np.ascontiguousarray(array) for name, array in weights.items()}) == digest
    assert shelf.put_weights({**weights, "steps": np.array([8], np.int64)}) != digest
    shelf.publish((digest,), tmp_path)
    found = SharedFolder(tmp_path).weights(digest)
    assert set(found) == set(weights)
    assert all(np.array_equal(found[name], weights[name]) and found[name].dtype == weights[name].dtype for name in weights)


def test_sources_come_back(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(SOURCE)
    name = discovery.find_method(str(tmp_path / "mine.py")).source_hash()
    shelf = Shelf()
    assert shelf.put_source(name, SOURCE) == name
    assert shelf.source(name) == SOURCE
    shelf.publish((name,), tmp_path / "published")
    assert SharedFolder(tmp_path / "published").source(name) == SOURCE


def test_a_folder_pickles_to_its_name(data: TaskData, tmp_path: Path) -> None:
    folder, digest = published(data, tmp_path)
    content = pickle.dumps(folder)
    assert len(content) < 1000
    assert equal(pickle.loads(content).data(digest), data)


def test_data_that_are_not_what_their_name_says_are_refused(data: TaskData, tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.put_data("0" * 64, lambda: data)
    shelf.publish(("0" * 64,), tmp_path)
    with pytest.raises(BenchError, match=r"^the task's data in .* are not what their name says$"):
        SharedFolder(tmp_path).data("0" * 64)


@pytest.mark.parametrize("field", ["images", "labels", "identities"])
def test_data_that_somebody_has_exchanged_are_refused(data: TaskData, tmp_path: Path, field: str) -> None:
    folder, digest = published(data, tmp_path)
    other, their_digest = published(replace(data, **{field: getattr(data, field)[::-1].copy()}), tmp_path)
    path = SharedFolder.images_path if field == "images" else SharedFolder.data_path
    path(other, their_digest).replace(path(folder, digest))
    with pytest.raises(BenchError, match="not what their name says"):
        folder.data(digest)


def test_weights_that_are_not_what_their_name_says_are_refused(weights: dict[str, Any], tmp_path: Path) -> None:
    shelf = Shelf()
    digest, other = shelf.put_weights(weights), shelf.put_weights({"fc.weight": weights["fc.weight"]})
    shelf.publish((digest, other), tmp_path)
    folder = SharedFolder(tmp_path)
    folder.weights_path(other).replace(folder.weights_path(digest))
    with pytest.raises(BenchError, match=r"^the weights in .* are not what their name says$"):
        folder.weights(digest)


def test_nothing_is_written_twice(data: TaskData, weights: dict[str, Any], tmp_path: Path) -> None:
    shelf, loaded = Shelf(), []

    def load() -> TaskData:
        loaded.append(data)
        return data

    names = shelf.put_data(data.digest(), load), shelf.put_weights(weights), shelf.put_source("5" * 64, SOURCE)
    assert loaded == []  # data are loaded when somebody asks
    for _ in range(2):
        shelf.publish(names, tmp_path)
        written = {path: path.stat() for path in tmp_path.iterdir()}
    shelf.publish(names[1:], tmp_path)
    assert {path.suffix for path in written} == {".npz", ".npy", ".safetensors", ".py"}
    assert {path: path.stat() for path in tmp_path.iterdir()} == written
    assert len(loaded) == 1


@pytest.mark.parametrize("linked", [False, True])
def test_what_somebody_began_to_write_and_did_not_end_is_written_anew(data: TaskData, tmp_path: Path, linked: bool) -> None:
    """Labels come last: without them, images may be anything."""
    if linked:
        np.save(tmp_path / "images.npy", data.images)
        data = replace(data, images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    folder, digest = published(data, tmp_path / "published")
    folder.data_path(digest).unlink()
    if not linked:
        folder.images_path(digest).write_bytes(b"half of them")
    again, _ = published(data, tmp_path / "published")
    assert equal(again.data(digest), data)
    assert not linked or np.array_equal(np.load(tmp_path / "images.npy"), data.images)


def test_what_nobody_has_put_there_is_not_published(tmp_path: Path) -> None:
    Shelf().publish(("0" * 64,), tmp_path)
    assert list(tmp_path.iterdir()) == []
