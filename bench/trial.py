"""What a method is handed beside the model and the data: seeds, draws, the device and the budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bench.budget import Allowance
from bench.models.build import Blueprint, blueprint
from bench.seeds import generator, purpose_seed


@dataclass(frozen=True)
class Trial:
    """One or more trials. Every draw of a trial comes from generators of that trial's seed alone."""

    indices: tuple[int, ...]
    seeds: tuple[int, ...]
    stacked: bool
    device: torch.device
    budget: Allowance  # seconds; for a method that declares uses_clock also what is left of them
    class_weights: Tensor | None  # [K], the weights that the task trains with; None: all equal
    network: str
    classes: int
    dtype: torch.dtype = field(default=torch.float32, kw_only=True)  # of the models' weights
    blueprint: Blueprint | None = field(default=None, kw_only=True, repr=False)  # how `network` is made; None: it is ours
    _own: Sequence[torch.Generator] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_own", [generator(seed, "method") for seed in self.seeds])

    @property
    def lead(self) -> tuple[int, ...]:
        """Leading dimensions of activations: () for a plain network, (M,) for a stack."""
        return (len(self.seeds),) if self.stacked else ()

    def fresh_model(self) -> nn.Module:
        """Freshly initialised models, in train mode; the same at every call."""
        made_by = self.blueprint or blueprint(self.network, self.classes)
        nets = [made_by.initialised(purpose_seed(seed, "fresh model")) for seed in self.seeds]
        return (made_by.stack(nets) if self.stacked else nets[0]).to(self.device, self.dtype)

    def normal_like(self, view: Tensor) -> Tensor:
        """Standard normal numbers in the shape of a weight view [M, ...]."""
        return self._draw(torch.randn, view)

    def uniform_like(self, view: Tensor) -> Tensor:
        """Uniform numbers on [0, 1) in the shape of a weight view [M, ...]."""
        return self._draw(torch.rand, view)

    def integers(self, high: int, n: int) -> Tensor:
        """Uniform integers below `high`, n per model, shaped for a split's column: [n], or [M, n] for a stack."""
        drawn = torch.stack([torch.randint(high, (n,), generator=own) for own in self._own])
        return drawn.view(*self.lead, n).to(self.device)

    def _draw(self, sampler: Callable[..., Tensor], view: Tensor) -> Tensor:
        # Drawn on the CPU: the same numbers on every device.
        drawn = [sampler(view.shape[1:], generator=own, dtype=view.dtype) for own in self._own]
        return torch.stack(drawn).to(view.device)
