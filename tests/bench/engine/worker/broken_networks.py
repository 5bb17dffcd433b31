"""Networks with one mistake each: the rule that must find it, what is said, and the source; and networks without any."""

HEAD = '''"""Broken on purpose."""
import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import VisionTransformer, mobilenet_v3_small


class Linear(nn.Module):
    """A network of one layer."""

    def __init__(self, classes, size):
        super().__init__()
        self.head = nn.Linear(3 * size**2, classes)

    def forward(self, images):
        return self.head(images.flatten(1))


'''


def _net(init: str = "", forward: str = "return super().forward(images)", *, held: str = "", base: str = "Linear") -> str:
    body = "".join(f"        {line}\n" for line in init.splitlines())
    lines = "".join(f"        {line}\n" for line in forward.splitlines())
    attributes = f"    {held}\n\n" if held else ""
    made = f"    def __init__(self, classes, size):\n        super().__init__(classes, size)\n{body}\n"
    return f"{HEAD}class Net({base}):\n{attributes}{made}    def forward(self, images):\n{lines}"


def _function(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"{HEAD}def Net(classes, size):\n{lines}"


BROKEN = {
    "raises": (
        "builds",
        "makes no network for 10 classes and 32 pixels: RuntimeError: no luck",
        _net("raise RuntimeError('no luck')"),
    ),
    "exits": ("builds", "SystemExit: 3", _net("raise SystemExit(3)")),
    "no-module": ("builds", "makes a int, not a torch.nn.Module", _function("return classes")),
    "cannot-be-copied": ("builds", "copied by copy.deepcopy", _net("self.kept = self.head.weight * 2")),
    "no-parameters": (
        "has_parameters",
        "no parameters",
        _function("return nn.Sequential(nn.AdaptiveAvgPool2d((1, classes // 3)))"),
    ),
    "nothing-to-train": ("has_parameters", "no parameters that can be trained", _net("self.requires_grad_(False)")),
    "lazy": ("builds", "1.weight has no shape yet", _function("return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))")),
    "in-double": ("has_parameters", "torch.float64", _net("self.double()", "return super().forward(images.double()).float()")),
    "a-number": ("has_parameters", "scale is a number", _net("self.scale = nn.Parameter(torch.tensor(1.0))")),
    "not-finite": ("has_parameters", "mask holds", _net("self.register_buffer('mask', torch.full((2,), -torch.inf))")),
    "too-precise": ("has_parameters", "table holds", _net("self.register_buffer('table', torch.full((2,), 1/3).double() / 3)")),
    "ten-classes": ("answers", "[8, 11] numbers, not [8, 10]", _net("self.head = nn.Linear(3 * size**2, classes + 1)")),
    "one-number": ("answers", "[8] numbers", _net("", "return super().forward(images)[:, 0]")),
    "a-tuple": ("answers", "a tuple, not", _net("", "return super().forward(images), None")),
    "half": ("answers", "finite numbers of torch.float32", _net("", "return super().forward(images).half()")),
    "nan": ("answers", "finite numbers", _net("", "return super().forward(images) / 0")),
    "does-not-run": ("answers", "cannot be run on pictures [8, 3, 32, 32]", _net("self.head = nn.Linear(5, classes)")),
    "fails-in-training": ("answers", "in training", _net("", "assert not self.training\nreturn super().forward(images)")),
    "cut-off": ("answers", "do not depend on its parameters", _net("", "return super().forward(images).detach()")),
    "changes-pictures": ("answers", "changes the pictures", _net("", "images -= 0.5\nreturn super().forward(images)")),
    "of-numpy": (
        "seeds_decide",
        "one seed differ in head.weight",
        _net("self.head.weight.data = torch.from_numpy(np.random.rand(*self.head.weight.shape)).float()"),
    ),
    "of-python": ("seeds_decide", "differ in head.bias", _net("self.head.bias.data.fill_(random.random())")),
    "of-its-own": (
        "seeds_decide",
        "differ in head.bias",
        _net("draws = torch.Generator()\ndraws.seed()\nself.head.bias.data.normal_(generator=draws)"),
    ),
    "one-seed": ("seeds_decide", "two seeds are the same", _net("torch.manual_seed(0)\nself.head.reset_parameters()")),
    "constant": (
        "seeds_decide",
        "two seeds are the same",
        _net("nn.init.zeros_(self.head.weight)\nnn.init.zeros_(self.head.bias)"),
    ),
    "always-drops": (
        "answers_alike",
        "answers the same pictures in two ways",
        _net("", "return functional.dropout(super().forward(images))"),
    ),
    "counts": (
        "keeps_no_other_state",
        "beside its parameters and buffers",
        _net("self.seen = 0", "self.seen += self.training\nreturn super().forward(images) * (1 + self.seen)"),
    ),
    "running-mean": (
        "keeps_no_other_state",
        "use register_buffer",
        _net(
            "self.mean = torch.zeros(1)",
            "if self.training:\n    self.mean = images.mean().detach()\nreturn super().forward(images - self.mean.to(images))",
        ),
    ),
    "first-batch": (
        "keeps_no_other_state",
        "beside",
        _net(
            "self.scale = None",
            "self.scale = self.scale or float(images.flatten()[0])\nreturn super().forward(images / self.scale)",
        ),
    ),
    "of-the-module": (
        "keeps_no_other_state",
        "beside",
        _net("", "KEPT['steps'] += self.training\nreturn super().forward(images) * (1 + KEPT['steps'])").replace(
            "class Linear", "KEPT = {'steps': 0}\n\n\nclass Linear"
        ),
    ),
    "a-schedule": (
        "keeps_no_other_state",
        "beside",
        _net(
            "self.step = 0",
            "self.step += self.training\nreturn super().forward(images) * (self.step if self.training else 1)",
        ),
    ),
    "not-stackable": (
        "stacked_equals_alone",
        "leave `stackable` out",
        _net("self.norm = nn.LayerNorm(4)", held="stackable = True"),
    ),
    "mixes-models": (
        "stacked_equals_alone",
        "its layers mix models",
        _net(
            "self.conv = nn.Conv2d(3, 3, 1)",
            "return super().forward(functional.softmax(self.conv(images), 1))",
            held="stackable = True",
        ),
    ),
}
CORRECT = {
    "mobilenet": _function("return mobilenet_v3_small(num_classes=classes)"),
    "vision-transformer": f"""{HEAD}class Net(VisionTransformer):
    def __init__(self, classes, size):
        super().__init__(size, size // 4, 2, 4, 32, 64, dropout=0.1, num_classes=classes)
""",
    "views": _net("self.conv = nn.Conv2d(3, 3, 3, padding=1)", "return self.head(self.conv(images).view(len(images), -1))"),
    "tied": _net("self.again = self.head"),
    "with-tables": _net("self.register_buffer('table', torch.arange(7))\nself.register_buffer('known', torch.ones(3) > 0)"),
    "partly-frozen": _net("self.head.bias.requires_grad_(False)"),
    "normalised": _net("self.norm = nn.BatchNorm2d(3)", "return super().forward(self.norm(images))"),
    "stackable": _net(
        "self.conv = nn.Conv2d(3, 4, 3)\nself.norm = nn.BatchNorm2d(4)\nself.head = nn.Linear(4, classes)",
        "return self.head(functional.relu(self.norm(self.conv(images))).mean((2, 3)))",
        held="stackable = True",
    ),
}
