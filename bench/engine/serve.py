"""The child's side. A method worker runs one plugin; a trusted worker trains references and evaluates, and never loads one."""

from __future__ import annotations

import json
import os
import platform
import random
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from bench import registry, specs
from bench.budget import Allowance
from bench.errors import BenchError
from bench.losses import cross_entropy
from bench.method import Control, Method
from bench.models import build, initialised, size, stack
from bench.outputs import OUTPUT_SPLITS, retain_sample_rows
from bench.seeds import purpose_seed, seed_of
from bench.splits import MethodData, Split, bind, predict
from bench.tasks.task import METHOD_SPLITS, Recipe
from bench.training import class_weights, fit
from bench.trial import Trial
from bench.weights import state

REFERENCE_ROOT = 0  # references belong to the task, not to a run: their root seed is fixed
ORIGINAL_INDEX = 2**31  # far from any retrained model's index
LONGEST_REASON = 300  # characters of an error that a plugin raises; its traceback is kept whole in the log

Pictures = tuple[NDArray[np.uint8], NDArray[np.int64]]
Answer = tuple[dict[str, Any], dict[str, Tensor]]


@dataclass(frozen=True)
class Setting:
    """What every child knows of the task and the device."""

    network: str
    classes: int
    recipe: Recipe
    device: str  # for torch: "cpu" or "cuda"


class _Server:
    """Splits on the device, and the operations that a subclass offers."""

    def __init__(self, connection: Connection, setting: Setting, pictures: Mapping[str, Pictures]) -> None:
        self.connection, self.setting = connection, setting
        self.device = torch.device(setting.device)
        if self.device.type == "cuda":  # one CPU thread is deterministic anyway, and asking for it takes 1.4 s
            torch.use_deterministic_algorithms(True, warn_only=True)
        self.columns = {name: self._resident(*columns) for name, columns in pictures.items()}

    def operations(self) -> Mapping[str, Callable[..., Answer]]:
        """What can be asked."""
        raise NotImplementedError

    def _resident(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(images).to(self.device).float() / 255, torch.from_numpy(labels).to(self.device)

    def _bind(self, name: str, seeds: Sequence[int], *, stacked: bool) -> Split:
        return bind(self.columns[name], seeds, name, stacked=stacked)

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


class TrustedServer(_Server):
    """Trains references, times retraining, evaluates weights. Has all splits and never loads a plugin."""

    def __init__(self, connection: Connection, setting: Setting, pictures: Mapping[str, Pictures]) -> None:
        super().__init__(connection, setting, pictures)
        retain, test = (len(self.columns[name][1]) for name in ("retain", "test"))
        self.sample = torch.from_numpy(retain_sample_rows(retain, test)).to(self.device)
        self.columns["train"] = tuple(
            torch.cat(both) for both in zip(self.columns["retain"], self.columns["forget"], strict=True)
        )  # type: ignore[assignment]

    def operations(self) -> Mapping[str, Callable[..., Answer]]:
        """What can be asked."""
        return {
            "train_original": self.train_original,
            "train_retrained": self.train_retrained,
            "prepare_epochs": self.prepare_epochs,
            "run_epochs": self.run_epochs,
            "evaluate": self.evaluate,
        }

    def train_original(self) -> Answer:
        """The original model: its weights and outputs."""
        model = self._train("train", [ORIGINAL_INDEX])
        weights = {f"weights/{name}": view for name, view in state(model).items()}
        return {}, {**self._outputs(model), **weights}

    def train_retrained(self, indices: Sequence[int]) -> Answer:
        """A stack of retrained models: its outputs."""
        return {}, self._outputs(self._train("retain", indices))

    def prepare_epochs(self) -> Answer:
        """Train a throw-away plain network for one epoch, so that the next ones are warm."""
        seed = seed_of(REFERENCE_ROOT, "init", 0)
        self.timed = initialised(self.setting.network, self.setting.classes, purpose_seed(seed, "init")).to(self.device)
        return self.run_epochs(1)

    def run_epochs(self, epochs: int) -> Answer:
        """Train it for some epochs of the recipe."""
        split = self._bind("retain", [seed_of(REFERENCE_ROOT, "init", 0)], stacked=False)
        fit(self.timed, split, self.setting.recipe, self._class_weights(), epochs=epochs)
        self._synchronise()
        return {}, {}

    def evaluate(self, weights: Mapping[str, NDArray[np.float32]]) -> Answer:
        """Outputs of M models given by their weights {name: [M, ...]}, loaded into a network built here."""
        template = build(self.setting.network, self.setting.classes)
        wanted = {name: view.shape[1:] for name, view in state(template).items()}
        given = {name: torch.from_numpy(array) for name, array in weights.items()}
        if {name: array.shape[1:] for name, array in given.items()} != wanted:
            odd = sorted(set(given) ^ set(wanted)) or [name for name in wanted if given[name].shape[1:] != wanted[name]]
            raise ValueError(f"the returned model is not the task's network: {odd[0]} differs")
        for name, array in given.items():
            if not array.isfinite().all():
                raise ValueError(f"the returned model has weights that are not finite: {name}")
        models = len(next(iter(given.values())))
        model = stack([template] * models)
        for name, view in state(model).items():
            view.copy_(given[name])
        outputs = self._outputs(model.to(self.device))
        for name, logits in outputs.items():
            if not logits.isfinite().all():
                raise ValueError(f"the returned model answers with numbers that are not finite on the {name} split")
        return {}, outputs

    def _train(self, split: str, indices: Sequence[int]) -> nn.Module:
        seeds = [seed_of(REFERENCE_ROOT, "reference", index) for index in indices]
        nets = [initialised(self.setting.network, self.setting.classes, purpose_seed(seed, "init")) for seed in seeds]
        data = self._bind(split, seeds, stacked=True)
        epochs = self.setting.recipe.epochs
        return fit(
            stack(nets).to(self.device),
            data,
            self.setting.recipe,
            self._class_weights(),
            after_epoch=lambda epoch: _send(self.connection, {"progress": epoch / epochs}),
        )

    def _class_weights(self) -> Tensor | None:
        return class_weights(self.setting.recipe, self.columns["retain"][1], self.setting.classes)

    def _outputs(self, model: nn.Module) -> dict[str, Tensor]:
        own = [0] * size(model)
        logits = {
            name: predict(model, self._bind(name, own, stacked=True))
            for name in ("retain", *(name for name in OUTPUT_SPLITS if name != "retain_sample"))
        }
        retain = logits.pop("retain")
        accuracy = (retain.argmax(-1) == self.columns["retain"][1]).double().mean(-1)
        return {**logits, "retain_sample": retain[:, self.sample], "retain_accuracy": accuracy}


class MethodServer(_Server):
    """Runs one plugin on the splits that a method may see."""

    def __init__(
        self,
        connection: Connection,
        setting: Setting,
        pictures: Mapping[str, Pictures],
        original: Mapping[str, NDArray[np.float32]],
        plugin: registry.Plugin,
        spec: specs.Spec,
    ) -> None:
        super().__init__(connection, setting, pictures)
        self.original, self.plugin, self.spec = original, plugin, spec

    def operations(self) -> Mapping[str, Callable[..., Answer]]:
        """What can be asked."""
        return {
            "describe": self.describe,
            "start": self.start,
            "warm_up": self.warm_up,
            "unlearn": self.unlearn,
            "peak_memory": self.peak_memory,
            "weights": self.weights,
        }

    @property
    def method(self) -> Method:
        """The plugin's method with the spec's hyper-parameters."""
        return specs.configure(registry.load_method(self.plugin), self.spec)

    def describe(self, models: int) -> Answer:
        """What the engine must know of the method before it plans."""
        method = self.method
        variants = [method.variant(index) for index in range(models)]
        return {
            "stackable": all(variant.stackable for variant in variants),
            "control": isinstance(method, Control),
            "hyper_parameters": specs.hyper_parameters(method),
            "variants": [variants.index(variant) for variant in variants],
            "reference_models": list(method.reference_models(models)) if isinstance(method, Control) else [],
            "documentation": type(method).__doc__ or "",
        }, {}

    def start(self, trials: Sequence[int], root: int, allowance: float, *, stacked: bool) -> Answer:
        """Make the model, data and trial object of one or more trials."""
        self.running = self.method.variant(trials[0])
        seeds = tuple(seed_of(root, "trial", index) for index in trials)
        self.model = self._original_model(len(trials) if stacked else None)
        self.data = MethodData(**{name: self._bind(name, seeds, stacked=stacked) for name in METHOD_SPLITS})
        self.trial = _trial(self.setting, self.device, trials, seeds, allowance, self.columns["retain"][1], stacked=stacked)
        _seed_globally(seeds[0])
        return {}, {}

    def warm_up(self) -> Answer:
        """One forward and backward pass of a throw-away copy: first calls are slow and would be charged to the method."""
        copy = self._original_model(size(self.model) if self.trial.stacked else None)
        images, labels = next(iter(self.data.retain.batches(64, shuffle=False)))
        cross_entropy(copy(images), labels).sum().backward()
        self._synchronise()
        return {}, {}

    def unlearn(self) -> Answer:
        """Run the method."""
        returned = self.running.unlearn(self.model, self.data, self.trial)
        if not isinstance(returned, nn.Module):
            raise TypeError(f"unlearn must return the model, not {type(returned).__name__}")
        if size(returned) != len(self.trial.seeds):
            raise TypeError(f"unlearn returned {size(returned)} models for {len(self.trial.seeds)} trials")
        self.model = returned
        self._synchronise()
        return {}, {}

    def peak_memory(self) -> Answer:
        """Most bytes of device memory that tensors have had."""
        return {"bytes": torch.cuda.max_memory_allocated(self.device)}, {}

    def weights(self) -> Answer:
        """Weights of the unlearned models {name: [M, ...]}."""
        return {}, {name: view.float() for name, view in state(self.model).items()}

    def _original_model(self, count: int | None) -> nn.Module:
        plain = build(self.setting.network, self.setting.classes)
        for name, view in state(plain).items():
            view.copy_(torch.from_numpy(self.original[name]))
        return (plain if count is None else stack([plain] * count)).to(self.device)


def _trial(
    setting: Setting,
    device: torch.device,
    trials: Sequence[int],
    seeds: tuple[int, ...],
    allowance: float,
    labels: Tensor,
    *,
    stacked: bool,
) -> Trial:
    return Trial(
        indices=tuple(trials),
        seeds=seeds,
        stacked=stacked,
        device=device,
        budget=Allowance(allowance),
        class_weights=class_weights(setting.recipe, labels, setting.classes),
        network=setting.network,
        classes=setting.classes,
    )


def _seed_globally(seed: int) -> None:
    """For plain methods, which may draw from global generators; a stackable method must not."""
    own = purpose_seed(seed, "global")
    torch.manual_seed(own)
    np.random.seed(own)  # noqa: NPY002
    random.seed(own)


class Probe:
    """Looks at the devices."""

    def operations(self) -> Mapping[str, Callable[..., Answer]]:
        """What can be asked."""
        return {"devices": self.devices}

    def devices(self) -> Answer:
        """The CUDA device's name, or "" if there is none, and what the software is."""
        cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
        return {
            "cuda": cuda,
            "environment": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
        }, {}


def serve(connection: Connection, log: Path | None, make: Callable[[], Any]) -> None:
    """Answer requests with the server that `make` makes, until the parent hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when a child ends
    torch.set_num_threads(1)  # one thread per process: two on a busy machine collapse
    _redirect(log)
    server = None
    with suppress(EOFError, BrokenPipeError):
        while True:
            operation, arguments = connection.recv()
            try:
                server = server or make()
                values, tensors = server.operations()[operation](**arguments)
                _send(connection, {"values": values, "arrays": bool(tensors)})
                if tensors:
                    connection.send_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))
            except Exception as problem:  # whatever a plugin raises is an answer
                _send(connection, {"error": _one_line(problem), "traceback": traceback.format_exc()})


def _one_line(problem: Exception) -> str:
    text = " ".join(str(problem).split())
    short = text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."
    return short if isinstance(problem, BenchError) else f"{type(problem).__name__}: {short}"


def _send(connection: Connection, header: Mapping[str, Any]) -> None:
    connection.send_bytes(json.dumps(header).encode())


def _redirect(log: Path | None) -> None:
    """Send what a plugin prints to the run's log, also from C code."""
    target = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for descriptor in (1, 2):
        os.dup2(target, descriptor)
    os.close(target)
