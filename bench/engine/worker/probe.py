"""Looks at the devices, or loads one plugin to see whether that works and what it changes."""

from __future__ import annotations

import os
import platform
import random
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import torch

from bench.engine.worker.answers import Changed, Devices, Gpu, Nothing
from bench.engine.worker.server import Answer
from bench.registry import discovery, loading, networks

_STATE: dict[str, Callable[[], Any]] = {
    "the working directory": os.getcwd,
    "environment variables": lambda: dict(os.environ),
    "torch's default data type": torch.get_default_dtype,
    "torch's global generator": lambda: torch.random.get_rng_state().tolist(),
    "whether torch computes gradients": torch.is_grad_enabled,
    "torch's number of threads": torch.get_num_threads,
    "whether torch is deterministic": torch.are_deterministic_algorithms_enabled,
    "numpy's global generator": lambda: str(np.random.get_state()),  # noqa: NPY002
    "Python's global generator": random.getstate,
    "signal handlers": lambda: [signal.getsignal(number) for number in signal.valid_signals()],
    "the number of threads": threading.active_count,
}


_FIRST_WITH_BF16 = 8  # major number of what a device is capable of, torch says so of earlier ones, too, which imitate it


def _gpu(number: int) -> Gpu:
    about = torch.cuda.get_device_properties(number)
    return Gpu(name=about.name, uuid=str(about.uuid), bf16=about.major >= _FIRST_WITH_BF16, memory=about.total_memory)


class Probe:
    """A child that looks."""

    def operations(self) -> Mapping[str, Callable[..., Answer]]:
        """What can be asked."""
        return {"devices": self.devices, "load": self.load, "changed_by_loading": self.changed_by_loading}

    def devices(self) -> Answer:
        """The CUDA devices, and what the software is."""
        gpus = [_gpu(number) for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
        return Devices(gpus=gpus, environment={name: str(version) for name, version in versions.items()}), {}

    def load(self, group: str, plugin: discovery.Plugin) -> Answer:
        """Import a plugin of any kind."""
        self._load(group, plugin)
        return Nothing(), {}

    def changed_by_loading(self, group: str, plugin: discovery.Plugin) -> Answer:
        """What importing a plugin changes in its process, beside `sys.modules`."""
        printed = StringIO()
        before = {what: look() for what, look in _STATE.items()}
        with redirect_stdout(printed):
            self._load(group, plugin)
        changed = [what for what, look in _STATE.items() if look() != before[what]]
        return Changed(changed=[*changed, *(["standard output, by printing"] if printed.getvalue() else [])]), {}

    def _load(self, group: str, plugin: discovery.Plugin) -> None:
        from bench.metrics.installed import load_metric
        from bench.tasks.variants import load_registered

        loaders: dict[str, Callable[[discovery.Plugin], object]] = {
            discovery.METHODS: loading.load_method,
            discovery.TASKS: load_registered,
            discovery.NETWORKS: networks.own_network,
            discovery.METRICS: load_metric,
            discovery.EXECUTORS: loading.load_executor,
            discovery.COMMANDS: loading.load_command,
        }
        loaders[group](plugin)
