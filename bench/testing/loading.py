"""What importing a plugin changes in its process, beside `sys.modules`."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import torch

from bench import registry

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


def changed_by_loading(plugin: registry.Plugin) -> list[str]:
    """Import a method in this process and say what that changed."""
    printed = StringIO()
    before = {what: look() for what, look in _STATE.items()}
    with redirect_stdout(printed):
        registry.load_method(plugin)
    changed = [what for what, look in _STATE.items() if look() != before[what]]
    return [*changed, *(["standard output, by printing"] if printed.getvalue() else [])]
