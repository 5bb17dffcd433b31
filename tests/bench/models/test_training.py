"""Training by recipe, against torch's own schedulers."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.losses import cross_entropy
from bench.models.build import initialised
from bench.models.layers import batch_norms, placed
from bench.models.networks import CHALLENGE
from bench.models.stacked import stack
from bench.models.training import class_weights, fit, learning_rate
from bench.splits import bind
from bench.tasks.task import Recipe

RECIPE = Recipe(epochs=3, batch_size=8, learning_rate=1e-2, weight_decay=1e-3, warmup=0.25)


def test_schedule_is_warm_up_then_cosine() -> None:
    total = 12
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-2)
    warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step / (0.25 * total), 1.0))
    for step in range(total + 1):
        expected = warm.get_last_lr()[0]
        if step > 0.25 * total:
            expected = 1e-2 * (1 + math.cos(math.pi * (step - 3) / 9)) / 2
        assert learning_rate(RECIPE, step / total) == pytest.approx(expected)
        optimizer.step()
        warm.step()


class Launched(TorchDispatchMode):
    """Counts what is computed on the device "meta", which stands in for a GPU: each of them is a kernel there, or a view."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, found)) if isinstance(leaf, torch.Tensor)]
        if any(tensor.is_meta for tensor in tensors):
            self.counted[function.overloadpacket.__name__] += 1
        return found


@pytest.mark.parametrize("network", ["resnet8-v1", "resnet18-v1"])
@pytest.mark.parametrize("models", [None, 3])
def test_training_never_waits_for_the_device(network: str, models: int | None) -> None:
    """Reading a number from "meta" is an error: whatever would synchronise with a GPU raises."""
    device = torch.device("meta")
    net = initialised(network, 4, 0)
    columns = torch.empty(10, 3, 32, 32, dtype=torch.uint8, device=device), torch.empty(10, dtype=torch.long, device=device)
    split = bind(columns, range(models or 1), "retain", stacked=models is not None)
    with Launched() as launched:
        fit(placed(stack([net] * models) if models else net, device), split, RECIPE, torch.ones(4, device=device))
    norms, steps = len(batch_norms(net)), 3 * 2
    assert launched.counted["native_batch_norm"] == norms * steps
    assert not {"gather", "scatter_add", "_local_scalar_dense", "index_put"} & set(launched.counted)


def test_counting_batches_costs_the_device_nothing() -> None:
    """A step launches as much with counters as without any."""
    device = torch.device("meta")
    images, counted = torch.empty(4, 3, 32, 32, device=device), []
    for counting in (True, False):
        net = initialised("resnet8-v1", 4, 0)
        for name in batch_norms(net) if not counting else ():
            net.get_submodule(name).num_batches_tracked = None
        placed(net, device)
        with Launched() as launched:
            net(images)
        counted.append(launched.counted)
    assert counted[0] == counted[1]


def test_fit_learns_and_reports_epochs() -> None:
    images = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(16) % 2
    seen: list[int] = []
    fresh = initialised("resnet8-v1", 2, 0)
    before = cross_entropy(fresh(images), labels).item()
    net = fit(
        initialised("resnet8-v1", 2, 0), bind((images, labels), [1], "retain", stacked=False), RECIPE, after_epoch=seen.append
    )
    assert seen == [1, 2, 3]
    assert net.training
    assert cross_entropy(net(images), labels).item() < 0.9 * before


def test_fit_leaves_a_last_batch_of_one_out() -> None:
    """Of pictures of 32 pixels ResNet-18 has one number per channel in the end."""
    columns = torch.rand(9, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 2
    fresh = initialised("resnet18-v1", 2, 0)
    net = fit(initialised("resnet18-v1", 2, 0), bind(columns, [1], "retain", stacked=False), replace(RECIPE, epochs=2))
    assert not torch.equal(net.fc.weight, fresh.fc.weight)


def test_class_weights_are_inverse_counts_and_zero_without_images() -> None:
    weighted = Recipe(3, 8, 1e-2, 0.0, 0.1, weighted_classes=True)
    weights = class_weights(weighted, torch.tensor([0, 0, 2]), 4)
    assert weights is not None
    assert weights.tolist() == [0.5, 0.0, 1.0, 0.0]
    assert class_weights(RECIPE, torch.tensor([0]), 4) is None
    assert class_weights(replace(weighted, class_weights=(1.0, 0.0, 2.0)), torch.tensor([0, 0]), 3).tolist() == [1.0, 0.0, 2.0]


def test_the_challenges_recipe_is_that_of_its_published_code() -> None:
    """Adam with an L2 penalty, a weighted loss, and a cosine that torch's own scheduler steps once an epoch; in float64."""
    draws = torch.Generator().manual_seed(0)
    images = torch.rand(20, 3, 32, 32, generator=draws, dtype=torch.float64)
    labels = torch.randint(3, (20,), generator=draws)
    weights = torch.tensor([0.5, 0.0, 2.0], dtype=torch.float64)
    recipe = replace(CHALLENGE, epochs=4, batch_size=8)
    ours = fit(initialised("resnet8-v1", 3, 0).double(), bind((images, labels), [1], "retain", stacked=False), recipe, weights)

    theirs = initialised("resnet8-v1", 3, 0).double().train()
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-4, weight_decay=5e-3)
    scheduler = CosineAnnealingLR(optimizer, T_max=4)
    criterion = torch.nn.CrossEntropyLoss(weight=weights)
    shuffled = bind((images, labels), [1], "retain", stacked=False)  # the same batches
    for _ in range(4):
        for batch, truth in shuffled.batches(8):
            optimizer.zero_grad()
            criterion(theirs(batch), truth).backward()
            optimizer.step()
        scheduler.step()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name], rtol=0, atol=1e-12)
