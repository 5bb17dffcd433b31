"""Which device computes, and what times on it are compared with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.engine.machine import Device, find_device, processor
from bench.errors import BenchError


def test_the_processor_is_found_on_a_machine_with_or_without_a_gpu() -> None:
    device = find_device("cpu")
    assert (device.kind, device.torch_name) == ("cpu", "cpu")
    assert device.processor == processor() != ""
    assert device.environment["torch"] == str(torch.__version__)
    assert device.environment["numpy"] == np.__version__


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(BenchError, match="no CUDA device is available; use --device cpu"):
        find_device("cuda")


def test_times_belong_to_what_computes() -> None:
    assert Device("cpu", "cpu", "Some CPU", {}).timed_as == "Some CPU"
    assert Device("Some GPU", "cuda", "Some CPU", {}).timed_as == "Some GPU"
