"""The child's side. A method worker runs one plugin; a trusted worker trains references and evaluates, and never loads one."""

from __future__ import annotations

import json
import platform
import random
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any, cast

import numpy as np
import torch
import torch._dynamo  # the first optimiser would import it, which takes 1.8 s: here the fork server pays, once
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from bench import documentation, registry, specs
from bench.budget import Allowance
from bench.engine.guards import Guards
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
SHARES_INDEX = 2**30  # likewise, of models that measure memorisation
LARGEST_SHARE = 0.95  # of the device's memory: the rest is for the evaluating process
LONGEST_REASON, LONGEST_TRACEBACK = 10_000, 2**16  # characters

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
        return torch.from_numpy(images).to(self.device), torch.from_numpy(labels).to(self.device)

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
            "train_on_shares": self.train_on_shares,
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

    def train_on_shares(self, indices: Sequence[int], share: float) -> Answer:
        """A stack of models, each trained on a random share of all training photos: which they saw, and which they recognise."""
        seeds = [seed_of(REFERENCE_ROOT, "reference", SHARES_INDEX + index) for index in indices]
        train = self._bind("train", seeds, stacked=True)
        seen = train.sample(round(share * len(train)))
        model = self._fit(seen, seeds)
        included = torch.zeros(len(indices), len(train), dtype=torch.bool, device=self.device)
        included.scatter_(1, cast(Tensor, seen.drawn), value=True)
        return {}, {"included": included, "right": predict(model, train).argmax(-1) == train.labels}

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
        return self._fit(self._bind(split, seeds, stacked=True), seeds)

    def _fit(self, data: Split, seeds: Sequence[int]) -> nn.Module:
        nets = [initialised(self.setting.network, self.setting.classes, purpose_seed(seed, "init")) for seed in seeds]
        epochs = self.setting.recipe.epochs
        return fit(
            stack(nets).to(self.device),
            data,
            self.setting.recipe,
            self._class_weights(),
            after_epoch=lambda epoch: _send(self.connection, {"progress": epoch / epochs}),
        )

    def _class_weights(self) -> Tensor | None:
        return class_weights(self.setting.recipe, self.columns["train"][1], self.setting.classes)

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
        guards: Guards,
        connection: Connection,
        setting: Setting,
        pictures: Mapping[str, Pictures],
        identities: Mapping[str, NDArray[np.int64]],
        original: Mapping[str, NDArray[np.float32]],
        plugin: registry.Plugin,
        spec: specs.Spec,
    ) -> None:
        super().__init__(connection, setting, pictures)
        self.identities = {name: torch.from_numpy(people).to(self.device) for name, people in identities.items()}
        self.original, self.plugin, self.spec = original, plugin, spec
        if self.device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(LARGEST_SHARE)
        else:
            guards.limit_memory()

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
            "stackable": all(variant.stackable and not variant.uses_clock for variant in variants),
            "uses_clock": any(variant.uses_clock for variant in variants),
            "control": isinstance(method, Control),
            "hyper_parameters": specs.hyper_parameters(method),
            "variants": [variants.index(variant) for variant in variants],
            "reference_models": list(method.reference_models(models)) if isinstance(method, Control) else [],
            "documentation": type(method).__doc__ or "",
            "sources": {item.name: item.source for item in documentation.hyper_parameters(type(method))},
        }, {}

    def start(self, trials: Sequence[int], root: int, allowance: float, *, stacked: bool) -> Answer:
        """Make the model, data and trial object of one or more trials."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        torch.set_default_dtype(torch.float32)  # whatever an earlier trial in this process did
        torch.set_grad_enabled(True)
        seeds = tuple(seed_of(root, "trial", index) for index in trials)
        self.running, self.allowance = self.method.variant(trials[0]), allowance
        self.model = self._original_model(len(trials) if stacked else None)
        self.data = MethodData(**{name: self._named(name, seeds, stacked=stacked) for name in METHOD_SPLITS})
        self.trial = self._trial(trials, seeds, stacked=stacked)
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
        if self.running.uses_clock:  # it starts now
            self.trial = replace(self.trial, budget=Allowance(self.allowance, self._clock()))
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

    def _named(self, name: str, seeds: Sequence[int], *, stacked: bool) -> Split:
        return replace(self._bind(name, seeds, stacked=stacked), identities=self.identities.get(name))

    def _trial(self, trials: Sequence[int], seeds: tuple[int, ...], *, stacked: bool) -> Trial:
        trained = torch.cat([self.columns[name][1] for name in ("retain", "forget")])  # all, as the original was
        return Trial(
            indices=tuple(trials),
            seeds=seeds,
            stacked=stacked,
            device=self.device,
            budget=Allowance(self.allowance),
            class_weights=class_weights(self.setting.recipe, trained, self.setting.classes),
            network=self.setting.network,
            classes=self.setting.classes,
        )

    def _clock(self) -> Callable[[], float]:
        """The clock that the parent measures by, as far as this process can read it."""
        if self.device.type == "cpu":
            return time.process_time

        def synchronised() -> float:
            self._synchronise()
            return time.monotonic()

        return synchronised

    def _original_model(self, count: int | None) -> nn.Module:
        plain = build(self.setting.network, self.setting.classes)
        for name, view in state(plain).items():
            view.copy_(torch.from_numpy(self.original[name]))
        return (plain if count is None else stack([plain] * count)).to(self.device)


def _seed_globally(seed: int) -> None:
    """For plain methods, which may draw from global generators; a stackable method must not."""
    own = purpose_seed(seed, "global")
    torch.manual_seed(own)
    np.random.seed(own)  # noqa: NPY002
    random.seed(own)


class Probe:
    """Looks at the devices, or loads one plugin to see whether that works."""

    def operations(self) -> Mapping[str, Callable[..., Answer]]:
        """What can be asked."""
        return {"devices": self.devices, "load": self.load, "changed_by_loading": self.changed_by_loading}

    def load(self, group: str, plugin: registry.Plugin) -> Answer:
        """Import a plugin of any kind."""
        registry.load(group, plugin)
        return {}, {}

    def changed_by_loading(self, plugin: registry.Plugin) -> Answer:
        """What importing a method changes beside the module that it is."""
        from bench.testing.loading import changed_by_loading

        return {"changed": changed_by_loading(plugin)}, {}

    def devices(self) -> Answer:
        """The CUDA device's name, or "" if there is none, and what the software is."""
        cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
        return {
            "cuda": cuda,
            "environment": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
        }, {}


def serve(connection: Connection, guards: Guards, make: Callable[[], Any]) -> None:
    """Answer requests with the server that `make` makes, until the parent hangs up."""
    guards.put_up()
    torch.set_num_threads(1)  # one thread per process: two on a busy machine collapse
    server = None
    with suppress(EOFError, BrokenPipeError):
        while True:
            operation, arguments = connection.recv()
            try:
                server = server or make()
                values, tensors = server.operations()[operation](**arguments)
                arrays = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}) if tensors else b""
                _send(connection, {"values": values, "arrays": bool(arrays)})
                if arrays:
                    connection.send_bytes(arrays)
            except Exception as problem:  # whatever a plugin raises is an answer
                _send(connection, _failure(problem))


def _failure(problem: Exception) -> dict[str, str]:
    """What the parent is told; it makes the reason fit to be shown."""
    text = str(problem)
    lacks_memory = isinstance(problem, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in text
    reason = text if isinstance(problem, BenchError) else f"{type(problem).__name__}: {text or 'no reason given'}"
    kind = "memory" if lacks_memory else "error"
    return {"error": reason[:LONGEST_REASON], "kind": kind, "traceback": traceback.format_exc()[-LONGEST_TRACEBACK:]}


def _send(connection: Connection, header: Mapping[str, Any]) -> None:
    connection.send_bytes(json.dumps(header).encode())
