"""Plain functions as methods: the challenge's `unlearning(net, retain_loader, forget_loader, val_loader)`, unchanged."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from bench.errors import BenchError
from bench.method import Method
from bench.registry.syntax import parsed, source_of
from bench.splits import MethodData, Split
from bench.trial import Trial

SIGNATURE = "unlearning(net, retain_loader, forget_loader, val_loader)"
KEYS = ("image", "age_group", "age", "image_id", "person_id")  # of the challenge's own data


class ChallengeDataset(Dataset[dict[str, Any]]):
    """A split as the challenge's data have it: images float in [0, 1], and who is on them.

    Tasks keep age groups, not ages, so `age` is the group's number; a person whom the task does not know is "-1".
    """

    def __init__(self, split: Split) -> None:
        self._images, self._labels, self._identities = split.images, split.labels.tolist(), split.identities

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, row: int) -> dict[str, Any]:
        label, person = self._labels[row], -1 if self._identities is None else int(self._identities[row])
        return dict(zip(KEYS, (self._images[row], label, label, f"{person}-{row}", str(person)), strict=True))


@dataclass(frozen=True)
class FunctionMethod(Method):
    """A function in the signature of the NeurIPS 2023 challenge, run on one plain network and real DataLoaders.

    It may change the network in place and return nothing, or return a network.

    Source: Triantafillou et al. 2024, arXiv:2406.09073 (the challenge's starting kit).
    """

    batch_format: Literal["auto", "tuple", "dict"] = "auto"  # auto: dicts if the function's file reads the challenge's keys
    batch_size: int = 64  # the challenge's starting kit
    function: ClassVar[Callable[..., nn.Module | None]]

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Call the function."""
        loaders = self._loader(data.retain), self._loader(data.forget), self._loader(data.validation, shuffle=False)
        model.to(memory_format=torch.contiguous_format)  # as the challenge's networks lay in memory: `view` works
        returned = type(self).function(model, *loaders)
        return model if returned is None else returned

    def _loader(self, split: Split, *, shuffle: bool = True) -> DataLoader[Any]:
        dicts = reads_keys(type(self).function) if self.batch_format == "auto" else self.batch_format == "dict"
        if not dicts:
            return split.loader(self.batch_size, shuffle)
        return DataLoader(ChallengeDataset(split), self.batch_size, shuffle=shuffle, generator=split.generators[0])


def reads_keys(function: Callable[..., object]) -> bool:
    """Whether the source file of a function has `batch["image"]`, `batch.get("age")` or another key of the challenge."""
    try:
        tree = parsed(source_of(inspect.getmodule(function) or function))
    except (OSError, TypeError, SyntaxError, ValueError):
        return False
    nodes = list(ast.walk(tree))
    keys = [node.slice for node in nodes if isinstance(node, ast.Subscript)]
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args]
    keys += [call.args[0] for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "get"]
    return any(isinstance(key, ast.Constant) and key.value in KEYS for key in keys)


def method_of(function: Callable[..., Any]) -> type[Method]:
    """The method that calls a function.

    Raises:
        BenchError: it has another signature.
    """
    try:
        inspect.signature(function).bind(*SIGNATURE.partition("(")[2].split(","))
    except TypeError:
        raise BenchError(f"expected {SIGNATURE}, found {function.__name__}{inspect.signature(function)}") from None
    documentation = inspect.getdoc(function) or FunctionMethod.__doc__
    return type(function.__name__, (FunctionMethod,), {"function": staticmethod(function), "__doc__": documentation})
