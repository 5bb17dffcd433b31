"""Training speed on one thread, on identical work: as anybody writes it, and as it is done here, alone and in stacks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim import AdamW
from torch.utils.data import DataLoader, TensorDataset

from bench.losses import cross_entropy
from bench.models.autocast import compute_in
from bench.models.build import initialised
from bench.models.devices import Precision
from bench.models.stacked import stack
from bench.models.training import fit
from bench.splits import bind
from bench.tasks.task import Recipe

RECIPE = Recipe(epochs=1, batch_size=64, learning_rate=4e-3, weight_decay=1e-4, warmup=0.1)
IMAGES, STACK = 640, 8


def loader_loop(network: str, precision: Precision, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], object]:
    """A DataLoader and torch's own loss, one model after the other."""
    data = DataLoader(TensorDataset(images, labels), RECIPE.batch_size, shuffle=True)
    net = compute_in(initialised(network, 10, 0), precision)
    optimizer = AdamW(net.parameters(), RECIPE.learning_rate, weight_decay=RECIPE.weight_decay)

    def epoch() -> None:
        for batch, truth in data:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(batch), truth).backward()
            optimizer.step()

    return epoch


def plain(network: str, precision: Precision, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], object]:
    """One model, its images in memory."""
    net = compute_in(initialised(network, 10, 0), precision)
    return lambda: fit(net, bind((images, labels), [0], "retain", stacked=False), RECIPE)


def stacked(network: str, precision: Precision, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], object]:
    """Eight models as one network."""
    net = stack([compute_in(initialised(network, 10, seed), precision) for seed in range(STACK)])
    return lambda: fit(net, bind((images, labels), range(STACK), "retain", stacked=True), RECIPE)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    ("network", "form"),
    [
        ("resnet8-v1", loader_loop),
        ("resnet8-v1", plain),
        ("resnet8-v1", stacked),
        ("resnet18-v1", plain),
        ("resnet18-v1", stacked),
    ],
)
def test_an_epoch_of_640_images(benchmark, network: str, form: Callable, precision: Precision) -> None:
    torch.set_num_threads(1)
    draws = torch.Generator().manual_seed(0)
    images, labels = torch.rand(IMAGES, 3, 32, 32, generator=draws), torch.randint(10, (IMAGES,), generator=draws)
    epoch = form(network, precision, images, labels)
    benchmark.extra_info["images_per_round"] = IMAGES * (STACK if form is stacked else 1)
    benchmark.pedantic(epoch, rounds=5 if network == "resnet8-v1" else 2, warmup_rounds=1)


def test_the_forms_do_the_same() -> None:
    """What is compared is one thing: a stack learns what its models learn alone."""
    draws = torch.Generator().manual_seed(0)
    columns = torch.rand(128, 3, 32, 32, generator=draws).double(), torch.randint(10, (128,), generator=draws)
    nets = [initialised("resnet8-v1", 10, seed).double() for seed in range(2)]
    both = fit(stack(nets), bind(columns, range(2), "retain", stacked=True), RECIPE)
    alone = fit(nets[1], bind(columns, [1], "retain", stacked=False), RECIPE)
    with torch.no_grad():
        answers = both.eval()(columns[0])[1], alone.eval()(columns[0])
    assert cross_entropy(answers[0], columns[1]) == pytest.approx(float(cross_entropy(answers[1], columns[1])), abs=1e-9)
