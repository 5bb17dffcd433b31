"""Methods that steer by gradients: numbers that were computed elsewhere, on a model of 9 parameters, and what must hold."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from bench_plugins.amun import Amun, onto_ball
from bench_plugins.cup import Cup, angle, pivoted
from bench_plugins.finetune import FineTune
from bench_plugins.jit import Jit, noisy, steepness
from bench_plugins.rum import Rum, memorised_most
from bench_plugins.salun import SalUn
from bench_plugins.uam import Paired, Uam

from bench.losses import cross_entropy
from bench.weights import flat, gradient


def test_jit_gives_the_number_computed_elsewhere(regression) -> None:
    images, _ = regression.columns["forget"]
    moved = torch.tensor([[0.1, -0.1], [-0.2, 0.05]], dtype=torch.float64)
    model = regression.model()
    assert steepness(model(images), model(images + moved), moved).item() == pytest.approx(1.7882320227, abs=1e-9)


def test_jit_cuts_noise_to_the_range_of_each_models_batch() -> None:
    """Also where a batch is of one brightness, and nothing can be said of its surroundings."""
    images = torch.stack([torch.tensor([[0.2], [0.6]]), torch.tensor([[0.5], [0.5]])])
    assert noisy(images, torch.tensor([-1.0, 1.0]).view(2, 1, 1), 1).flatten().tolist() == pytest.approx([0.2, 0.2, 0.5, 0.5])
    assert noisy(images[0], torch.tensor([[0.1], [0.1]]), 0).flatten().tolist() == pytest.approx([0.3, 0.6])
    logits = torch.ones(2, 3, requires_grad=True)
    steepness(logits, torch.ones(2, 3), torch.zeros(2, 1)).backward()
    assert logits.grad.tolist() == [[0.0] * 3] * 2


def test_jit_does_whole_passes() -> None:
    assert [Jit().within(share).passes for share in (0.06, 0.2, 0.5, 1.0)] == [1, 1, 2, 5]
    with pytest.raises(ValueError, match="the least of it, about 6 % of a retraining"):
        Jit().within(0.05)


def test_uam_gives_the_numbers_computed_elsewhere(regression) -> None:
    model, columns = regression.model(), regression.columns
    Uam(rho=0.05).differentiate(model, columns["retain"], columns["forget"], 0.0)
    expected = [
        *(-0.0350414286, -0.1495619840, 0.0451381591, -0.2358448444, -0.0100967305, 0.3854068284),
        *(0.1610655092, -0.1716172484, 0.0105517391),
    ]
    assert torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).tolist() == pytest.approx(expected, abs=1e-9)
    assert regression.theta(model) == regression.theta(regression.model())


def _gradients(regression) -> tuple[torch.Tensor, torch.Tensor]:
    """Of minus the loss on forget, and of that on retain."""
    model, columns = regression.model(), regression.columns
    forget, retain = (
        gradient(model, cross_entropy(model(images), labels)) for images, labels in (columns["forget"], columns["retain"])
    )
    return -flat(forget), flat(retain)


def test_cup_gives_the_numbers_computed_elsewhere(regression) -> None:
    forget, retain = _gradients(regression)
    assert angle(forget, retain).item() == pytest.approx(1.1123442684, abs=1e-9)
    expected = [
        *(0.0156735136, -0.1305943629, 0.1165188065, -0.0106275171, -0.1321923201, 0.1412218800),
        *(-0.0485126547, 0.0126276965, 0.0358849582),
    ]
    assert pivoted(forget, retain, 0.5)[0].tolist() == pytest.approx(expected, abs=1e-9)
    model, columns = regression.model(), regression.columns
    Cup(gamma=0.5).differentiate(model, columns["retain"], columns["forget"], 0.0)
    assert torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).tolist() == pytest.approx(expected, abs=1e-9)


def test_cup_touches_one_loss_only_at_either_end(regression) -> None:
    forget, retain = _gradients(regression)
    for gamma, untouched, touched in ((0.0, forget, retain), (1.0, retain, forget)):
        direction = pivoted(forget, retain, gamma)
        assert (direction * untouched).sum().item() == pytest.approx(0.0, abs=1e-12)
        assert (direction * touched).sum().item() > 0.01


def test_cup_of_parallel_gradients_stands_still() -> None:
    """Nothing forgets without costing retain as much."""
    slope = torch.tensor([[3.0, 4.0]])
    for gamma in (0.0, 1.0):
        assert pivoted(-slope, slope, gamma).abs().max().item() == 0.0
    assert pivoted(torch.zeros(1, 2), slope, 0.0).tolist() == [[1.5, 2.0]]


def test_amun_finds_what_fools_each_model_and_nothing_much_nearer_does(setting) -> None:
    """A point half as far out along the way is mostly still taken for what it is."""
    model, (images, labels) = copy.deepcopy(setting.original).eval(), setting.columns["forget"]
    found, classes = Amun(radius=0.05, search_steps=10, stride=0.1).search(model, images, labels)
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(model(found).argmax(-1), classes)
    assert (classes != labels).all()
    halfway = model((images + found) / 2).argmax(-1)
    assert (halfway == labels).double().mean() > 0.5


def test_amun_leaves_what_fools_the_model_already(setting) -> None:
    model, (images, _) = copy.deepcopy(setting.original).eval(), setting.columns["forget"]
    wrong = (model(images).argmax(-1) + 1) % 4
    found, classes = Amun().search(model, images, wrong)
    assert torch.equal(found, images)
    assert torch.equal(classes, model(images).argmax(-1))


def test_amun_gives_up_on_a_model_that_always_says_the_same(regression) -> None:
    model, images, labels = regression.model(0.0), torch.tensor([[0.2, 0.3]], dtype=torch.float64), torch.tensor([0])
    found, classes = Amun(search_steps=1).search(model, images, labels)
    assert torch.equal(found, images)
    assert classes.tolist() == [0]


def test_amun_stays_in_the_ball() -> None:
    moved = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    assert onto_ball(moved, 1.0).flatten().tolist() == pytest.approx([0.6, 0.8, 0.3, 0.4, 0.0, 0.0])


@pytest.mark.parametrize("stacked", [False, True])
def test_amun_trains_without_retain_if_it_is_told_to(setting, distance, stacked: bool) -> None:
    method = Amun(epochs=1.0, learning_rate=1e-2, batch_size=8, radius=0.3, search_steps=4, use_retain=False)
    (alone,) = setting.run_stacked(method, [11]) if stacked else [setting.run_alone(method, 11)]
    data, trial = setting.data([11], stacked=False), setting.trial([11], stacked=False)
    model = copy.deepcopy(setting.original)
    examples = method.examples(model.eval(), data.forget, trial)
    FineTune(epochs=1.0, learning_rate=1e-2, batch_size=8).unlearn(model.train(), replace(data, retain=examples), trial)
    assert distance(alone, model) < 1e-9


@pytest.mark.parametrize("stacked", [False, True])
def test_amun_trains_on_forget_too_if_it_is_told_to(setting, distance, stacked: bool) -> None:
    method = Amun(epochs=1.0, learning_rate=1e-2, batch_size=8, radius=0.3, search_steps=4, with_forget=True)
    (alone,) = setting.run_stacked(method, [11]) if stacked else [setting.run_alone(method, 11)]
    data, trial = setting.data([11], stacked=False), setting.trial([11], stacked=False)
    model = copy.deepcopy(setting.original)
    examples = method.examples(model.eval(), data.forget, trial)
    columns = (torch.cat(parts) for parts in zip(data.retain.columns, data.forget.columns, examples.columns, strict=True))
    everything = replace(data.retain, columns=tuple(columns), drawn=None, identities=None)
    FineTune(epochs=1.0, learning_rate=1e-2, batch_size=8).unlearn(model.train(), replace(data, retain=everything), trial)
    assert distance(alone, model) < 1e-9


@dataclass(frozen=True)
class Told(Paired):
    """Writes down how many epochs are over, at every step."""

    epochs: float = 2.0
    batch_size: int = 8

    def differentiate(self, model, retain, forget, epoch) -> None:
        self.heard.append(epoch)

    heard: ClassVar[list[float]] = []


def test_epochs_are_counted_by_the_batches_that_there_are(setting) -> None:
    """A last batch of one is none."""
    Told.heard.clear()
    data = setting.data([11], stacked=False)
    Told().unlearn(copy.deepcopy(setting.original), replace(data, retain=data.retain.sample(17)), None)
    assert Told.heard == [0.0, 0.5, 1.0, 1.5]


def test_rum_splits_by_confidence_in_the_true_class(regression) -> None:
    """Two examples: one for each of the first thirds."""
    model, (images, labels) = regression.model(), regression.columns["forget"]
    confidences = model(images).softmax(-1)[torch.arange(2), labels]
    parts = memorised_most(model, regression.data().forget)
    assert [len(part) for part in parts] == [1, 1, 0]
    assert parts[0].labels.item() == labels[confidences.argmin()]
    assert parts[1].labels.item() == labels[confidences.argmax()]


def test_rum_does_one_method_after_the_other(setting, distance) -> None:
    method = Rum(finetune_epochs=0.5, finetune_rate=1e-3, salun_epochs=0.5, salun_rate=1e-2, share=0.3, batch_size=8)
    model, data, trial = copy.deepcopy(setting.original), setting.data([11], stacked=False), setting.trial([11], stacked=False)
    forget = replace(data, forget=memorised_most(model, data.forget)[0])
    FineTune(epochs=0.5, learning_rate=1e-3, batch_size=8).unlearn(model, data, trial)
    SalUn(epochs=0.5, learning_rate=1e-2, share=0.3, batch_size=8).unlearn(model, forget, trial)
    assert distance(setting.run_alone(method, 11), model) == 0


def test_rum_unlearns_a_single_example(setting, distance) -> None:
    data, trial, model = setting.data([11], stacked=False), setting.trial([11], stacked=False), copy.deepcopy(setting.original)
    one = replace(data, forget=data.forget.where(torch.arange(len(data.forget)) == 0))
    Rum(finetune_epochs=0.5, salun_epochs=0.5, batch_size=8).unlearn(model, one, trial)
    assert distance(model, setting.original) > 0


@pytest.mark.parametrize("method", [Amun, Jit])
def test_published_settings_can_be_made(method: type[Amun | Jit]) -> None:
    for setting in method.presets.values():
        assert replace(method(), **setting) != method()
