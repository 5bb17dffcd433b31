"""The NeurIPS 2023 competition's own folder, with the original model that it came with; needs your copy of the data."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError, one_line
from bench.hookspecs import hookimpl
from bench.store.files import LARGEST_FILE, LARGEST_RECORD, read_bytes
from bench.tasks.datasets.dataset import (
    FORGET,
    PUBLISHED,
    TRAIN,
    VALIDATION,
    Catalogue,
    Dataset,
    half_tested,
)
from bench.tasks.datasets.files import look_for
from bench.tasks.datasets.rows import Rows
from bench.tasks.datasets.tables import read_table, whole

if TYPE_CHECKING:
    from PIL.Image import Image

GROUPS = 10
TABLES = {"retain.csv": TRAIN, "forget.csv": FORGET, "validation.csv": VALIDATION}
MODEL, WEIGHTS = "original_model.pth", "age_class_weights.json"
NETWORK = "resnet18-challenge-v1"


@dataclass(frozen=True)
class Competition(Dataset):
    """The folder as it was mounted for the competition.

    `retain.csv`, `forget.csv` and `validation.csv` with image_id, age_group and person_id; `images/A/B.png` for the image `A-B`;
    `original_model.pth`; `age_class_weights.json`.
    """

    def scan(self, folder: Path) -> Catalogue:
        """As published; half of the validation photos are kept for testing: the competition's test set was never given out."""
        look_for(folder, self.title, *TABLES, "images", MODEL, WEIGHTS)
        rows = Rows(folder)
        for table, part in TABLES.items():
            for line in read_table(folder / table, "image_id", "age_group", "person_id"):
                (first, dash, second), label = line["image_id"].partition("-"), _label(line["age_group"])
                if not dash or "/" in first + second or ".." in (first, second):
                    rows.reject(line["image_id"], "the image_id is not A-B")
                else:
                    rows.add(f"images/{first}/{second}.png", label, line["person_id"], part)
        return Catalogue(
            half_tested(rows.photos),
            tuple(f"group {number}" for number in range(GROUPS)),
            rows.rejected,
            class_weights=_read_class_weights(folder / WEIGHTS),
            original=_read_model(folder / MODEL),
            aside=rows.aside,
            read=(*TABLES, MODEL, WEIGHTS),
        )

    def open(self, folder: Path, name: str) -> Image:
        """One picture, which has three channels, as those that were published have."""
        from bench.tasks.datasets.pictures import UnusablePictureError

        picture = super().open(folder, name)
        if picture.mode != "RGB" or picture.has_transparency_data:
            raise UnusablePictureError(f"its colours are {picture.mode}, those of the competition's pictures RGB")
        return picture


def _label(group: str) -> int | str:
    number = whole(group)
    return number if number is not None and 0 <= number < GROUPS else f"age group {group!r} is out of range"


def _read_class_weights(path: Path) -> tuple[float, ...]:
    """A list of numbers, or an object with one per age group."""
    try:
        found = json.loads(read_bytes(path, LARGEST_RECORD, follow=True))
        values = [found[str(group)] for group in range(GROUPS)] if isinstance(found, dict) else list(found)
        weights = tuple(float(value) for value in values)
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as problem:
        raise BenchError(one_line(f"{path} does not hold a weight for each of the {GROUPS} age groups: {problem}")) from problem
    if len(weights) != GROUPS or not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise BenchError(f"{path} must hold {GROUPS} weights of 0 or more")
    return weights


def _read_model(path: Path) -> Mapping[str, NDArray[np.float32]]:
    """A state of torchvision's ResNet-18, read without running anything that the file may hold."""
    import torch

    from bench.models.build import build
    from bench.weights import state

    network = build(NETWORK, GROUPS)
    try:
        given = torch.load(io.BytesIO(read_bytes(path, LARGEST_FILE, follow=True)), map_location="cpu", weights_only=True)
        missing = network.load_state_dict(given, strict=False)
    except Exception as problem:  # unpicklers and loaders raise whatever they like
        raise BenchError(f"{path} is not the weights of a ResNet-18 for {GROUPS} classes: {one_line(str(problem))}") from problem
    absent = [name for name in missing.missing_keys if not name.startswith("normalise.")]
    if absent or missing.unexpected_keys:
        raise BenchError(f"{path} is not the weights of a ResNet-18: {(absent or missing.unexpected_keys)[0]} differs")
    return {name: np.ascontiguousarray(view[0].detach().numpy(), dtype=np.float32) for name, view in state(network).items()}


CHALLENGE = Competition(
    name="age-challenge",
    title="the competition's folder",
    licence="for the competition only; must not be passed on",
    citation="Triantafillou et al. 2024, Are we making progress in unlearning?, arXiv:2406.09073",
    obtain="not given out any more: for those who still have it",
    network=NETWORK,
    forget=PUBLISHED,
)


@hookimpl
def register_tasks(register: Callable[[Dataset], None]) -> None:
    """Register the competition's folder."""
    register(CHALLENGE)
