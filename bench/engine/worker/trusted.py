"""Trains references, times retraining and evaluates weights: a child that never loads a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.engine.jobs import Setting
from bench.engine.worker.answers import Examined, Header, Nothing
from bench.engine.worker.examination import Subject, examined
from bench.engine.worker.handed import Pictures
from bench.engine.worker.loop import send
from bench.engine.worker.server import Answer, Server
from bench.models.autocast import compute_in
from bench.models.devices import FLOAT32
from bench.models.layers import placed
from bench.models.returned import NOT_THE_NETWORK, RETURN_IT, mismatch, shapes
from bench.models.stacked import size
from bench.models.training import class_weights, fit, warm_up
from bench.outputs import OUTPUT_SPLITS, retain_sample_rows
from bench.seeds import purpose_seed, seed_of
from bench.splits import Split, predict
from bench.weights import state

REFERENCE_ROOT = 0  # references belong to the task, not to a run: their root seed is fixed
ORIGINAL_INDEX = 2**31  # far from any retrained model's index
SHARES_INDEX = 2**30  # likewise, of models that measure memorisation


class TrustedServer(Server):
    """Trains references, times retraining, evaluates weights. Has all splits and never loads a method."""

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
            "examine_network": self.examine_network,
            "train_original": self._releasing(self.train_original),
            "train_retrained": self._releasing(self.train_retrained),
            "train_on_shares": self._releasing(self.train_on_shares),
            "prepare_epoch": self.prepare_epoch,
            "run_epoch": self.run_epoch,
            "evaluate": self._releasing(self.evaluate),
        }

    def _releasing(self, operation: Callable[..., Answer]) -> Callable[..., Answer]:
        """The operation, after which the memory of a GPU that it took is free for the methods' processes."""

        def released(**arguments: object) -> Answer:
            answer = operation(**arguments)
            torch.cuda.empty_cache()
            return answer

        return released if self.device.type == "cuda" else operation

    def examine_network(self) -> Answer:
        """What the network costs; it raises what is wrong with one that does not keep what every network has to."""
        cost = examined(Subject(self.blueprint, self.setting.classes, self.setting.size, self.device))
        return Examined(parameters=cost.parameters, activations=cost.activations), {}

    def train_original(self) -> Answer:
        """The original model: its weights and outputs."""
        model = self._train("train", [ORIGINAL_INDEX])
        weights = {f"weights/{name}": view for name, view in state(model).items()}
        return Nothing(), {**self._outputs(model), **weights}

    def train_retrained(self, indices: Sequence[int]) -> Answer:
        """A stack of retrained models: its outputs."""
        return Nothing(), self._outputs(self._train("retain", indices))

    def train_on_shares(self, indices: Sequence[int], share: float) -> Answer:
        """A stack of models, each trained on a random share of all training photos: which they saw, and which they recognise."""
        seeds = [seed_of(REFERENCE_ROOT, "reference", SHARES_INDEX + index) for index in indices]
        train = self._bind("train", seeds, stacked=True)
        seen = train.sample(round(share * len(train)))
        model = self._fit(seen, seeds)
        included = torch.zeros(len(indices), len(train), dtype=torch.bool, device=self.device)
        included.scatter_(1, cast(Tensor, seen.drawn), value=True)
        return Nothing(), {"included": included, "right": predict(model, train).argmax(-1) == train.labels}

    def prepare_epoch(self) -> Answer:
        """A plain network to be trained, after one forward and backward pass of a throw-away copy, as methods get it."""
        seed = purpose_seed(seed_of(REFERENCE_ROOT, "init", 0), "init")
        throw_away, self.timed = (placed(self.blueprint.initialised(seed), self.device) for _ in range(2))
        warm_up(throw_away, self._retained())
        self._synchronise()
        return Nothing(), {}

    def run_epoch(self) -> Answer:
        """Train it for one epoch of the recipe."""
        fit(self.timed, self._retained(), self.setting.recipe, self._class_weights(), epochs=1)
        self._synchronise()
        return Nothing(), {}

    def evaluate(self, weights: Mapping[str, NDArray[np.float32]]) -> Answer:
        """Outputs of M models given by their weights {name: [M, ...]}, loaded into a network built here."""
        template = self.blueprint.build()
        given = {name: torch.from_numpy(array) for name, array in weights.items()}
        if different := mismatch({name: tuple(array.shape[1:]) for name, array in given.items()}, shapes(template)):
            raise ValueError(f"{NOT_THE_NETWORK}: {different}; {RETURN_IT}")
        for name, array in given.items():
            if not array.isfinite().all():
                raise ValueError(f"the returned model has weights that are not finite: {name}")
        models = len(next(iter(given.values())))
        model = self.blueprint.stack([template] * models)
        for name, view in state(model).items():
            view.copy_(given[name])
        outputs = self._outputs(placed(model, self.device))
        for name, logits in outputs.items():
            if not logits.isfinite().all():
                raise ValueError(f"the returned model answers with numbers that are not finite on the {name} split")
        return Nothing(), outputs

    def _train(self, split: str, indices: Sequence[int]) -> nn.Module:
        seeds = [seed_of(REFERENCE_ROOT, "reference", index) for index in indices]
        return self._fit(self._bind(split, seeds, stacked=True), seeds)

    def _fit(self, data: Split, seeds: Sequence[int]) -> nn.Module:
        nets = [self.blueprint.initialised(purpose_seed(seed, "init")) for seed in seeds]
        epochs = self.setting.recipe.epochs
        torch.manual_seed(purpose_seed(seeds[0], "global"))  # for a network that draws while it trains, which is never stacked
        return fit(
            placed(self.blueprint.stack(nets), self.device),
            data,
            self.setting.recipe,
            self._class_weights(),
            after_epoch=lambda epoch: send(self.connection, Header(progress=epoch / epochs)),
        )

    def _retained(self) -> Split:
        return self._bind("retain", [seed_of(REFERENCE_ROOT, "init", 0)], stacked=False)

    def _class_weights(self) -> Tensor | None:
        return class_weights(self.setting.recipe, self.columns["train"][1], self.setting.classes)

    def _outputs(self, model: nn.Module) -> dict[str, Tensor]:
        compute_in(model, FLOAT32)  # whatever it was trained in: confidences are not to be rounded
        own = [0] * size(model)
        logits = {
            name: predict(model, self._bind(name, own, stacked=True))
            for name in ("retain", *(name for name in OUTPUT_SPLITS if name != "retain_sample"))
        }
        retain = logits.pop("retain")
        accuracy = (retain.argmax(-1) == self.columns["retain"][1]).double().mean(-1)
        return {**logits, "retain_sample": retain[:, self.sample], "retain_accuracy": accuracy}
