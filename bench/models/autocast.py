"""Networks that compute in bfloat16. Their weights and statistics, and what they answer, are float32."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from bench.models.devices import Precision


def compute_in(network: nn.Module, precision: Precision) -> nn.Module:
    """Have a network, and copies that are made of it, compute in a precision from now on; returns it.

    Convolutions and products get bfloat16 numbers by torch's autocast, which leaves the rest in float32. TF32 is a setting of the
    whole process, see `bench.engine.worker.arithmetic`.
    """
    rounds = precision == "bf16"
    if rounds and not hasattr(network, "rounds"):
        _leave_untraced()
        hooks = _Autocast()
        network.register_forward_pre_hook(hooks.enter, prepend=True)
        network.register_forward_hook(hooks.leave, always_call=True)
    if rounds or hasattr(network, "rounds"):
        network.rounds = rounds  # type: ignore[assignment]
    return network


class _Autocast:
    """Hooks around each forward pass, and not around a whole method: its own arithmetic stays as it was written."""

    def __init__(self) -> None:
        self._entered: list[torch.autocast] = []

    def enter(self, network: nn.Module, images: tuple[Tensor, ...]) -> None:
        """Before the pass. Weights in bfloat16 are not kept from one pass to the next, between which an optimiser moves them."""
        device, wanted = next(network.parameters()).device.type, bool(network.rounds)
        context = torch.autocast(device, torch.bfloat16, enabled=wanted, cache_enabled=False)
        context.__enter__()
        self._entered.append(context)

    def leave(self, network: nn.Module, images: tuple[Tensor, ...], logits: Tensor | None) -> Tensor | None:
        """After it, also where it failed."""
        if self._entered:
            self._entered.pop().__exit__(None, None, None)
        return logits.float() if logits is not None and logits.dtype == torch.bfloat16 else logits


@cache
def _leave_untraced() -> None:
    """Let torch.compile pass the hooks by, which it cannot trace; to say so imports its compiler, which takes a second."""
    for name in ("enter", "leave"):
        setattr(_Autocast, name, torch.compiler.disable(getattr(_Autocast, name)))
