"""The residual network of the challenge: torchvision's ResNet-18, for pictures of any size."""

from __future__ import annotations

from torch import Tensor
from torchvision.models.resnet import BasicBlock, ResNet

from bench.models.normalise import Normalise


class ResNet18(ResNet):  # type: ignore[misc]  # torchvision has no types
    """Images [B, 3, H, W] in [0, 1] -> logits [B, classes]; 11.2M parameters for 10 classes.

    Source: He et al. 2016, arXiv:1512.03385; `torchvision.models.resnet18(num_classes=classes)` behind a fixed normalisation.
    """

    def __init__(self, classes: int, mean: float = 0.5, std: float = 0.25) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=classes)
        self.normalise = Normalise([mean] * 3, [std] * 3)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a batch."""
        logits: Tensor = super().forward(self.normalise(images))
        return logits


def challenge_resnet18(classes: int) -> ResNet18:
    """The challenge's network as it was trained there: on pixel values from 0 to 255, not normalised."""
    return ResNet18(classes, mean=0.0, std=1 / 255)
