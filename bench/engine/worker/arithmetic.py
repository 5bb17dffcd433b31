"""How a process computes on a GPU: so that results repeat, without kernels that nobody needs, and as precisely as is asked."""

from __future__ import annotations

import os

import torch

from bench.models.devices import Precision


def set_up(device: torch.device, precision: Precision) -> None:
    """Set what torch keeps for the whole process, before it uses the device. One CPU thread is deterministic anyway."""
    if device.type != "cuda":
        return
    if device.index is not None:
        torch.cuda.set_device(device)  # whatever is asked of "the" device, by bench or by a method, is asked of this one
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, products need not repeat
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # a kernel for every new tensor
    tf32 = precision == "tf32"  # torch's default for convolutions: gradients of a ResNet-8 are then off by 3 to 5 %
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
