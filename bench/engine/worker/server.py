"""What the servers of child processes have in common: the task's splits on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
import torch._dynamo  # the first optimiser would import it, which takes 1.8 s: here the fork server pays, once
from numpy.typing import NDArray
from torch import Tensor

from bench.engine.jobs import Setting
from bench.engine.worker import arithmetic
from bench.engine.worker.handed import Pictures
from bench.models.build import Blueprint
from bench.registry.networks import blueprint_of
from bench.splits import Split, bind

Answer = tuple[Any, dict[str, Tensor]]  # what is told, and arrays


class Server:
    """Splits on the device, and the operations that a subclass offers."""

    def __init__(self, connection: Connection, setting: Setting, pictures: Mapping[str, Pictures]) -> None:
        self.connection, self.setting = connection, setting
        self.device = torch.device(setting.device)
        arithmetic.set_up(self.device, setting.precision)
        self.columns = {name: self._resident(*columns) for name, columns in pictures.items()}

    @cached_property
    def blueprint(self) -> Blueprint:
        """How the task's network is made."""
        setting = self.setting
        made_by = blueprint_of(setting.network, setting.own_network, setting.classes, setting.size)
        return replace(made_by, precision=setting.precision)

    def operations(self) -> Mapping[str, Callable[..., Answer]]:
        """What can be asked."""
        raise NotImplementedError

    def _resident(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(images).to(self.device), torch.from_numpy(labels).to(self.device)

    def _bind(self, name: str, seeds: Sequence[int], *, stacked: bool) -> Split:
        return bind(self.columns[name], seeds, name, stacked=stacked)

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
