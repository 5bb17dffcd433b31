"""Losses against torch's own."""

import pytest
import torch
from torch.nn import functional

from bench.losses import cross_entropy, kl_divergence

LOGITS = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.randint(5, (3, 7), generator=torch.Generator().manual_seed(1))


def test_cross_entropy() -> None:
    expected = [functional.cross_entropy(logits, labels) for logits, labels in zip(LOGITS, LABELS, strict=True)]
    torch.testing.assert_close(cross_entropy(LOGITS, LABELS), torch.stack(expected))


def test_weighted_cross_entropy_is_torchs_weighted_mean() -> None:
    weights = torch.tensor([0.1, 2.0, 0.0, 1.0, 3.0], dtype=torch.float64)
    expected = [functional.cross_entropy(logits, labels, weights) for logits, labels in zip(LOGITS, LABELS, strict=True)]
    torch.testing.assert_close(cross_entropy(LOGITS, LABELS, weights), torch.stack(expected))


@pytest.mark.parametrize("label", [-100, -1, 5])
def test_a_label_that_is_no_class_is_an_error(label: int) -> None:
    with pytest.raises(IndexError):
        cross_entropy(LOGITS, torch.full((7,), label))


def test_labels_may_be_of_any_whole_kind() -> None:
    for kind in (torch.int32, torch.uint8):
        torch.testing.assert_close(cross_entropy(LOGITS, LABELS.to(kind)), cross_entropy(LOGITS, LABELS))


def test_labels_may_be_shared_by_all_models() -> None:
    torch.testing.assert_close(cross_entropy(LOGITS, LABELS[0]), cross_entropy(LOGITS, LABELS[:1].expand(3, -1)))


def test_kl_divergence_is_hintons() -> None:
    teacher, student, temperature = LOGITS[0], LOGITS[1], 4.0
    expected = temperature**2 * functional.kl_div(
        (student / temperature).log_softmax(1), (teacher / temperature).softmax(1), reduction="batchmean"
    )
    torch.testing.assert_close(kl_divergence(teacher, student, temperature), expected)
