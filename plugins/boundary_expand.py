"""Boundary expand: teach forget a class of its own, then take that class away.

Source: Chen et al. 2023, arXiv:2303.11570; public code: OPTML-Group/Unlearn-Saliency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from bench import BenchError, Method, hookimpl
from bench.method import Layer
from bench.models.layers import last_linear
from bench.models.stacked import size
from bench.splits import MethodData
from bench.trial import Trial

from .boundary_shrink import OnForget


def grow(layer: nn.Linear, models: int, trial: Trial) -> None:
    """One more output for every model of a linear layer, drawn as torch initialises one."""
    bound = layer.in_features**-0.5
    for name, tensor in list(layer.named_parameters()):
        old = tensor.detach().unflatten(0, (models, -1))
        new = bound * (2 * trial.uniform_like(old[:, :1]) - 1)
        setattr(layer, name, nn.Parameter(torch.cat([old, new], 1).flatten(0, 1), tensor.requires_grad))


def shrink(layer: nn.Linear, models: int, originals: Mapping[str, Tensor]) -> None:
    """Take the last output of every model away: the others go into the parameters that the layer had before it grew."""
    for name, tensor in originals.items():
        grown = layer.get_parameter(name).detach().unflatten(0, (models, -1))
        tensor.detach().copy_(grown[:, :-1].flatten(0, 1))
        setattr(layer, name, tensor)


@dataclass(frozen=True)
class BoundaryExpand(OnForget):
    """The last linear layer gets one more class; cross-entropy on forget with it; the class is dropped at the end.

    The new class starts as torch initialises a linear layer, so trials differ in that and in the order of batches. The
    optimiser is made after the layer has grown. In one public version the class stays, and a forgotten example is told by it; the
    paper drops it. Retain is not seen: BatchNorm statistics drift to forget.

    Source: Chen et al. 2023, arXiv:2303.11570, section 3.3.
    """

    needs: ClassVar[tuple[Layer, ...]] = ("linear",)

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Grow, train, shrink."""
        layer, models = last_linear(model)[1], size(model)
        if layer.out_features != trial.classes:
            raise BenchError(f"the last linear layer gives {layer.out_features} numbers, and there are {trial.classes} classes")
        originals = dict(layer.named_parameters())
        grow(layer, models, trial)
        self.fit(model, data.forget.labelled(torch.full_like(data.forget.labels, trial.classes)))
        shrink(layer, models, originals)
        return model


@hookimpl
def register_methods(register: Callable[[type[Method]], None]) -> None:
    """Register boundary expand."""
    register(BoundaryExpand)
