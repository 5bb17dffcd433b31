"""A method behind the challenge's function: what the scripts of `bench export challenge` call, far from any store or task."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.budget import Allowance
from bench.method import Method
from bench.seeds import purpose_seed
from bench.splits import MethodData, Split, bind
from bench.trial import Trial

_NO_LIMIT = float("inf")


@dataclass(frozen=True)
class ForeignTrial(Trial):
    """A trial on a network that bench did not build."""

    original: nn.Module

    def fresh_model(self) -> nn.Module:
        """The network with every layer initialised anew, in train mode."""
        model = copy.deepcopy(self.original)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(purpose_seed(self.seeds[0], "fresh model"))
            for layer in model.modules():
                reset = getattr(layer, "reset_parameters", None)
                if callable(reset):
                    reset()
        return model.train()


def unlearn(
    method: Method, net: nn.Module, retain: Iterable[Any], forget: Iterable[Any], validation: Iterable[Any], index: int
) -> nn.Module:
    """Run trial `index` of a method on the challenge's loaders; its seed is drawn from the operating system.

    Every loader is read once, and its images are kept where the network is. Images should be what the network takes.
    """
    seed, device = secrets.randbits(64), next(net.parameters()).device
    loaders = {"retain": retain, "forget": forget, "validation": validation}
    splits = {name: _split(loader, name, seed, device) for name, loader in loaders.items()}
    classes = int(max(split.labels.max() for split in splits.values())) + 1
    trial = ForeignTrial(
        (index,), (seed,), False, device, Allowance(_NO_LIMIT, lambda: 0.0), None, "", classes, original=copy.deepcopy(net)
    )
    torch.manual_seed(purpose_seed(seed, "global"))
    return method.variant(index).unlearn(net.train(), MethodData(**splits), trial)


def _split(loader: Iterable[Any], name: str, seed: int, device: torch.device) -> Split:
    pairs = [_pair(batch) for batch in loader]
    images, labels = (torch.cat([pair[column] for pair in pairs]).to(device) for column in (0, 1))
    return bind((images, labels), [seed], name, stacked=False)


def _pair(batch: Any) -> tuple[Tensor, Tensor]:
    """Images and labels of a batch: a dict as the challenge's data, or a sequence."""
    return (batch["image"], batch["age_group"]) if isinstance(batch, Mapping) else (batch[0], batch[1])
