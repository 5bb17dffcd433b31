"""What every process computes with."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from bench.engine.jobs import Setting
from bench.engine.worker.server import Server
from bench.models.networks import recipe_for


@pytest.fixture
def arithmetic() -> Iterator[None]:
    """What a server sets for its whole process is as before when the test ends."""
    cudnn, deterministic = torch.backends.cudnn, torch.are_deterministic_algorithms_enabled()
    tf32, fill = cudnn.allow_tf32, torch.utils.deterministic.fill_uninitialized_memory
    yield
    cudnn.allow_tf32, torch.utils.deterministic.fill_uninitialized_memory = tf32, fill
    torch.use_deterministic_algorithms(deterministic)


@pytest.mark.usefixtures("arithmetic")
def test_on_a_gpu_float32_is_float32_and_repeats(monkeypatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.backends.cudnn.allow_tf32 = True
    Server(None, Setting("resnet8-v1", 4, recipe_for("resnet8-v1"), "cuda", "Some GPU", ""), {})
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize(("device", "chosen"), [("cuda:1", [torch.device("cuda:1")]), ("cuda", []), ("cpu", [])])
def test_one_of_several_gpus_is_the_one_that_its_process_uses(device: str, chosen: list[torch.device], monkeypatch) -> None:
    """To wait for "the" device would else be to wait for the first, and times would end too early."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    asked: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", asked.append)
    Server(None, Setting("resnet8-v1", 4, recipe_for("resnet8-v1"), device, "Some GPU", ""), {})
    assert asked == chosen
