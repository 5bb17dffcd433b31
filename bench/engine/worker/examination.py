"""What every network has to keep, looked at before anything is trained with one that does not come with bench.

The conformance kit shows the same rules one by one. Each raises `BenchError` with what is wrong.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.optim import SGD

from bench.errors import BenchError, one_line
from bench.losses import cross_entropy, step
from bench.models.build import Blueprint
from bench.models.networks import Cost
from bench.models.stacked import unstack
from bench.weights import snapshot, state

BATCH, MODELS = 8, 3
STEPS, RATE = 2, 0.05
CLOSE = 1e-4  # of answers in float32 that should be equal: a device may add in another order
TOLERANCE = 1e-9  # of a stack in float64


@dataclass(frozen=True)
class Subject:
    """A network with the classes and the size that it is asked for."""

    blueprint: Blueprint
    classes: int
    size: int
    device: torch.device

    def fresh(self, seed: int) -> nn.Module:
        """One that is freshly initialised."""
        return self.blueprint.initialised(seed).to(self.device)

    @cached_property
    def pictures(self) -> Tensor:
        """Noise for each of some models, [MODELS, BATCH, 3, size, size] in [0, 1]."""
        draws = torch.Generator().manual_seed(0)
        return torch.rand(MODELS, BATCH, 3, self.size, self.size, generator=draws).to(self.device)

    @cached_property
    def labels(self) -> Tensor:
        """Of each picture of a model."""
        return torch.arange(BATCH, device=self.device) % self.classes


def examined(subject: Subject) -> Cost:
    """Apply every rule; returns what the network takes in training.

    Raises:
        BenchError: it does not keep one of them.
    """
    for rule in RULES:
        rule(subject)
    return _cost(subject)


def builds(subject: Subject) -> None:
    """It makes a network, which can be copied."""
    network = subject.blueprint.build()
    with _blamed("it cannot be copied by copy.deepcopy, as methods do"):
        copy.deepcopy(network)


def has_parameters(subject: Subject) -> None:
    """It has parameters that can be trained; all that it has can be handed on as float32, with a row for each model."""
    network = subject.blueprint.build()
    own, buffers = dict(network.named_parameters()), dict(network.named_buffers())
    if not any(parameter.requires_grad for parameter in own.values()):
        raise BenchError("it has no parameters that can be trained")
    for name, parameter in own.items():
        if parameter.dtype != torch.float32:
            raise BenchError(f"{name} is of {parameter.dtype}: parameters must be of torch.float32")
    for name, tensor in {**own, **buffers}.items():
        if not tensor.dim() and tensor.is_floating_point():
            raise BenchError(f"{name} is a number without dimensions, which is not handed on: make it torch.ones(1), say")
        if not _survives(tensor):
            raise BenchError(f"{name} holds what is not finite, or no float32 can hold")


def _survives(tensor: Tensor) -> bool:
    """Whether it is the same after it was handed on, as float32."""
    return not tensor.is_complex() and bool(tensor.isfinite().all()) and torch.equal(tensor.float().to(tensor.dtype), tensor)


def answers(subject: Subject) -> None:
    """It answers with finite logits, one for each class, which depend on its parameters; pictures are left as they are."""
    network, pictures = subject.fresh(0), subject.pictures[0].clone()
    for training in (False, True):
        with _blamed(f"it cannot be run on pictures {list(pictures.shape)} in {'training' if training else 'evaluation'}"):
            logits = network.train(training)(pictures)
        _check_logits(logits, subject.classes)
        if not torch.equal(pictures, subject.pictures[0]):
            raise BenchError("it changes the pictures that it is given, which others are given, too")
    if not logits.requires_grad:
        raise BenchError("its answers do not depend on its parameters: nothing can be learnt")
    with _blamed("its gradients cannot be computed"):
        cross_entropy(logits, subject.labels).backward()


def _check_logits(logits: object, classes: int) -> None:
    if not isinstance(logits, Tensor):
        raise BenchError(f"it answers with a {type(logits).__name__}, not with a tensor of logits")
    if logits.shape != (BATCH, classes):
        raise BenchError(
            f"it answers {BATCH} pictures of {classes} classes with {list(logits.shape)} numbers, not [{BATCH}, {classes}]:"
            " its last layer must have as many outputs as there are classes"
        )
    if logits.dtype != torch.float32 or not logits.isfinite().all():
        raise BenchError("its answers must be finite numbers of torch.float32")


def seeds_decide(subject: Subject) -> None:
    """Initial weights follow from torch's global generator, and from nothing else."""
    one, again, other = (state(subject.blueprint.initialised(seed)) for seed in (1, 1, 2))
    if odd := _difference(one, again):
        raise BenchError(f"two networks of one seed differ in {odd}: draw weights from torch's global generator only")
    if not _difference(one, other):
        raise BenchError("networks of two seeds are the same: do not seed torch's generator, which every model has a seed for")


def _difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str:
    """The first name under which they hold something else; "" if there is none."""
    if one.keys() != other.keys():
        return sorted(one.keys() ^ other.keys())[0]
    return next((name for name, tensor in one.items() if not torch.equal(tensor, other[name])), "")


def answers_alike(subject: Subject) -> None:
    """In evaluation the same pictures get the same answers."""
    network = subject.fresh(0)
    if not _close(_answers(network, subject), _answers(network, subject)):
        raise BenchError("in evaluation it answers the same pictures in two ways: draw nothing where self.training is False")


def keeps_no_other_state(subject: Subject) -> None:
    """What it has learnt is in parameters and buffers: put into another network, or taken back, they make the same network."""
    network, other = subject.fresh(1), subject.fresh(2)
    first, before = snapshot(network), _answers(network, subject)
    for _ in range(2):  # it has seen something else before, and more often
        _train(other, subject, 2)
    _train(network, subject)
    learnt, after = snapshot(network), _answers(network, subject)
    _put(learnt, other)
    same = _close(_answers(other, subject), after)
    _train(network, subject)
    _train(other, subject)
    same = same and _close(_answers(other, subject), _answers(network, subject))
    _put(first, network)
    if not (same and _close(_answers(network, subject), before)):
        raise BenchError(
            "it keeps something beside its parameters and buffers, which is lost when these are handed on: use register_buffer"
        )


def stacked_equals_alone(subject: Subject) -> None:
    """In float64 a stack learns and answers as its models do alone; of a network that says it is stackable."""
    if not subject.blueprint.stackable:
        return
    nets = [subject.fresh(seed).double() for seed in range(MODELS)]
    pictures = subject.pictures.double()
    with _blamed("it cannot be stacked; leave `stackable` out"):
        stack = subject.blueprint.stack(nets)
        _fit(stack, pictures, subject.labels)
        together = [unstack(stack, index, nets[index]) for index in range(MODELS)]
        answered = stack.eval()(pictures).detach()
    if answered.shape != (MODELS, BATCH, subject.classes):
        raise BenchError(f"a stack answers with {list(answered.shape)} numbers; leave `stackable` out")
    for index, net in enumerate(nets):
        _fit(net, pictures[index], subject.labels)
        pairs = [(net.eval()(pictures[index]).detach(), answered[index])]
        pairs += [(view, state(together[index])[name]) for name, view in state(net).items()]
        worst = max(float((ours.double() - theirs.double()).abs().max()) for ours, theirs in pairs)
        if not worst <= TOLERANCE:
            raise BenchError(f"a stack differs from single models by {worst:.2g}: its layers mix models; leave `stackable` out")


RULES: Sequence[Callable[[Subject], None]] = (
    builds,
    has_parameters,
    answers,
    seeds_decide,
    answers_alike,
    keeps_no_other_state,
    stacked_equals_alone,
)


@torch.no_grad()
def _answers(network: nn.Module, subject: Subject) -> Tensor:
    logits: Tensor = network.eval()(subject.pictures[0])
    network.train()
    return logits


def _train(network: nn.Module, subject: Subject, pictures: int = 1) -> None:
    """A few steps, on pictures that no answers are asked for; what it draws follows from one seed."""
    with torch.random.fork_rng(devices=[subject.device] if subject.device.type == "cuda" else []):
        torch.manual_seed(0)
        _fit(network, subject.pictures[pictures], subject.labels)


def _fit(network: nn.Module, pictures: Tensor, labels: Tensor) -> None:
    optimizer = SGD(network.train().parameters(), RATE, momentum=0.9)
    for _ in range(STEPS):
        step(optimizer, cross_entropy(network(pictures), labels))


def _put(views: Mapping[str, Tensor], network: nn.Module) -> None:
    for name, view in state(network).items():
        view.copy_(views[name])


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=CLOSE, atol=CLOSE)


@contextmanager
def _blamed(what: str) -> Iterator[None]:
    try:
        yield
    except (Exception, SystemExit) as problem:  # whatever a network raises
        raise BenchError(f"{what}: {one_line(f'{type(problem).__name__}: {problem}')}") from problem


def _cost(subject: Subject) -> Cost:
    """Parameters, and what layers answer: the same on every device."""
    network, numbers = subject.fresh(0), 0

    def count(_layer: nn.Module, _given: object, answer: object) -> None:
        nonlocal numbers
        numbers += answer.numel() if isinstance(answer, Tensor) else 0

    for layer in network.modules():
        if not any(True for _ in layer.children()):
            layer.register_forward_hook(count)
    network(subject.pictures[0])
    return Cost(sum(parameter.numel() for parameter in network.parameters()), numbers / BATCH / subject.size**2)
