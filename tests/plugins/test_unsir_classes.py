"""UNSIR for whole classes: beside a second implementation with torch's own parts, alone and in stacks."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bench_plugins.unsir import Unsir
from bench_plugins.unsir_classes import PER_CLASS, REPEATS, far_from, of_each_class, whole_classes
from torch import nn
from torch.nn import functional
from torch.optim import Adam

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by path
from loops import Loop

METHOD = Unsir(class_wise=True, impair_epochs=1, learning_rate=2e-3, batch_size=4, noise_steps=3, noise_rate=0.1)


@pytest.fixture
def by_class(setting):
    """The same images; forget has classes 2 and 3, and retain the others."""
    images, labels = setting.columns["retain"]
    forget_images, forget_labels = setting.columns["forget"]
    columns = {"retain": (images, labels % 2), "forget": (forget_images, 2 + forget_labels % 2)}
    return replace(setting, columns={**setting.columns, **columns})


def second(loop: Loop) -> nn.Module:
    noises, answers = [], []
    model = loop.model.eval()
    for label in (2, 3):
        noise = nn.Parameter(torch.randn(4, *loop.columns["forget"][0].shape[1:], generator=loop.own, dtype=torch.float64))
        adam, labels = Adam([noise], lr=0.1), torch.full((4,), label)
        for _ in range(3):
            adam.zero_grad()
            (0.1 * (noise**2).sum((1, 2, 3)).mean() - functional.cross_entropy(model(noise), labels)).backward()
            adam.step()
        noises.append(noise.detach())
        answers.append(labels)
    images, labels = loop.columns["retain"]
    order = torch.cat([(labels == label).nonzero().flatten() for label in (0, 1)])
    kept = images[order], labels[order]
    impairing = torch.cat([kept[0], *[torch.cat(noises)] * 20]), torch.cat([kept[1], *[torch.cat(answers)] * 20])
    model.train()
    for columns, rate in ((impairing, 2e-3), (kept, 1e-3)):
        loop.columns = {**loop.columns, "retain": columns}
        adam = Adam(model.parameters(), lr=rate)
        for batch, wanted, _ in loop.batches("retain", 4):
            loop.descend(adam, functional.cross_entropy(model(batch), wanted))
    return model


def test_equals_a_second_implementation(by_class, distance) -> None:
    assert distance(by_class.run_alone(METHOD, 11), second(Loop(by_class, 11))) < 1e-9


def test_a_stack_does_as_its_models_alone(by_class, distance) -> None:
    for model, seed in zip(by_class.run_stacked(METHOD, [11, 22]), (11, 22), strict=True):
        assert distance(model, by_class.run_alone(METHOD, seed)) < 1e-9


def test_other_forget_sets_are_refused(setting) -> None:
    with pytest.raises(ValueError, match="for a forget set of whole classes, and retain has examples of these"):
        whole_classes(setting.data([11], stacked=False))


def test_noise_is_far_from_its_class_and_near_to_zero(by_class) -> None:
    model, labels = copy.deepcopy(by_class.original).eval(), torch.tensor([2, 3])
    noise = torch.randn(2, *by_class.columns["forget"][0].shape[1:], dtype=torch.float64)
    moved = far_from(model, noise, labels, 20, 0.1)
    assert functional.cross_entropy(model(moved), labels) > functional.cross_entropy(model(noise), labels)
    assert moved.norm() < noise.norm()


def test_the_first_of_each_class_are_kept(by_class, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (PER_CLASS, REPEATS) == (1000, 20)
    monkeypatch.setattr("bench_plugins.unsir_classes.PER_CLASS", 3)
    assert of_each_class(by_class.data([11], stacked=False).retain).labels.tolist() == [0, 0, 0, 1, 1, 1]
