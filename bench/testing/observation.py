"""What can be seen of a method while it runs: which networks it asks, which files it opens, which tasks it loads."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

_DATA = {".npz", ".npy", ".pt", ".pth", ".safetensors", ".csv", ".json", ".png", ".jpg", ".jpeg", ".pkl", ".zip", ".h5"}
_LIBRARIES = tuple({str(Path(path).resolve()) for path in sysconfig.get_paths().values()})


@dataclass
class Asked:
    """A network of the task's class that was run, with its weights at the first time."""

    network: nn.Module
    before: dict[str, Tensor]
    trained: bool = False  # whether it was ever run with gradients

    def changed(self) -> bool:
        """Whether its weights are no longer what they were."""
        return any(not torch.equal(tensor, self.before[name]) for name, tensor in self.network.state_dict().items())


@dataclass
class Observation:
    """What was seen."""

    asked: dict[int, Asked] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)  # data files, and tasks


@contextmanager
def observed(given: nn.Module) -> Iterator[Observation]:
    """Observe what happens in the block."""
    seen = Observation()
    kind = type(given)

    def before_forward(module: nn.Module, _: Any) -> None:
        if type(module) is kind:
            if id(module) not in seen.asked:
                weights = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
                seen.asked[id(module)] = Asked(module, weights)
            seen.asked[id(module)].trained |= torch.is_grad_enabled()

    hook = register_module_forward_pre_hook(before_forward)
    _watchers().append(seen)
    try:
        yield seen
    finally:
        _watchers().remove(seen)
        hook.remove()


@cache
def _watchers() -> list[Observation]:
    """Those who are told what the process opens. An audit hook stays for good, so there is one, which usually tells nobody."""
    watching: list[Observation] = []

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open" and _is_data(arguments[0]):
            watching[-1].opened.append(str(arguments[0]))
        elif watching and event == "bench.task":
            watching[-1].opened.append(f"task data ({arguments[0]})")

    sys.addaudithook(audit)
    return watching


def _is_data(path: object) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    if path in sys.path:  # searched for modules, whether it exists or not
        return False
    file = Path(os.fsdecode(path))
    return file.suffix.lower() in _DATA and not str(file.absolute()).startswith(_LIBRARIES)
