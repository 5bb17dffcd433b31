"""The same code on a CUDA device: runs wherever there is one."""

from __future__ import annotations

import pytest
import torch

from bench.models import initialised, stack
from bench.splits import bind
from bench.tasks.task import Recipe
from bench.training import fit
from bench.weights import state

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def test_training_on_cuda_equals_the_cpu_in_float64() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(64, 3, 32, 32, generator=generator, dtype=torch.float64)
    labels = torch.randint(4, (64,), generator=generator)
    recipe = Recipe(epochs=3, batch_size=16, learning_rate=4e-3, weight_decay=1e-4, warmup=0.1)
    trained = {}
    for device in ("cpu", "cuda"):
        nets = [initialised("resnet8-v1", 4, seed).double() for seed in range(4)]
        columns = (images.to(device), labels.to(device))
        trained[device] = state(fit(stack(nets).to(device), bind(columns, range(4), "retain", stacked=True), recipe))
    for name, view in trained["cpu"].items():
        torch.testing.assert_close(trained["cuda"][name].cpu(), view, rtol=0, atol=1e-8, msg=name)
