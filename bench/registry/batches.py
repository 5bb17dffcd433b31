"""What a function of the challenge reads: splits as datasets with the challenge's attributes, in real DataLoaders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils.collate import default_collate_fn_map

from bench.models.normalise import Normalise
from bench.splits import Split

Form = Literal["auto", "tuple", "dict"]
KEYS = ("image", "image_id", "age_group", "age", "person_id")  # of the challenge's own data, in its order
_PLACES = {"image": 0, "age_group": 1}


class Example(list[Any]):
    """An example, or a batch of them, to be read either way: `image, label = example`, or `example["image"]` as in the challenge.

    It is the list that DataLoaders make of pairs, and has what a dict has but for two things: `isinstance(example, dict)` is
    False, and its own iterator gives image and label, not keys.
    """

    def __init__(self, pair: Sequence[Any] = (), **others: Any) -> None:
        super().__init__(pair)
        self._others = others

    def __getitem__(self, key: Any) -> Any:
        """By position or key."""
        place = _PLACES.get(key) if isinstance(key, str) else key
        return self._others[key] if place is None else super().__getitem__(place)

    def __setitem__(self, key: Any, value: Any) -> None:
        """By position or key."""
        place = _PLACES.get(key) if isinstance(key, str) else key
        if place is None:
            self._others[key] = value
        else:
            super().__setitem__(place, value)

    def __contains__(self, key: object) -> bool:
        """Whether there is such a key."""
        return key in self.keys() if isinstance(key, str) else super().__contains__(key)

    def keys(self) -> list[str]:
        """The challenge's keys, and those that were added."""
        return list(dict.fromkeys((*KEYS, *self._others)))

    def values(self) -> list[Any]:
        """What they stand for."""
        return [self[key] for key in self.keys()]

    def items(self) -> list[tuple[str, Any]]:
        """Both."""
        return [(key, self[key]) for key in self.keys()]

    def get(self, key: str, default: Any = None) -> Any:
        """What a key stands for, if there is such a key."""
        return self[key] if key in self.keys() else default


def _collated(examples: Sequence[Example], *, collate_fn_map: Any = None) -> Example:
    """A batch, for every DataLoader that somebody makes of these datasets."""
    images, labels = torch.stack([example[0] for example in examples]), torch.tensor([example[1] for example in examples])
    names = {key: [example[key] for example in examples] for key in ("image_id", "person_id")}
    return Example((images, labels), age=labels, **names)


default_collate_fn_map[Example] = _collated  # torch's own door: see torch.utils.data.default_collate


class ChallengeDataset(Dataset[Any]):
    """A split as a dataset of the challenge: images are float, labels whole numbers, and who is on them is known.

    Tasks keep age groups, not ages, so `age` is the group's number; a person whom the task does not know is "-1".

    Attributes:
        targets: the labels, as torchvision's datasets have them.
        classes: names of the classes, which are their numbers.
        class_weights: [K], what the task's own training weights classes by; None: all equal.
    """

    def __init__(
        self, split: Split, form: Form = "auto", *, scale: float = 1.0, classes: int = 0, class_weights: Tensor | None = None
    ) -> None:
        self._form, self._images = form, split.images if scale == 1 else split.images * scale
        self.targets: list[int] = split.labels.tolist()
        people = [-1] * len(split) if split.identities is None else split.identities.tolist()
        self._people = [str(person) for person in people]
        self.classes, self.class_weights = [str(number) for number in range(classes)], class_weights

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.targets)

    def __getitem__(self, row: int) -> Any:
        """An example: image and label, a dict, or what can be read as either."""
        image, label, person = self._images[row], self.targets[row], self._people[row]  # an IndexError ends `for example in`
        if self._form == "tuple":
            return image, label
        example = Example((image, label), image_id=f"{person}-{int(row) % len(self)}", age=label, person_id=person)
        return example if self._form == "auto" else dict(example.items())

    def loader(self, batch_size: int, generator: torch.Generator, *, shuffle: bool) -> DataLoader[Any]:
        """A DataLoader over it."""
        return DataLoader(self, batch_size, shuffle=shuffle, generator=generator)


class _Divide:
    """A hook that a network's copies have, too."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0] / self.scale, *inputs[1:])


def take_pixels(net: nn.Module, scale: float) -> None:
    """Have a network take images in [0, `scale`]."""
    first = next((module for module in net.modules() if isinstance(module, Normalise)), net)
    first.register_forward_pre_hook(_Divide(scale))


def take_usual_pixels(net: nn.Module) -> None:
    """Have a network, or what was copied from one, take images in [0, 1] again."""
    for module, number in list(_divided(net)):
        del module._forward_pre_hooks[number]


def _divided(net: nn.Module) -> Iterator[tuple[nn.Module, int]]:
    for module in net.modules():
        yield from ((module, number) for number, hook in module._forward_pre_hooks.items() if isinstance(hook, _Divide))
