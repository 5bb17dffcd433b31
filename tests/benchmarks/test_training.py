"""Training speed on one thread: eight models as one stack, beside one plain network."""

import pytest
import torch

from bench.models.build import initialised
from bench.models.stacked import stack
from bench.models.training import fit
from bench.splits import bind
from bench.tasks.task import Recipe

RECIPE = Recipe(epochs=1, batch_size=64, learning_rate=4e-3, weight_decay=1e-4, warmup=0.1)
IMAGES = 640


@pytest.mark.parametrize("models", [1, 8])
def test_epoch_of_640_images(benchmark, models: int) -> None:
    torch.set_num_threads(1)
    columns = (torch.rand(IMAGES, 3, 32, 32), torch.randint(10, (IMAGES,)))
    nets = [initialised("resnet8-v1", 10, seed) for seed in range(models)]
    net = stack(nets) if models > 1 else nets[0]
    benchmark.extra_info["images_per_round"] = IMAGES * models
    benchmark.pedantic(fit, (net, bind(columns, range(models), "retain", stacked=models > 1), RECIPE), rounds=5, warmup_rounds=1)
