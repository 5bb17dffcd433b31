"""What five public re-implementations of SCRUB get wrong, each as a test."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from bench_plugins.scrub import Scrub
from bench_plugins.scrub_noise import ScrubNoise
from bench_plugins.scrub_r import ScrubRewind
from torch.nn import functional

from bench.losses import kl_divergence
from bench.splits import predict

_RATES = {"learning_rate": 2e-2, "alpha": 0.015, "retain_batch": 16, "forget_batch": 8}
METHOD = Scrub(max_epochs=2, epochs=4, **_RATES)


@pytest.fixture
def watched(setting):
    """The divergence from the original on forget before and after each pass, and what was done."""
    model = copy.deepcopy(setting.original)
    data = setting.data([11], stacked=False)
    teacher = predict(copy.deepcopy(setting.original), data.forget)
    passes = METHOD.rounds(model, METHOD.taught(model, data))
    return [("start", 0.0), *((done, float(kl_divergence(teacher, predict(model, data.forget)))) for done in passes)]


def test_divergence_on_forget_rises_in_max_epochs(watched) -> None:
    """A teacher that shares the student's layers makes it zero; an optimiser on the teacher leaves it zero."""
    rises = [after - before for (_, before), (done, after) in pairwise(watched) if done == "max"]
    assert len(rises) == 2
    assert all(rise > 1e-4 for rise in rises)


def test_max_and_min_epochs_interleave_and_end_on_min(watched) -> None:
    """Not all max epochs first; not a max epoch in every epoch."""
    assert [done for done, _ in watched[1:]] == ["max", "min", "max", "min", "min", "min"]


@pytest.mark.parametrize(("max_epochs", "epochs"), [(4, 3), (-1, 3), (0, 0), (1, 0)])
def test_a_pass_over_retain_follows_each_over_forget(max_epochs: int, epochs: int) -> None:
    with pytest.raises(ValueError, match="a pass over retain follows each over forget"):
        Scrub(max_epochs=max_epochs, epochs=epochs)


def test_it_may_end_on_an_epoch_of_both(setting) -> None:
    """So does the setting for ResNet-50: 5 of 5."""
    method = Scrub(max_epochs=3, epochs=3, **_RATES)
    model, data = copy.deepcopy(setting.original), setting.data([11], stacked=False)
    assert list(method.rounds(model, method.taught(model, data))) == ["max", "min"] * 3


def test_teacher_is_frozen_and_the_student_moves(setting, distance) -> None:
    before = copy.deepcopy(setting.original)
    student = setting.run_alone(METHOD, 11)
    assert distance(setting.original, before) == 0
    assert distance(student, before) > 1e-3
    assert student.training


def test_teacher_answers_in_evaluation_mode(setting) -> None:
    data = setting.data([11], stacked=False)
    taught = METHOD.taught(copy.deepcopy(setting.original), data)
    with torch.no_grad():
        expected = copy.deepcopy(setting.original).eval()(data.forget.images)
    torch.testing.assert_close(taught.forget.columns[2], expected)


def test_forget_set_is_used(setting, distance) -> None:
    """One public version never looks at it."""
    images, labels = setting.columns["forget"]
    other = type(setting)(setting.original, {**setting.columns, "forget": (images.flip(0) * 0.5, labels)})
    assert distance(setting.run_alone(METHOD, 11), other.run_alone(METHOD, 11)) > 1e-6


def test_divergence_is_of_probabilities(setting) -> None:
    """One public version feeds raw logits to KLDivLoss."""
    teacher, student = torch.randn(5, 4).double(), torch.randn(5, 4).double()
    p, q = (teacher / 2).softmax(1), (student / 2).softmax(1)
    expected = 4 * (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(kl_divergence(teacher, student, 2.0), expected)
    wrong = functional.kl_div(student, teacher.softmax(1), reduction="batchmean")
    assert abs(float(wrong - expected)) > 1e-3


def test_rewind_picks_each_models_own_checkpoint(setting, distance) -> None:
    rewind = ScrubRewind(max_epochs=2, epochs=4, **_RATES)
    chosen = setting.run_alone(rewind, 11)
    early = [setting.run_alone(_Stopped(2, 4, stop, **_RATES), 11) for stop in (1, 2, 3, 4)]
    assert sorted(distance(chosen, candidate) == 0 for candidate in early) == [False, False, False, True]


class _Stopped(Scrub):
    """SCRUB that ends after some epochs of its plan."""

    def __init__(self, max_epochs: int, epochs: int, stop: int, **rates) -> None:
        super().__init__(max_epochs, epochs, **rates)
        object.__setattr__(self, "stop", stop)

    def unlearn(self, model, data, trial):
        ends = 0
        for done in self.rounds(model, self.taught(model, data)):
            ends += done == "min"
            if ends == self.stop:
                break
        return model


def test_noise_comes_after_the_teacher_has_spoken(setting, distance) -> None:
    plain, noisy = METHOD, ScrubNoise(max_epochs=2, epochs=4, noise=0.5, **_RATES)
    assert distance(setting.run_alone(plain, 11), setting.run_alone(noisy, 11)) > 1e-2
    silent = ScrubNoise(max_epochs=2, epochs=4, noise=0.0, late_noise=0.0, **_RATES)
    assert distance(setting.run_alone(plain, 11), setting.run_alone(silent, 11)) == 0
