"""The first layer of every network, so that no method needs to know what pictures look like."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """Shift and scale each channel. Fixed numbers, not the training set's, so that no model depends on the forget set."""

    per_channel = True  # safe to stack: channels do not meet

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        return (images - mean[:, None, None]) / std[:, None, None]
