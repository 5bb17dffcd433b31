"""Confidences against their definition in plain arithmetic."""

import math

import numpy as np
import torch

from bench.metrics.confidence import cross_entropy, logit_scaled_confidence

LOGITS = np.random.default_rng(0).normal(size=(3, 6, 4)) * 3
LABELS = np.array([0, 1, 2, 3, 0, 1])


def test_definition() -> None:
    found = logit_scaled_confidence(LOGITS, LABELS)
    for m, e in np.ndindex(3, 6):
        p = [math.exp(z) for z in LOGITS[m, e]]
        total = sum(p)
        true = p[LABELS[e]] / total
        wrong = sum(q / total for k, q in enumerate(p) if k != LABELS[e])
        assert math.isclose(found[m, e], math.log(true) - math.log(wrong), abs_tol=1e-12)


def test_no_saturation() -> None:
    assert logit_scaled_confidence(np.array([[800.0, 0.0]], dtype=np.float32), [1])[0] == -800.0


def test_input_is_not_changed() -> None:
    logits = LOGITS.copy()
    logit_scaled_confidence(logits, LABELS)
    np.testing.assert_array_equal(logits, LOGITS)


def test_cross_entropy_is_torchs() -> None:
    for m in range(3):
        theirs = torch.nn.functional.cross_entropy(torch.tensor(LOGITS[m]), torch.tensor(LABELS), reduction="none")
        np.testing.assert_allclose(cross_entropy(LOGITS, LABELS)[m], theirs.numpy(), atol=1e-12)
