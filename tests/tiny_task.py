"""A task that trains in a moment, for tests of everything around training: noise to be learnt by heart, in four groups.

`tests/conftest.py` has it installed, so that commands find it: `--task age-tiny`.
"""

from __future__ import annotations

import numpy as np

from bench import hookimpl
from bench.tasks.task import Recipe, Task, TaskData

GROUPS, PHOTOS = 4, 4
SIZES = {"retain": 96, "forget": 32, "validation": 32, "test": 32, "forget_people": 32, "unseen": 32}
DIGEST = "f593d2297ccc781a371383c08fe6f10780c13dbf82239ccbd2be0e5da61004a6"


def load() -> TaskData:
    """Photos in the order of their splits, so many of each person."""
    rng, count = np.random.default_rng(0), sum(SIZES.values())
    ends = np.cumsum(list(SIZES.values()))
    splits = {name: np.arange(end - size, end) for (name, size), end in zip(SIZES.items(), ends, strict=True)}
    identities = np.arange(count) // PHOTOS
    identities[splits["forget_people"]] = identities[splits["forget"]]
    images = rng.integers(256, size=(count, 3, 32, 32), dtype=np.uint8)
    return TaskData(images, rng.integers(GROUPS, size=count), identities, splits)


@hookimpl
def register_tasks(register) -> None:
    """Register the task."""
    register(
        Task(
            name="age-tiny",
            groups=tuple(f"group {group}" for group in range(GROUPS)),
            network="resnet8-v1",
            recipe=Recipe(epochs=8, batch_size=32, learning_rate=4e-3, weight_decay=1e-4, warmup=0.1),
            forget_set="8 people",
            digest=DIGEST,
            load=load,
        )
    )
