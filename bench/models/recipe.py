"""How a task's models are trained, as data; `training` does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """How the task's models are trained: linear warm-up over a share of the steps, then a cosine to zero."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float
    weighted_classes: bool = False  # by inverse frequencies, unless there are `class_weights`
    class_weights: tuple[float, ...] = ()  # [K]
    optimizer: Literal["adamw", "adam"] = "adamw"
    cosine: Literal["steps", "epochs"] = "steps"  # how often the rate is set
