"""Unlearned models as the challenge's zip of checkpoints."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.models.build import Blueprint
from bench.weights import state

Weights = Mapping[str, NDArray[Any]]  # {name: [M, ...]}


def write_checkpoints(unlearned: Iterable[tuple[Sequence[int], Weights]], blueprint: Blueprint, path: Path) -> None:
    """Zip models as `unlearned_checkpoint_0.pth` ...; the file is whole or absent.

    A checkpoint is what `torch.save` makes of a state dict.

    Args:
        unlearned: trials and the weights of their models, which may be computed as they are asked for.
        blueprint: how the network is made.
        path: the zip to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(partial, "x") as archive:
            for trials, weights in unlearned:
                for position, index in enumerate(trials):
                    archive.writestr(f"unlearned_checkpoint_{index}.pth", _checkpoint(blueprint, weights, position))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _checkpoint(blueprint: Blueprint, weights: Weights, position: int) -> bytes:
    """One model of a stack, as torch.save writes a state dict."""
    model = blueprint.build()
    for name, view in state(model).items():
        view.copy_(torch.from_numpy(np.ascontiguousarray(weights[name][position : position + 1])))
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return buffer.getvalue()
