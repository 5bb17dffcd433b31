"""What trusted workers train with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.engine.jobs import Setting
from bench.engine.worker.trusted import TrustedServer
from bench.models.networks import recipe_for
from bench.tasks.task import SPLITS


def test_class_weights_count_all_training_photos() -> None:
    """A group that is to be forgotten as a whole has its weight: the original model has to learn it first."""
    labels = {"retain": [0, 0, 1], "forget": [2, 2, 2, 2], "validation": [0], "test": [0, 1]}
    pictures = {
        name: (np.zeros((len(labels.get(name, [])), 3, 32, 32), np.uint8), np.array(labels.get(name, []), np.int64))
        for name in SPLITS
    }
    recipe = replace(recipe_for("resnet8-v1"), weighted_classes=True)
    server = TrustedServer(None, Setting("resnet8-v1", 4, recipe, "cpu", "cpu", ""), pictures)
    weights = server._class_weights()
    assert weights is not None
    assert weights.tolist() == [0.5, 1.0, 0.25, 0.0]
