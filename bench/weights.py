"""Weights as views [M, ...], one row per model; M = 1 for a plain network.

The views alias the network: editing them in place edits the models. Names are those of `named_parameters` and
`named_buffers`. Nothing here mixes rows, so what is written with it holds for a stack as for M plain networks. Frozen
parameters, whose `requires_grad` is False, are in `state` and its copies only: nobody edits them unawares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from bench.errors import BenchError
from bench.models.stacked import size

Views = dict[str, Tensor]


def parameters(model: nn.Module) -> Views:
    """Every parameter that is not frozen."""
    return _views(model, _trained(model))


def gradients(model: nn.Module) -> Views:
    """The gradient of every parameter that has one."""
    return _views(model, ((name, p.grad) for name, p in model.named_parameters() if p.grad is not None))


def gradient(model: nn.Module, loss: Tensor, *, again: bool = False) -> Views:
    """The gradient of a loss with one value per model, 0 where it does not depend on a parameter; `grad` stays as it was.

    With `again`, what the loss was computed with is kept for another gradient.
    """
    names, tensors = zip(*_trained(model), strict=True)
    found = torch.autograd.grad(loss.sum(), tensors, retain_graph=again, allow_unused=True, materialize_grads=True)
    return _views(model, zip(names, found, strict=True))


def state(model: nn.Module) -> Views:
    """Every parameter and buffer that belongs to single models."""
    return _views(model, [*model.named_parameters(), *model.named_buffers()])


def weights(model: nn.Module, kinds: tuple[type[nn.Module], ...] = (nn.Conv2d, nn.Linear)) -> Views:
    """The weights of layers of the given kinds, without biases and normalisation, that are not frozen."""
    names = {f"{name}.weight".lstrip(".") for name, module in model.named_modules() if isinstance(module, kinds)}
    return {name: view for name, view in parameters(model).items() if name in names}


def first_convolution(model: nn.Module) -> str:
    """The name of the first convolution whose weights are not frozen.

    Raises:
        BenchError: there is none.
    """
    if not (names := list(weights(model, (nn.Conv2d,)))):
        raise BenchError("the network has no convolution that is not frozen")
    return names[0].removesuffix(".weight")


def flat(views: Mapping[str, Tensor]) -> Tensor:
    """All views side by side, copied: [M, P]."""
    return torch.cat([view.flatten(1) for view in views.values()], 1)


def unflatten(table: Tensor, views: Mapping[str, Tensor]) -> Views:
    """The inverse of `flat`: columns of [M, P] in the shapes of `views`."""
    parts = table.split([view[0].numel() for view in views.values()], 1)
    return {name: part.reshape(view.shape) for (name, view), part in zip(views.items(), parts, strict=True)}


def assign(views: Mapping[str, Tensor], table: Tensor) -> None:
    """Give views the values of a table [M, P]: `unflatten`, in place."""
    for name, values in unflatten(table, views).items():
        views[name].copy_(values)


def sums(model: nn.Module, tensors: Iterable[Tensor]) -> Tensor:
    """Sum of all entries of tensors with the shapes of parameters, per model: [M]. Gradients flow through it."""
    rows = (tensor.unflatten(0, (size(model), -1)) for tensor in tensors)
    return torch.stack([row.sum(tuple(range(1, row.dim()))) for row in rows]).sum(0)


def across(values: Tensor, view: Tensor) -> Tensor:
    """One value per model [M], shaped to broadcast over a view [M, ...]."""
    return values.view(-1, *[1] * (view.dim() - 1))


def std(view: Tensor) -> Tensor:
    """Standard deviation per model, shaped to broadcast over the view."""
    return across(view.flatten(1).std(1), view)


def smallest(values: Tensor, fraction: float) -> Tensor:
    """Per model, True on the `fraction` of the entries with the smallest values: [M, ...] -> bool [M, ...]."""
    rows = values.flatten(1)
    count = int(fraction * rows.shape[1])
    mask = torch.zeros_like(rows, dtype=torch.bool)
    return mask.scatter_(1, rows.argsort(dim=1, stable=True)[:, :count], True).view(values.shape)


def snapshot(model: nn.Module) -> Views:
    """A copy of `state`."""
    return {name: view.clone() for name, view in state(model).items()}


def restore(model: nn.Module, taken: Mapping[str, Tensor]) -> None:
    """Give a model the weights and buffers of a snapshot."""
    for name, view in state(model).items():
        view.copy_(taken[name])


def choose(model: nn.Module, snapshots: Sequence[Views], picks: Tensor) -> None:
    """Give model m the weights and buffers that it had in snapshots[picks[m]]; picks int64 [M]."""
    for name, view in state(model).items():
        kept = torch.stack([taken[name] for taken in snapshots])
        view.copy_(kept[picks, torch.arange(size(model), device=picks.device)])


def clip(model: nn.Module, max_norm: float) -> None:
    """Scale each model's gradient to norm `max_norm` at most. torch's clip_grad_norm_ would mix the models of a stack."""
    views = gradients(model)
    scale = (max_norm / (flat(views).norm(dim=1) + 1e-6)).clamp(max=1.0)
    for view in views.values():
        view.mul_(across(scale, view))


def frozen(optimizer: Optimizer, model: nn.Module, masks: Mapping[str, Tensor]) -> RemovableHandle:
    """Hold parameter entries where `masks` is True at their present values through every later step of the optimiser.

    They are restored after the step, since momentum and weight decay move entries whose gradient is zero.
    """
    start = {name: view.clone() for name, view in parameters(model).items() if name in masks}

    def restore(*_: object) -> None:
        views = parameters(model)
        for name, kept in start.items():
            views[name].copy_(torch.where(masks[name], kept, views[name]))

    return optimizer.register_step_post_hook(restore)


@contextmanager
def only(model: nn.Module, parts: Sequence[str], *, train_statistics: bool) -> Iterator[list[nn.Parameter]]:
    """Freeze all but some parts of a network, whose parameters it gives; statistics move only there, and only if asked.

    Raises:
        BenchError: these parts were frozen already.
    """
    before = [parameter for parameter in model.parameters() if parameter.requires_grad]
    inside = {id(parameter) for part in parts for parameter in model.get_submodule(part).parameters()}
    if not (trained := [parameter for parameter in before if id(parameter) in inside]):
        raise BenchError(f"all of {', '.join(parts)} is frozen: there is nothing to train")
    model.eval()
    for part in parts:
        model.get_submodule(part).train(train_statistics)
    for parameter in before:
        parameter.requires_grad_(id(parameter) in inside)
    yield trained
    model.train()
    for parameter in before:
        parameter.requires_grad_(True)


def _trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def _views(model: nn.Module, named: Iterable[tuple[str, Tensor]]) -> Views:
    count = size(model)
    return {name: tensor.detach().unflatten(0, (count, -1)) for name, tensor in named if tensor.dim()}
