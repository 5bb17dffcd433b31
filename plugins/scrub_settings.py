"""SCRUB as its authors set it, for larger networks and longer budgets than those of the embedded task.

Source: Kurmanji et al. 2023, arXiv:2302.09880, and its public code, meghdadk/SCRUB.
"""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {  # CIFAR-10 and Lacuna-10, large scale
        "optimizer": "sgd",
        "learning_rate": 0.0005,
        "momentum": 0.9,
        "weight_decay": 0.0005,
        "gamma": 0.99,
        "alpha": 0.001,
        "temperature": 4.0,
        "max_epochs": 2,
        "epochs": 3,
        "decay_epochs": (3, 5, 9),
        "retain_batch": 128,
        "forget_batch": 512,
    },
    "cifar-5": {  # CIFAR-5, small scale
        "optimizer": "adam",
        "learning_rate": 0.0005,
        "weight_decay": 0.1,
        "gamma": 1.0,
        "alpha": 0.5,
        "temperature": 2.0,
        "max_epochs": 3,
        "epochs": 10,
        "decay_epochs": (5, 8, 9),
        "retain_batch": 32,
        "forget_batch": 64,
    },
    "membership-inference": {  # the notebook on membership inference
        "optimizer": "sgd",
        "learning_rate": 0.0005,
        "momentum": 0.9,
        "weight_decay": 0.0005,
        "gamma": 1.0,
        "alpha": 0.5,
        "temperature": 4.0,
        "max_epochs": 3,
        "epochs": 5,
        "decay_epochs": (3, 5, 9),
        "retain_batch": 32,
        "forget_batch": 16,
    },
    "cifar-100": {  # ResNet-50 on CIFAR-100
        "optimizer": "adam",
        "learning_rate": 0.0005,
        "weight_decay": 0.0005,
        "gamma": 1.0,
        "alpha": 0.5,
        "temperature": 4.0,
        "max_epochs": 5,
        "epochs": 5,
        "decay_epochs": (5, 5, 9),
        "retain_batch": 128,
        "forget_batch": 64,
    },
}
