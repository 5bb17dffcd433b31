"""Fine-tuning, negative gradient, noise and SCRUB."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import count

import torch
from bench_plugins.finetune import FineTune
from bench_plugins.negative_gradient import NegativeGradient
from bench_plugins.neggrad_plus import NegGradPlus
from bench_plugins.noise_injection import NoiseInjection
from bench_plugins.scrub import Scrub
from bench_plugins.scrub_noise import ScrubNoise
from bench_plugins.scrub_r import ScrubRewind
from loops import Loop
from torch.nn import functional
from torch.optim import SGD

from bench import Method

SCRUB = {
    "max_epochs": 2,
    "epochs": 3,
    "learning_rate": 2e-2,
    "alpha": 0.5,
    "retain_batch": 20,
    "forget_batch": 6,
    "decay_epochs": (1, 2),
}


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
