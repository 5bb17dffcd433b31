"""Many models in one network: `stack(nets)` turns M networks into one that computes all of them at once.

Same class, same attribute and parameter names; every parameter and buffer is M times as long in dimension 0, and model m
owns the m-th part. Convolutions get M groups; a BatchNorm2d of M*C channels is exactly M separate ones; the linear head
is one batched product. An elementwise optimiser on the stack is exactly M optimisers.

Images arrive as [M, B, C, H, W] (or [B, C, H, W], shared by all models) and are folded to [B, M*C, H, W] on the way in;
logits leave as [M, B, K].
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from bench.models.products import convolved, fits


class StackedLinear(nn.Linear):
    """M linear layers: [B, M*I] -> [B, M*O], weight [M*O, I]."""

    stack_size: int

    def forward(self, x: Tensor) -> Tensor:
        """One batched product over the M models."""
        weight, bias = (tensor.unflatten(0, (self.stack_size, -1)) for tensor in (self.weight, self.bias))
        inputs = x.unflatten(1, (self.stack_size, -1)).transpose(0, 1)
        return torch.baddbmm(bias[:, None], inputs, weight.mT).transpose(0, 1).flatten(1)


class StackedConv2d(nn.Conv2d):
    """M convolutions: [B, M*I, H, W] -> [B, M*O, H', W'], by groups, or by batched products where these are faster."""

    stack_size: int

    def forward(self, x: Tensor) -> Tensor:
        """All models at once."""
        return convolved(self, self.stack_size, x) if fits(self, self.stack_size, x) else super().forward(x)


def size(net: nn.Module) -> int:
    """How many models `net` holds: M of a stack, 1 of a plain network."""
    return int(getattr(net, "stack_size", 1))


def stack(nets: Sequence[nn.Module]) -> nn.Module:
    """One network that holds the given networks of one architecture, with copies of their weights.

    Raises:
        TypeError: for a layer that does not keep channels apart, or that draws from torch's global generator.
    """
    count, net = len(nets), copy.deepcopy(nets[0])
    for module in net.modules():
        _widen(module, count)
    states = [_tensors(source) for source in nets]
    for name, tensor in _tensors(net).items():
        if tensor.dim():  # counters such as num_batches_tracked are common to all
            tensor.data = torch.cat([state[name].detach() for state in states])
    net.stack_size = count  # type: ignore[assignment]
    net.register_forward_pre_hook(partial(_fold, count))
    net.register_forward_hook(partial(_unfold, count))
    return net.to(memory_format=torch.channels_last)


def alone(net: nn.Module) -> nn.Module:
    """A stack of one: a copy of any network, also of one that cannot be stacked, which is called as a stack is."""
    copied = copy.deepcopy(net)
    copied.stack_size = 1  # type: ignore[assignment]
    copied.register_forward_pre_hook(_without_lead)
    copied.register_forward_hook(_with_lead)
    return copied


def unstack(net: nn.Module, index: int, template: nn.Module) -> nn.Module:
    """Model `index` of a stack as a plain network; `template` is any plain network of the architecture."""
    plain = copy.deepcopy(template)
    count, tensors = size(net), _tensors(net)
    for name, tensor in _tensors(plain).items():
        source = tensors[name].detach()
        tensor.data = (source.unflatten(0, (count, -1))[index] if source.dim() else source).clone()
    return plain.train(net.training)


def _tensors(net: nn.Module) -> dict[str, Tensor]:
    return dict([*net.named_parameters(), *net.named_buffers()])


def _widen(module: nn.Module, count: int) -> None:
    match module:
        case nn.Conv2d():
            module.groups *= count
            module.in_channels *= count
            module.out_channels *= count
            if type(module) is nn.Conv2d:
                module.__class__ = StackedConv2d
                module.stack_size = count  # type: ignore[assignment]
        case nn.BatchNorm2d():
            module.num_features *= count
        case nn.GroupNorm():
            module.num_groups *= count
            module.num_channels *= count
        case nn.Linear() if type(module) is nn.Linear and module.bias is not None:
            module.__class__ = StackedLinear
            module.stack_size = count  # type: ignore[assignment]
        case _DropoutNd() if module.p:
            raise TypeError(f"cannot stack {module}: it draws from torch's global generator")
        case _ if _owns_tensors(module) and not getattr(module, "per_channel", False):
            raise TypeError(f"cannot stack {type(module).__name__}: it may mix the channels of different models")


def _owns_tensors(module: nn.Module) -> bool:
    return any(True for _ in (*module.parameters(recurse=False), *module.buffers(recurse=False)))


def _fold(count: int, _module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
    (images,) = args
    shared = images.dim() == 4
    images = images[:, None].expand(-1, count, -1, -1, -1) if shared else images.transpose(0, 1)
    return (images.flatten(1, 2).contiguous(memory_format=torch.channels_last),)


def _without_lead(_module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
    (images,) = args
    return (images if images.dim() == 4 else images[0],)


def _with_lead(_module: nn.Module, _args: tuple[Tensor], logits: Tensor) -> Tensor:
    return logits[None]


def _unfold(count: int, _module: nn.Module, _args: tuple[Tensor], logits: Tensor) -> Tensor:
    unfolded: Tensor = logits.unflatten(1, (count, -1)).transpose(0, 1)
    return unfolded
