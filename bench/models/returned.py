"""What a method returns: the task's network, or how it differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from bench.models.stacked import size
from bench.models.unwrapped import unwrapped

Shapes = Mapping[str, tuple[int, ...]]
NOT_THE_NETWORK = "the returned model is not the task's network"
RETURN_IT = "return the given network or a copy of it, without layers or wrappers of your own"


def shapes(model: nn.Module) -> Shapes:
    """Shapes of one model's parameters and buffers."""
    tensors, count = [*model.named_parameters(), *model.named_buffers()], size(model)
    return {name: (tensor.shape[0] // count, *tensor.shape[1:]) for name, tensor in tensors if tensor.dim()}


def mismatch(found: Shapes, wanted: Shapes) -> str:
    """How weights differ from a network's, in words; "" if they fit.

    >>> mismatch({"fc.weight": (4, 8), "module.fc.bias": (4,)}, {"fc.weight": (9, 8), "fc.bias": (9,)})
    'fc.bias is missing; module.fc.bias is unexpected; fc.weight is (4, 8), not (9, 8)'
    """
    missing, unexpected = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    other = [f"{name} is {found[name]}, not {shape}" for name, shape in wanted.items() if found.get(name, shape) != shape]
    named = [_named(missing, "missing"), _named(unexpected, "unexpected"), *other[:1]]
    return "; ".join(filter(None, named))


def _named(names: Sequence[str], what: str) -> str:
    more = f" and {len(names) - 1} more are {what}" if len(names) > 1 else f" is {what}"
    return f"{names[0]}{more}" if names else ""


def returned_model(returned: object, wanted: Shapes, models: int) -> nn.Module:
    """What `unlearn` has returned, without wrappers.

    Raises:
        TypeError: it is no network, or another one than so many models of the wanted shapes.
    """
    if not isinstance(returned, nn.Module):
        raise TypeError(f"unlearn must return the model, not {type(returned).__name__}")
    model = unwrapped(returned)
    if size(model) != models:
        raise TypeError(f"unlearn returned {size(model)} models for {models} trials")
    if different := mismatch(shapes(model), wanted):
        raise TypeError(f"{NOT_THE_NETWORK}: {different}; {RETURN_IT}")
    return model
