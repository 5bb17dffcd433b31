"""A batch of pictures that soft-edged shapes are painted on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# float32 in fact: numpy's stubs do not know that a Python number leaves an array's precision as it is
Pixels = NDArray[np.floating[Any]]  # [B, S, S], or broadcastable to it
Colour = NDArray[np.floating[Any]]  # [B, 3, 1, 1], or broadcastable to it
Pair = tuple[Pixels | float, Pixels | float]


def clamp(values: Pixels) -> Pixels:
    """Values limited to [0, 1]."""
    return np.clip(values, 0, 1)


def colour(red: Pixels | float, green: Pixels | float, blue: Pixels | float) -> Colour:
    """Stack three channels, each a number or [B, 1, 1], to [B, 3, 1, 1]."""
    channels = np.broadcast_arrays(*(np.asarray(c, dtype=np.float32).reshape(-1, 1, 1) for c in (red, green, blue)))
    return np.stack(channels, axis=1)


def ellipse(x: Pixels, y: Pixels, centre: Pair, radii: Pair) -> Pixels:
    """Approximate signed distance to an ellipse, negative inside."""
    width, height = (np.asarray(radius, dtype=np.float32) for radius in radii)
    u, v = (x - centre[0]) / width, (y - centre[1]) / height
    distance: Pixels = (np.sqrt(u * u + v * v) - 1) * np.minimum(width, height)
    return distance


def interpolate(grid: Pixels, size: int) -> Pixels:
    """Bilinear enlargement [B, g, g] -> [B, size, size]."""
    position = np.arange(size, dtype=np.float32) * ((grid.shape[-1] - 1) / size)
    low = position.astype(np.int64)
    part = position - low.astype(np.float32)
    rows = grid[:, low] + (grid[:, low + 1] - grid[:, low]) * part[None, :, None]
    enlarged: Pixels = rows[:, :, low] + (rows[:, :, low + 1] - rows[:, :, low]) * part[None, None, :]
    return enlarged


class Canvas:
    """Pictures [B, 3, S, S] with channel values around [0, 1], before exposure."""

    def __init__(self, picture: Colour) -> None:
        self.picture = picture
        self._edge = 1.3 * 2.0 / picture.shape[-1]

    def inside(self, distance: Pixels) -> Pixels:
        """Coverage in [0, 1] of a shape given by its signed distance; edges are a good pixel wide."""
        return clamp(0.5 - distance / self._edge)

    def paint(self, coverage: Pixels, ink: Colour) -> None:
        """Lay `ink` over the pictures where `coverage` is 1."""
        self.picture = self.picture + coverage[:, None] * (ink - self.picture)

    def shade(self, coverage: Pixels, factor: Pixels | float) -> None:
        """Multiply brightness by `factor` where `coverage` is 1."""
        self.picture = self.picture * (1 + (factor - 1) * coverage)[:, None]
