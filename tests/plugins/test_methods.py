"""Every method against a second implementation written here with torch's own parts, for plain networks and stacks."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import torch
from bench_plugins.finetune import FineTune
from bench_plugins.negative_gradient import NegativeGradient
from bench_plugins.neggrad_plus import NegGradPlus
from bench_plugins.noise_injection import NoiseInjection
from bench_plugins.scrub import Scrub
from bench_plugins.scrub_noise import ScrubNoise
from bench_plugins.scrub_r import ScrubRewind
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

from bench import Control, Method
from bench.registry import discovery, loading, specs
from bench.seeds import generator

SEEDS = (11, 22, 33)
SCRUB = {
    "max_epochs": 2,
    "epochs": 3,
    "learning_rate": 2e-2,
    "alpha": 0.5,
    "retain_batch": 20,
    "forget_batch": 6,
    "decay_epochs": (1, 2),
}


class Loop:
    """Plain training loops over a setting, with the shuffles that a seed gives."""

    def __init__(self, setting, seed: int) -> None:
        self.columns = setting.columns
        self.original = setting.original
        self.orders = {name: generator(seed, name) for name in setting.columns}
        self.own = generator(seed, "method")
        self.model = copy.deepcopy(setting.original)

    def batches(self, split: str, size: int, passes: float = 1.0) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        images, labels = self.columns[split]
        left = round(passes * math.ceil(len(labels) / size))
        while left > 0:
            order = torch.randperm(len(labels), generator=self.orders[split])
            for rows in order.split(size):
                if left > 0:
                    yield images[rows], labels[rows], rows
                left -= 1

    def shake(self, amount: float) -> None:
        with torch.no_grad():
            for module in self.model.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    noise = torch.randn(module.weight.shape, generator=self.own, dtype=torch.float64)
                    module.weight += amount * module.weight.std() * noise

    def fine_tune(self, epochs: float, rate: float, size: int, *, per_epoch: bool) -> None:
        optimizer = SGD(self.model.parameters(), rate, momentum=0.9, weight_decay=5e-4)
        batches = math.ceil(len(self.columns["retain"][1]) / size)
        every = batches if per_epoch else 1
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches / every)
        for taken, (images, labels, _) in enumerate(self.batches("retain", size, epochs), start=1):
            optimizer.zero_grad()
            functional.cross_entropy(self.model(images), labels).backward()
            optimizer.step()
            if taken % every == 0:
                schedule.step()

    def scrub(
        self,
        *,
        max_epochs: int,
        epochs: int,
        learning_rate: float,
        alpha: float,
        retain_batch: int,
        forget_batch: int,
        decay_epochs: tuple[int, ...],
        gamma: float = 0.99,
        temperature: float = 4.0,
        decay_rate: float = 0.1,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> Iterator[str]:
        teacher = copy.deepcopy(self.original).eval()
        optimizer = optimizer or SGD(self.model.parameters(), learning_rate, momentum=0.9, weight_decay=5e-4)

        def divergence(images: Tensor, logits: Tensor) -> Tensor:
            with torch.no_grad():
                target = (teacher(images) / temperature).softmax(1)
            return temperature**2 * functional.kl_div((logits / temperature).log_softmax(1), target, reduction="batchmean")

        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(decay_epochs), gamma=decay_rate)
        for epoch in range(epochs):
            if epoch < max_epochs:
                for images, _, _ in self.batches("forget", forget_batch):
                    optimizer.zero_grad()
                    (-divergence(images, self.model(images))).backward()
                    optimizer.step()
                yield "max"
            for images, labels, _ in self.batches("retain", retain_batch):
                logits = self.model(images)
                optimizer.zero_grad()
                (gamma * functional.cross_entropy(logits, labels) + alpha * divergence(images, logits)).backward()
                optimizer.step()
            schedule.step()
            yield "min"

    def error(self, split: str, keep: Tensor | None = None) -> float:
        images, labels = self.columns[split]
        self.model.eval()
        with torch.no_grad():
            wrong = self.model(images).argmax(1) != labels
        self.model.train()
        return float((wrong if keep is None else wrong[keep]).double().mean())


def fine_tune(loop: Loop) -> None:
    loop.fine_tune(2.0, 1e-2, 20, per_epoch=True)


def noise_injection(loop: Loop) -> None:
    loop.shake(0.4)
    loop.fine_tune(1.5, 1e-2, 20, per_epoch=False)
    loop.shake(0.05)


def scrub(loop: Loop) -> None:
    assert list(loop.scrub(**SCRUB)) == ["max", "min", "max", "min", "min"]


def scrub_rewind(loop: Loop) -> None:
    passes = loop.scrub(**SCRUB)
    kept = [(loop.error("forget"), copy.deepcopy(loop.model.state_dict())) for done in passes if done == "min"]
    seen = torch.isin(loop.columns["validation"][1], loop.columns["forget"][1].unique())
    reference = loop.error("validation", seen)
    loop.model.load_state_dict(min(kept, key=lambda item: abs(item[0] - reference))[1])


def scrub_noise(loop: Loop) -> None:
    loop.shake(0.3)
    done = []
    for one in loop.scrub(**SCRUB):
        done.append(one)
        if len(done) == 4:
            loop.shake(0.05)


def negative_gradient(loop: Loop) -> None:
    optimizer = SGD(loop.model.parameters(), 1e-3, momentum=0.9)
    for images, labels, _ in loop.batches("forget", 6, 2.0):
        optimizer.zero_grad()
        (-functional.cross_entropy(loop.model(images), labels)).backward()
        torch.nn.utils.clip_grad_norm_(loop.model.parameters(), 1.0)
        optimizer.step()


def neggrad_plus(loop: Loop) -> None:
    optimizer = SGD(loop.model.parameters(), 1e-2, momentum=0.9, weight_decay=5e-4)
    forget = (batch for _ in count() for batch in loop.batches("forget", 6))
    for (images, labels, _), (forget_images, forget_labels, _) in zip(loop.batches("retain", 20, 2.0), forget, strict=False):
        keep = functional.cross_entropy(loop.model(images), labels)
        lose = functional.cross_entropy(loop.model(forget_images), forget_labels)
        optimizer.zero_grad()
        (0.8 * keep - 0.2 * torch.minimum(lose, torch.tensor(1.5, dtype=torch.float64))).backward()
        optimizer.step()


CASES: dict[str, tuple[Method, Callable[[Loop], None]]] = {
    "finetune": (FineTune(epochs=2.0, learning_rate=1e-2, batch_size=20), fine_tune),
    "noise-injection": (
        NoiseInjection(noise=0.4, epochs=1.5, learning_rate=1e-2, final_noise=0.05, batch_size=20),
        noise_injection,
    ),
    "scrub": (Scrub(**SCRUB, temperature=4.0, gamma=0.99), scrub),
    "scrub-r": (ScrubRewind(**SCRUB, temperature=4.0, gamma=0.99), scrub_rewind),
    "scrub-noise": (ScrubNoise(**SCRUB, temperature=4.0, gamma=0.99, noise=0.3, late_noise=0.05), scrub_noise),
    "negative-gradient": (NegativeGradient(epochs=2.0, learning_rate=1e-3, batch_size=6, max_norm=1.0), negative_gradient),
    "neggrad-plus": (
        NegGradPlus(alpha=0.8, epochs=2.0, learning_rate=1e-2, forget_loss_cap=1.5, retain_batch=20, forget_batch=6),
        neggrad_plus,
    ),
}
everywhere = pytest.mark.parametrize("name", CASES)


@everywhere
def test_equals_a_second_implementation(setting, distance, name: str) -> None:
    method, second = CASES[name]
    for seed in SEEDS[:2]:
        loop = Loop(setting, seed)
        second(loop)
        assert distance(setting.run_alone(method, seed), loop.model) < 1e-9


@everywhere
def test_stacked_equals_alone_whatever_the_grouping(setting, distance, name: str) -> None:
    method, _ = CASES[name]
    alone = [setting.run_alone(method, seed) for seed in SEEDS]
    for group in ([0, 1, 2], [2, 0], [1]):
        torch.manual_seed(len(group))  # a stackable method must not draw from the global generator
        together = setting.run_stacked(method, [SEEDS[m] for m in group])
        assert max(distance(model, alone[m]) for model, m in zip(together, group, strict=True)) < 1e-9


@everywhere
def test_seeds_differ_and_repeat(setting, distance, name: str) -> None:
    method, _ = CASES[name]
    first, again, other = (setting.run_alone(method, seed) for seed in (11, 11, 22))
    assert distance(first, again) == 0
    assert distance(first, other) > 1e-6


@everywhere
def test_golden(setting, name: str) -> None:
    """Numbers written down once: a change of an algorithm cannot pass unseen."""
    golden = json.loads((Path(__file__).parent / "golden.json").read_text())
    method, _ = CASES[name]
    model = setting.run_alone(method, 11).eval()
    with torch.no_grad():
        logits = model(setting.columns["validation"][0][:2])
    assert logits.flatten().tolist() == pytest.approx(golden[name], abs=1e-6)


PUBLISHED = re.findall(r"`(scrub\[.*\])`", (Path(__file__).parents[2] / "docs" / "evidence" / "tuning.md").read_text())


def test_published_settings_of_scrub_are_in_the_documentation() -> None:
    assert len(PUBLISHED) == 4


@pytest.mark.parametrize("text", PUBLISHED)
def test_published_settings_of_scrub_can_be_said(setting, distance, text: str) -> None:
    """And come to what torch's own optimisers and scheduler do with them; in stacks, too."""
    spec = specs.parse(text)
    method = specs.configure(Scrub, spec, 0.2)
    assert dict(spec.parameters).items() <= specs.hyper_parameters(method).items()
    loop = Loop(setting, SEEDS[0])
    kind = {"sgd": partial(SGD, momentum=method.momentum), "adam": Adam}[method.optimizer]
    optimizer = kind(loop.model.parameters(), lr=method.learning_rate, weight_decay=method.weight_decay)
    names = (*SCRUB, "gamma", "temperature", "decay_rate")
    passes = list(loop.scrub(**{name: getattr(method, name) for name in names}, optimizer=optimizer))
    assert passes.count("max") == method.max_epochs
    alone = setting.run_alone(method, SEEDS[0])
    assert distance(alone, loop.model) < 1e-9
    assert distance(setting.run_stacked(method, SEEDS[:2])[0], alone) < 1e-9


def test_every_installed_method_is_a_case() -> None:
    golden = json.loads((Path(__file__).parent / "golden.json").read_text())
    own = [plugin for plugin in discovery.plugins(discovery.METHODS) if plugin.distribution == "unlearning-bench"]
    methods = {plugin.name for plugin in own if not issubclass(loading.load_method(plugin), Control)}
    assert set(CASES) == set(golden) == methods


USUAL = [FineTune(), NegGradPlus(), NegativeGradient(), NoiseInjection(), Scrub(), ScrubNoise(), ScrubRewind()]


@pytest.mark.parametrize("method", USUAL, ids=lambda method: type(method).__name__)
def test_defaults_are_for_the_usual_budget(method: Method) -> None:
    assert method.within(0.2) == method


@pytest.mark.parametrize("method", USUAL[:4], ids=lambda method: type(method).__name__)
@pytest.mark.parametrize(("share", "times"), [(0.05, 0.25), (0.1, 0.5), (0.4, 2.0), (1.0, 5.0)])
def test_epochs_follow_the_budget(method: Method, share: float, times: float) -> None:
    assert method.within(share) == replace(method, epochs=times * method.epochs)


@pytest.mark.parametrize("method", USUAL[4:], ids=lambda method: type(method).__name__)
@pytest.mark.parametrize(("share", "epochs", "max_epochs"), [(0.3, 3, 1), (0.4, 4, 2), (0.6, 6, 3), (1.0, 10, 5)])
def test_scrub_does_whole_epochs(method: Scrub, share: float, epochs: int, max_epochs: int) -> None:
    assert method.within(share) == replace(method, epochs=epochs, max_epochs=max_epochs)
    for less in (0.05, 0.1, 0.19):
        with pytest.raises(ValueError, match="two passes over retain are the least of it, about 20 % of a retraining"):
            method.within(less)
