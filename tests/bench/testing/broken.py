"""Plugins with one mistake each: the check that must find it, and the source."""

HEAD = '''"""Broken on purpose."""
import copy
import os
import random
import sys
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim import SGD

from bench import Method
from bench.losses import cross_entropy, kl_divergence, step
from bench.splits import predict
from bench.weights import weights


def train(model, data, rate=1e-3):
    """An honest method: random labels on forget, then retain."""
    optimizer = SGD(model.parameters(), rate, momentum=0.9)
    for images, labels in data.forget.labelled((data.forget.labels + 1) % 4).batches(16):
        step(optimizer, cross_entropy(model(images), labels))
    for images, labels in data.retain.batches(32):
        step(optimizer, cross_entropy(model(images), labels))
    return model


'''


def _method(body: str, *, fields: str = "", doc: str = "Source: nobody 2026.", top: str = "") -> str:
    lines = "".join(f"        {line}\n" for line in body.strip().splitlines())
    held = "".join(f"    {line}\n" for line in fields.strip().splitlines())
    head = f'{top}\n\n@dataclass(frozen=True)\nclass Broken(Method):\n    """{doc}"""\n\n{held}\n'
    return f"{head}    def unlearn(self, model, data, trial):\n{lines}"


STACKABLE = "stackable: ClassVar[bool] = True"
BROKEN = {
    "imports-loudly": ("loads-without-side-effects", _method("return train(model, data)", top="torch.manual_seed(0)")),
    "doubles-epochs": (
        "hyper-parameters-round-trip",
        _method(
            "return train(model, data)",
            fields="epochs: float = 2.0\n\ndef __post_init__(self):\n    object.__setattr__(self, 'epochs', self.epochs / 2)",
        ),
    ),
    "leaves-a-thread": (
        "runs-in-its-own-process",
        _method(
            "threading.Thread(target=time.sleep, args=(20,), daemon=True).start()\nreturn train(model, data)",
            top="import threading",
        ),
    ),
    "of-another-class": (
        "fits-budgets",
        _method("return train(model, data)", fields="def within(self, share):\n    return Method()"),
    ),
    "forgets-its-answer": (
        "fits-budgets",
        _method(
            "return train(model, data)", fields="rate: float = 0.1\n\ndef within(self, share):\n    return Broken(time.time())"
        ),
    ),
    "fits-only-little": (
        "fits-budgets",
        _method(
            "return train(model, data)",
            fields="def within(self, share):\n    if share > 0.3:\n        raise ValueError('too much')\n    return self",
        ),
    ),
    "fits-nothing": (
        "fits-budgets",
        _method("return train(model, data)", fields="def within(self, share):\n    raise ValueError('never')"),
    ),
    "fits-in-halves": (
        "fits-budgets",
        _method("return train(model, data)", fields="epochs: int = 2\n\ndef within(self, share):\n    return Broken(2 * share)"),
    ),
    "anonymous": ("names-its-source", _method("return train(model, data)", doc="Works well.")),
    "raises": ("runs", _method("return train(model.to('meta'), data)")),
    "returns-a-copy": ("returns-what-it-declares", _method("return train(copy.deepcopy(model), data)")),
    "changes-what-it-was-given": (
        "returns-what-it-declares",
        _method("return copy.deepcopy(train(model, data))", fields="in_place: ClassVar[bool] = False"),
    ),
    "moves-its-teacher": (
        "leaves-teachers-alone",
        _method(
            """
teacher = copy.deepcopy(model)
with torch.no_grad():
    for images, _ in data.retain.batches(32):
        teacher(images)
        for own in teacher.parameters():
            own.mul_(0.9)
return train(model, data)
"""
        ),
    ),
    "does-nothing": (
        "changes-weights",
        _method("return model", fields="uses_forget: ClassVar[bool] = False"),
    ),
    "explodes": ("is-finite", _method("train(model, data)\nmodel.fc.bias.data[0] = float('nan')\nreturn model")),
    "stays-in-evaluation": ("restores-modes", _method("train(model, data)\nreturn model.eval()")),
    "freezes": ("restores-modes", _method("train(model, data)\nmodel.fc.weight.requires_grad_(False)\nreturn model")),
    "unseeded": (
        "seeds-decide",
        _method(
            """
train(model, data)
source = torch.Generator()
source.seed()
with torch.no_grad():
    model.fc.weight.add_(1e-3 * torch.randn(model.fc.weight.shape, generator=source))
return model
"""
        ),
    ),
    "draws-though-deterministic": (
        "seeds-decide",
        _method("return train(model, data)", fields="deterministic: ClassVar[bool] = True"),
    ),
    "whole-parameter-std": (
        "stacked-equals-alone",
        _method(
            """
with torch.no_grad():
    for name, view in weights(model).items():
        view.add_(0.1 * model.get_parameter(name).std() * trial.normal_like(view))
return train(model, data)
""",
            fields=STACKABLE,
        ),
    ),
    "global-draws": (
        "stacked-equals-alone",
        _method(
            "model.fc.bias.data.add_(1e-3 * torch.randn(model.fc.bias.shape).to(model.fc.bias))\nreturn train(model, data)",
            fields=STACKABLE,
        ),
    ),
    "reads-files": (
        "sees-no-held-out-data",
        _method(
            "np.load(os.path.join(os.path.dirname(__file__), 'test.npy'))\nreturn train(model, data)",
            top="np.save(os.path.join(os.path.dirname(__file__), 'test.npy'), np.zeros(3))",
        ),
    ),
    "loads-the-task": (
        "sees-no-held-out-data",
        _method(
            """
from bench.tasks.variants import load_task

load_task('age-synthetic').load().split('test')
return train(model, data)
"""
        ),
    ),
    "ignores-its-budget": (
        "honours-a-tiny-budget",
        _method(
            """
train(model, data)
end = time.process_time() + 1.0
while time.process_time() < end:
    pass
return model
""",
            fields="uses_clock: ClassVar[bool] = True",
        ),
    ),
    "ignores-forget": (
        "uses-the-forget-set",
        _method(
            """
optimizer = SGD(model.parameters(), 1e-3)
for images, labels in data.retain.batches(32):
    step(optimizer, cross_entropy(model(images), labels))
return model
"""
        ),
    ),
    "uses-forget-in-secret": (
        "uses-the-forget-set",
        _method("return train(model, data)", fields="uses_forget: ClassVar[bool] = False"),
    ),
    "destroys": ("keeps-utility", _method("train(model, data)\nmodel.fc.weight.data.zero_()\nreturn model")),
}

# Five public re-implementations of SCRUB, rewritten from descriptions of their mistakes.
_LOOP = """
optimizer = SGD(student.parameters(), 1e-2, momentum=0.9)
for epoch in range(3):
    if epoch < 2:
        for images, _ in data.forget.batches(16):
            with torch.no_grad():
                target = teacher(images)
            step(optimizer, -kl_divergence(target, student(images), 4.0))
    for images, labels in data.retain.batches(32):
        with torch.no_grad():
            target = teacher(images)
        logits = student(images)
        step(optimizer, cross_entropy(logits, labels) + 0.1 * kl_divergence(target, logits, 4.0))
return student
"""
SCRUBS = {
    "shallow-teacher-with-gradients": (
        "leaves-teachers-alone",
        _method("student, teacher = model, copy.copy(model)\n" + _LOOP.strip().replace("torch.no_grad()", "torch.enable_grad()")),
    ),
    "shallow-teacher": (  # the copy shares every weight, so the divergence is always zero
        "leaves-teachers-alone",
        _method("student, teacher = model, copy.copy(model)\n" + _LOOP.strip()),
    ),
    "optimises-the-teacher": (  # the student is a deep copy, and its optimiser is built on what it was copied from
        "changes-weights",
        _method(
            "teacher = model.eval()\nstudent = copy.deepcopy(model)\n"
            + _LOOP.strip().replace("SGD(student", "SGD(teacher").replace("return student", "return student.train()"),
            fields="in_place: ClassVar[bool] = False\nuses_forget: ClassVar[bool] = False",
        ),
    ),
    "raw-logits-all-max-epochs-first": (  # no log-softmax, and no epoch on retain in between or after
        "keeps-utility",
        _method(
            """
teacher = copy.deepcopy(model).eval()
optimizer = SGD(model.parameters(), 1e-2, momentum=0.9)
for epoch in range(6):
    for images, _ in data.forget.batches(4):
        with torch.no_grad():
            target = teacher(images).softmax(-1)
        loss = functional.kl_div(model(images) / 4.0, target, reduction="batchmean")
        optimizer.zero_grad()
        (-loss).backward()
        optimizer.step()
for images, labels in data.retain.batches(96):
    step(optimizer, 1e-3 * cross_entropy(model(images), labels))
return model
"""
        ),
    ),
    "forget-set-never-used": (
        "uses-the-forget-set",
        _method("student, teacher = model, copy.deepcopy(model).eval()\n" + _LOOP.strip().replace("epoch < 2", "False")),
    ),
    "maximises-to-the-end": (  # more maximising epochs than epochs, with gradients divided by a Fisher diagonal
        "keeps-utility",
        _method(
            """
teacher = copy.deepcopy(model).eval()
optimizer = SGD(model.parameters(), 1e-2, momentum=0.9)
for epoch in range(5):
    for images, labels in data.retain.batches(32):
        step(optimizer, cross_entropy(model(images), labels))
    for images, _ in data.forget.batches(16):
        with torch.no_grad():
            target = teacher(images)
        optimizer.zero_grad()
        (-kl_divergence(target, model(images), 4.0)).sum().backward()
        for own in model.parameters():
            own.grad.div_((own.grad.square() + 1e-8).sqrt())
        optimizer.step()
return model
"""
        ),
    ),
}
