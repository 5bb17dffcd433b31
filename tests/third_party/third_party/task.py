"""Age groups of striped people: a task that trains in a second."""

import numpy as np

from bench import hookimpl
from bench.tasks.task import Recipe, Task, TaskData

PEOPLE, PHOTOS, GROUPS = 96, 4, 4
DIGEST = "8a1668383c6803b21fd5e44e3ad015704ad2e284ce4b85feb197ea50d1af27da"


def load():
    """Every person has a stripe, whose place tells the age group, and its own noise."""
    rng = np.random.default_rng(0)
    identities = np.repeat(np.arange(PEOPLE), PHOTOS)
    labels = rng.integers(GROUPS, size=PEOPLE)[identities]
    images = rng.integers(0, 60, size=(PEOPLE * PHOTOS, 3, 32, 32), dtype=np.uint8)
    for row, label in enumerate(labels):
        images[row, :, 8 * label : 8 * label + 4] += 150
    photo, forgotten, known = np.tile(np.arange(PHOTOS), PEOPLE), identities < 12, identities < 80
    trained = known & (photo < 2)
    masks = {
        "retain": trained & ~forgotten,
        "forget": trained & forgotten,
        "validation": known & ~forgotten & (photo == 2),
        "test": known & ~forgotten & (photo == 3),
        "forget_people": forgotten & (photo >= 2),
        "unseen": ~known,
    }
    return TaskData(images, labels.astype(np.int64), identities, {name: np.flatnonzero(mask) for name, mask in masks.items()})


@hookimpl
def register_tasks(register):
    """Register the task."""
    register(
        Task(
            name="age-stripes",
            groups=tuple(f"group {group}" for group in range(GROUPS)),
            network="resnet8-v1",
            recipe=Recipe(epochs=3, batch_size=32, learning_rate=4e-3, weight_decay=1e-4, warmup=0.1),
            forget_set="identities 0-11",
            digest=DIGEST,
            load=load,
        )
    )
