"""Splits resident on the device, with one shuffle per model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bench.seeds import generator

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

Columns = tuple[Tensor, ...]


@dataclass(frozen=True)
class Split:
    """Images, labels and further columns of n examples, for a plain network or for the M models of a stack.

    Images may lie on the device as bytes, a quarter of the memory; what anybody sees of them is float in [0, 1].
    A column is [n, ...], shared by all models, or [M, n, ...] with a row per model. Batches are tuples of columns, each
    [B, ...] for a plain network and [M, B, ...] for a stack. Every model shuffles with its own generator.
    """

    columns: Columns
    generators: Sequence[torch.Generator]
    lead: tuple[int, ...] = ()  # () for a plain network, (M,) for a stack
    drawn: Tensor | None = None  # lead + (n,): rows of the image column that a sample holds; images are not copied
    identities: Tensor | None = None  # [n]: who is on the images, if the task knows; a sample has none

    @property
    def images(self) -> Tensor:
        """All images in [0, 1]: [n, C, H, W], or [M, n, C, H, W] of a sample of a stack."""
        return as_float(self.columns[0] if self.drawn is None else self.columns[0][self.drawn])

    @property
    def labels(self) -> Tensor:
        """All labels [n], or [M, n] where each model has its own."""
        return self.columns[1]

    def __len__(self) -> int:
        return int(self.columns[0].shape[0] if self.drawn is None else self.drawn.shape[-1])

    def carrying(self, *columns: Tensor) -> Split:
        """The split with further columns, which follow the shuffle: a teacher's logits, say."""
        return replace(self, columns=(*self.columns, *columns))

    def labelled(self, labels: Tensor) -> Split:
        """The split with other labels."""
        return replace(self, columns=(self.columns[0], labels, *self.columns[2:]))

    def showing(self, images: Tensor) -> Split:
        """The split with other images in [0, 1]: [n, C, H, W], or [M, n, C, H, W] where each model has its own."""
        if images.dim() < 5 or not self._is_per_model(images):
            return replace(self, columns=(images, *self.columns[1:]), drawn=None)
        rows = torch.arange(images.shape[0] * images.shape[1], device=images.device).view(*self.lead, -1)
        return replace(self, columns=(images.flatten(0, 1), *self.columns[1:]), drawn=rows, identities=None)

    def where(self, mask: Tensor) -> Split:
        """The examples where `mask` [n] is True, for all models.

        Raises:
            ValueError: a mask per model, which would leave the models of a stack with different numbers of examples.
        """
        if mask.shape != (len(self),):
            raise ValueError(f"a mask of shape ({len(self)},) is needed, one for all models, not {tuple(mask.shape)}")
        kept = [column[:, mask] if self._is_per_model(column) else column[mask] for column in self.columns[1:]]
        if self.drawn is None:
            identities = None if self.identities is None else self.identities[mask]
            return replace(self, columns=(self.columns[0][mask], *kept), identities=identities)
        return replace(self, columns=(self.columns[0], *kept), drawn=self.drawn[..., mask])

    def joined(self, other: Split) -> Split:
        """The examples of both splits, shuffled together by the generators of this one; both have columns of the same kinds.

        Where images of one are bytes and of the other floats, all become floats, which take four times the memory of bytes.
        """
        images = torch.cat(_alike(self.columns[0], other.columns[0]))
        kept = [self._side_by_side(other, *pair) for pair in zip(self.columns[1:], other.columns[1:], strict=True)]
        sampled = self.drawn is not None or other.drawn is not None
        rows = torch.cat([self._all_rows(), other._all_rows() + len(self.columns[0])], -1) if sampled else None
        return replace(self, columns=(images, *kept), drawn=rows, identities=None)

    def sample(self, n: int) -> Split:
        """A random subset of n examples, drawn for each model without replacement; its labels and columns are [M, n, ...]."""
        return self.at(self._positions(shuffle=True)[..., :n])

    def at(self, positions: Tensor) -> Split:
        """The examples at positions [k], or [M, k] of a stack, for each model its own; so are labels and columns."""
        positions = positions.expand(*self.lead, -1)
        kept = [self._take(column, positions) for column in self.columns[1:]]
        return replace(self, columns=(self.columns[0], *kept), drawn=self._image_rows(positions), identities=None)

    def batches(self, batch_size: int, shuffle: bool = True, *, singles: bool = False) -> Iterator[Columns]:
        """One pass; the last batch may be smaller.

        Shuffled, as for training, a pass ends before a last batch of one example, which batch normalisation cannot be trained on.
        It is another example in each pass; with `singles`, for a model in evaluation mode, none is missing.
        """
        parts = self._positions(shuffle).split(batch_size, -1)
        for positions in parts[: self.steps(batch_size)] if shuffle and not singles else parts:
            images = as_float(self._take(self.columns[0], self._image_rows(positions)))
            yield (images, *(self._take(column, positions) for column in self.columns[1:]))

    def steps(self, batch_size: int) -> int:
        """How many batches a shuffled pass has."""
        whole, left = divmod(len(self), batch_size)
        return whole + (left > 1 or (left == 1 and not whole))

    def epochs(self, epochs: float, batch_size: int) -> Iterator[Columns]:
        """Shuffled batches of 2.5 passes, say, or of `math.inf`: rounded to whole batches, but one at least of more than none."""
        batches = epochs * self.steps(batch_size)
        left = batches if math.isinf(batches) else max(round(batches), batches > 0)
        while left > 0:
            for batch in self.batches(batch_size):
                yield batch
                left -= 1
                if not left:
                    break

    def loader(self, batch_size: int = 64, shuffle: bool = True) -> DataLoader[tuple[Tensor, ...]]:
        """A real DataLoader over images and labels, for a plain network."""
        from torch.utils.data import DataLoader, TensorDataset

        dataset = TensorDataset(self.images, self.labels)
        return DataLoader(dataset, batch_size, shuffle=shuffle, generator=self.generators[0])

    def _positions(self, shuffle: bool) -> Tensor:
        """Positions 0..n-1 of a pass: [n], or lead + (n,) when shuffled."""
        device = self.columns[0].device
        if not shuffle:
            return torch.arange(len(self), device=device)
        orders = [torch.randperm(len(self), generator=own) for own in self.generators]
        return torch.stack(orders).view(*self.lead, -1).to(device)

    def _image_rows(self, positions: Tensor) -> Tensor:
        if self.drawn is None:
            return positions
        return self.drawn.gather(-1, positions.expand(*self.lead, -1))

    def _all_rows(self) -> Tensor:
        """Rows of the image column, for each model: lead + (n,)."""
        return self._image_rows(self._positions(shuffle=False)).expand(*self.lead, -1)

    def _side_by_side(self, other: Split, mine: Tensor, theirs: Tensor) -> Tensor:
        per_model = self._is_per_model(mine), other._is_per_model(theirs)
        if not any(per_model):
            return torch.cat([mine, theirs])
        pairs = zip((mine, theirs), per_model, strict=True)
        return torch.cat([column if own else column.expand(*self.lead, *column.shape) for column, own in pairs], 1)

    def _is_per_model(self, column: Tensor) -> bool:
        return bool(self.lead) and column.shape[:2] == (*self.lead, len(self))

    def _take(self, column: Tensor, rows: Tensor) -> Tensor:
        if column is not self.columns[0] and self._is_per_model(column):
            models = torch.arange(*self.lead, device=column.device)[:, None]
            return column[models, rows.expand(*self.lead, -1)]
        # Gathered as [B, M, ...], so that a stack folds models into channels without a copy.
        return column[rows.t().contiguous()].transpose(0, 1) if rows.dim() == 2 else column[rows]


@dataclass(frozen=True)
class MethodData:
    """What a method may see."""

    retain: Split
    forget: Split
    validation: Split


def as_float(images: Tensor) -> Tensor:
    """Pixels in [0, 1], from bytes or as they are."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def _alike(*images: Tensor) -> tuple[Tensor, ...]:
    """Images as they are, or all as floats if some are bytes and some not."""
    return images if len({each.dtype for each in images}) == 1 else tuple(as_float(each) for each in images)


def bind(columns: Columns, seeds: Sequence[int], purpose: str, *, stacked: bool) -> Split:
    """A split for the trials of the given seeds; each shuffles with a generator of its seed and the purpose."""
    return Split(columns, [generator(seed, purpose) for seed in seeds], (len(seeds),) if stacked else ())


@torch.no_grad()
def predict(model: nn.Module, split: Split, batch_size: int = 256) -> Tensor:
    """Logits [..., n, K] of a whole split in evaluation mode, in order; the model's mode is left as it was."""
    training = model.training
    model.eval()
    logits = torch.cat([model(batch[0]) for batch in split.batches(batch_size, shuffle=False)], -2)
    model.train(training)
    return logits


def error(model: nn.Module, split: Split) -> Tensor:
    """Share of wrong predictions per model: [...], float64."""
    return (predict(model, split).argmax(-1) != split.labels).double().mean(-1)
