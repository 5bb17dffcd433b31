"""Plain functions as methods: the challenge's `unlearning(net, retain_loader, forget_loader, val_loader)`, unchanged."""

from __future__ import annotations

import functools
import inspect
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import BoundArguments, Parameter, Signature
from typing import Any, ClassVar

import torch
from torch import nn
from torch.utils.data import DataLoader

from bench.errors import BenchError, described
from bench.method import Method
from bench.registry.batches import ChallengeDataset, Form, take_pixels, take_usual_pixels
from bench.splits import MethodData, Split
from bench.trial import Trial

SIGNATURE = "unlearning(net, retain_loader, forget_loader, val_loader)"
ROLES = {  # what is handed over, in the challenge's order, and names of arguments that say so
    "net": r"net|network|model",
    "retain": r"(retain|remain|keep|kept)[a-z]*|(?<=_)r|dr",
    "forget": r"(forg[eo]t|erase)[a-z]*|(?<=_)f|df",
    "validation": r"val(?!ue)[a-z]*|(?<=_)v|dv|test[a-z]*",
}
_SPREAD = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_HINT = "another order is understood where names say net or model, retain, forget and val"
_READ_AS = {"auto": "(images, labels) or by the challenge's keys", "tuple": "(images, labels)", "dict": "dicts"}
_MISREAD = re.compile(
    r"^KeyError|indices must be integers|converted to an index|values to unpack|has no attribute '(get|items|keys|values)'$"
)


@dataclass(frozen=True)
class FunctionMethod(Method):
    """A function in the signature of the NeurIPS 2023 challenge, run on one plain network and real DataLoaders.

    It may change the network in place and return nothing, or return a network.

    Source: Triantafillou et al. 2024, arXiv:2406.09073 (the challenge's starting kit).
    """

    batch_format: Form = (
        "auto"  # auto: what can be read as (images, labels) and by the challenge's keys; tuple, dict: as that alone
    )
    batch_size: int = 64  # the challenge's starting kit
    pixel_scale: float = 1.0  # white, as the loaders and the network have it; the challenge's own loaders: 255
    function: ClassVar[Callable[..., nn.Module | None]]

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Call the function."""
        splits = {"retain": data.retain, "forget": data.forget, "validation": data.validation}
        loaders = {role: self._loader(split, trial, shuffle=role != "validation") for role, split in splits.items()}
        model.to(memory_format=torch.contiguous_format)  # as the challenge's networks lay in memory: `view` works
        if self.pixel_scale != 1:
            take_pixels(model, self.pixel_scale)
        returned = self._call({"net": model, **loaders})
        done = model if returned is None else returned
        if self.pixel_scale != 1 and isinstance(done, nn.Module):
            take_usual_pixels(done)
        return done

    def _call(self, handed: Mapping[str, object]) -> nn.Module | None:
        arguments, named = arrangement(type(self).function)
        try:
            return type(self).function(
                *(handed[role] for role in arguments), **{name: handed[role] for name, role in named.items()}
            )
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            if _MISREAD.search(described(problem)):
                problem.add_note(f"batches are read as {_READ_AS[self.batch_format]}; --batch-format tuple or dict changes that")
            raise

    def _loader(self, split: Split, trial: Trial, *, shuffle: bool) -> DataLoader[Any]:
        dataset = ChallengeDataset(
            split, self.batch_format, scale=self.pixel_scale, classes=trial.classes, class_weights=trial.class_weights
        )
        return dataset.loader(self.batch_size, split.generators[0], shuffle=shuffle)


def arrangement(function: Callable[..., Any]) -> tuple[list[str], dict[str, str]]:
    """Which of ROLES a function is called with, by position and by name.

    Names decide if all four are clear; else the challenge's order, as long as no name says something else.

    Raises:
        BenchError: it has another signature.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        raise BenchError(f"expected {SIGNATURE}; {_name(function)} does not say what its arguments are") from None
    places = _by_name(signature) or _in_order(signature)
    if not places:
        raise BenchError(f"expected {SIGNATURE}, found {_name(function)}{signature}; {_HINT}")
    return list(places.args), dict(places.kwargs)


def _by_name(signature: Signature) -> BoundArguments | None:
    """Each of ROLES at the one argument that is called so: of several, at the one without a default."""
    claims = {role: [each for each in signature.parameters.values() if _role(each) == role] for role in ROLES}
    needed = {role: [each for each in claimants if each.default is Parameter.empty] for role, claimants in claims.items()}
    found = {role: needed[role] or claims[role] for role in ROLES}
    if any(len(claimants) != 1 for claimants in found.values()):
        return None
    names = {claimants[0].name: role for role, claimants in found.items()}
    lacking = [each for each in signature.parameters.values() if each.default is Parameter.empty and each.kind not in _SPREAD]
    if any(each.name not in names for each in lacking):
        return None
    return BoundArguments(signature, OrderedDict((name, names[name]) for name in signature.parameters if name in names))


def _in_order(signature: Signature) -> BoundArguments | None:
    try:
        bound = signature.bind(*ROLES)
    except TypeError:
        return None
    for name, role in bound.arguments.items():
        parameter = signature.parameters[name]
        if (
            parameter.kind not in _SPREAD
            and _role(parameter) != role
            and (_role(parameter) or parameter.default is not Parameter.empty)
        ):
            return None
    return bound


def _role(parameter: Parameter) -> str:
    """What an argument's name says that it is; "" if that is not clear."""
    found = [role for role, words in ROLES.items() if re.search(rf"(?<![a-z])({words})(?![a-z])", parameter.name.lower())]
    return found[0] if len(found) == 1 and parameter.kind not in _SPREAD else ""


def method_of(function: Callable[..., Any]) -> type[Method]:
    """The method that calls a function, or whatever else can be called.

    Raises:
        BenchError: it has another signature.
    """
    arrangement(function)
    documentation = inspect.getdoc(_written(function)) or FunctionMethod.__doc__
    return type(_name(function), (FunctionMethod,), {"function": staticmethod(function), "__doc__": documentation})


def _written(function: Callable[..., Any]) -> Any:
    """What somebody wrote: of a partial call the function, of an object its class."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if hasattr(function, "__name__") else type(function)


def _name(function: Callable[..., Any]) -> str:
    return str(_written(function).__name__)
