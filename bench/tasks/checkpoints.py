"""Weights of a model that was unlearned elsewhere, from a file that is never unpickled beyond tensors."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from bench.errors import BenchError, one_line
from bench.outputs import Arrays
from bench.tasks.answers import content_of
from bench.weights import state

PARALLEL = "module."  # what DataParallel puts before every name
_HOW = "save it with torch.save(model.state_dict(), FILE) or as safetensors"


def read_weights(file: Path, template: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Weights and buffers {name: array} of a network as `template` is one, from a state dict in a checkpoint.

    Raises:
        BenchError: the file is something else, or of another network, or a number in it is not finite.
    """
    found = _without_prefix(_loaded(file))
    wanted = {name: tuple(view.shape[1:]) for name, view in state(template).items()}
    _check_names(file, set(found) - (set(template.state_dict()) - set(wanted)), set(wanted))
    return {name: _array(file, name, found[name], shape) for name, shape in wanted.items()}


def stacked(weights: list[dict[str, NDArray[np.float32]]]) -> Arrays:
    """Weights {name: [M, ...]} of M models."""
    return {name: np.stack([each[name] for each in weights]) for name in weights[0]}


def _loaded(file: Path) -> Mapping[str, Tensor]:
    content = content_of(file)
    found = _load_torch(file, len(content)) if content.startswith(b"PK") else _load_safetensors(file, content)
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise BenchError(f"{file} holds {_kind(found)}, not the weights of a model; {_HOW}")
    odd = [name for name, value in found.items() if not isinstance(value, Tensor) or value.layout != torch.strided]
    if odd or not found:
        told = f"{one_line(odd[0])!r} in it is {_kind(found[odd[0]])}" if odd else "it is empty"
        raise BenchError(f"{file} is no state dict, {told}; {_HOW}")
    return found


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"


def _load_torch(file: Path, size: int) -> Any:
    """What `torch.save` wrote; tensors are views of the file, so that none reaches beyond it."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise ValueError("it is compressed")
            if sum(member.file_size for member in members) > size:
                raise ValueError("its members overlap")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(str(file), map_location="cpu", weights_only=True, mmap=True)
    except Exception as problem:  # torch's are many, and speak of pickles
        told = one_line(str(problem)) if isinstance(problem, ValueError | zipfile.BadZipFile) else "it holds more than tensors"
        raise BenchError(f"{file} is no checkpoint of weights alone ({told}); {_HOW}") from problem


def _load_safetensors(file: Path, content: bytes) -> dict[str, Tensor]:
    try:
        return load_safetensors(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as problem:
        raise BenchError(f"{file} is no checkpoint ({one_line(str(problem))}); {_HOW}") from problem


def _without_prefix(found: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """As they are without DataParallel."""
    if all(name.startswith(PARALLEL) for name in found):
        return {name.removeprefix(PARALLEL): value for name, value in found.items()}
    return found


def _check_names(file: Path, given: set[str], wanted: set[str]) -> None:
    parts = [
        f"{noun} {one_line(names[0])}{f' and {len(names) - 1} more' if len(names) > 1 else ''}"
        for noun, names in (("it lacks", sorted(wanted - given)), ("it has also", sorted(given - wanted)))
        if names
    ]
    if parts:
        raise BenchError(f"{file} is not of the task's network: {', '.join(parts)}; `bench tasks show` names the network")


def _array(file: Path, name: str, value: Tensor, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if tuple(value.shape) != shape:
        raise BenchError(f"{file} is not of the task's network: {name} is {list(value.shape)}, not {list(shape)}")
    if value.is_complex() or not value.dtype.is_floating_point:
        raise BenchError(f"{file}: {name} holds {value.dtype}, not weights")
    array: NDArray[np.float32] = value.detach().float().numpy()
    if not np.isfinite(array).all():
        raise BenchError(f"{file}: {name} has weights that are not finite")
    return array
