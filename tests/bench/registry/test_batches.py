"""A split as a dataset of the challenge: its batches can be read either way, also by loaders that a function makes itself."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset

from bench.registry.batches import KEYS, ChallengeDataset, Example
from bench.splits import Split, bind

COLUMNS = torch.rand(10, 3, 2, 2), torch.arange(10) % 4


def _dataset(form="auto", **options) -> ChallengeDataset:
    return ChallengeDataset(bind(COLUMNS, [0], "retain", stacked=False), form, **options)


@pytest.fixture
def batch() -> Example:
    return next(iter(_dataset().loader(4, torch.Generator(), shuffle=False)))


def test_a_batch_is_a_pair_and_has_the_keys(batch: Example) -> None:
    images, labels = batch
    assert isinstance(batch, list)
    assert len(batch) == 2
    assert torch.equal(images, COLUMNS[0][:4])
    assert torch.equal(labels, COLUMNS[1][:4])
    assert labels.dtype == torch.int64
    assert tuple(batch.keys()) == KEYS
    assert batch["image"] is images is batch[0]
    assert batch["age_group"] is labels is batch["age"]
    assert batch["image_id"] == ["-1-0", "-1-1", "-1-2", "-1-3"]
    assert batch["person_id"] == ["-1"] * 4


def test_it_does_what_a_dict_does(batch: Example) -> None:
    assert list(dict(batch)) == list({**batch}) == list(KEYS)
    assert [key for key, value in batch.items()] == list(KEYS)
    assert "image" in batch
    assert "label" not in batch
    assert batch.get("label", 3) == 3
    with pytest.raises(KeyError, match="label"):
        batch["label"]


def test_what_is_put_in_is_there_for_both(batch: Example) -> None:
    batch["image"] = batch["image"] + 1
    batch["logits"] = batch[1]
    assert float(batch[0].min()) >= 1
    assert tuple(batch.keys()) == (*KEYS, "logits")


def test_it_can_be_copied_and_sent_to_another_process(batch: Example) -> None:
    for twin in (copy.copy(batch), copy.deepcopy(batch), pickle.loads(pickle.dumps(batch))):
        assert torch.equal(twin["image"], batch[0])
        assert twin["image_id"] == batch["image_id"]


@pytest.mark.parametrize("form", ["auto", "tuple", "dict"])
def test_loaders_that_a_function_makes_have_such_batches_too(form: str) -> None:
    dataset = _dataset(form)
    for made in (dataset, Subset(dataset, torch.tensor([3, 1])), ConcatDataset([dataset, dataset])):
        for batch in DataLoader(made, batch_size=2):
            if form != "dict":
                images, labels = batch
            if form != "tuple":
                images, labels = batch["image"], batch["age_group"]
                assert batch["image_id"][0] in {f"-1-{row}" for row in range(10)}
            assert images.shape == (len(labels), 3, 2, 2)
    assert len(list(dataset)) == 10
    with pytest.raises(IndexError):
        dataset[10]


@pytest.mark.parametrize(("form", "kind"), [("auto", Example), ("tuple", list), ("dict", dict)])
def test_forms(form: str, kind: type) -> None:
    assert type(next(iter(DataLoader(_dataset(form), 3)))) is kind


def test_what_datasets_of_torchvision_have(batch: Example) -> None:
    weights = torch.ones(4)
    dataset = _dataset(classes=4, class_weights=weights)
    assert dataset.targets == COLUMNS[1].tolist()
    assert dataset.classes == ["0", "1", "2", "3"]
    assert dataset.class_weights is weights
    assert dataset[3][1] == 3
    assert type(dataset[3]["age_group"]) is int  # which can be counted


def test_pixels_on_the_challenge_s_scale() -> None:
    assert torch.equal(_dataset(scale=255.0)[0]["image"], COLUMNS[0][0] * 255)


def test_who_is_on_an_image() -> None:
    columns = (torch.zeros(3, 3, 2, 2), torch.tensor([2, 0, 1]))
    known, unknown = (ChallengeDataset(Split(columns, [], identities=who)) for who in (torch.tensor([7, 7, 8]), None))
    assert [known[row]["person_id"] for row in range(3)] == ["7", "7", "8"]
    assert known[2]["image_id"] == known[-1]["image_id"] == "8-2"
    assert known[0]["age_group"] == known[0]["age"] == 2
    assert unknown[0]["person_id"] == "-1"
