"""Functions in the challenge's signature run unchanged: the starting kit's, and three in the style of winning submissions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from bench.errors import BenchError, described
from bench.registry import discovery, loading
from bench.registry.functions import arrangement, method_of
from bench.registry.specs import Spec, configure
from bench.testing.toy_task import distance, toy_task

READS = (  # ways to image and label
    'images, labels = batch["image"], batch["age_group"]',
    "images, labels = batch",
    "(images, labels), more = batch[:2], batch[2:]",
    "images, labels = PAIR(batch)",
    "images, labels = batch[KEY], batch.get('age_group')",
    'images, labels = [batch[k] for k in ("image", "age_group")]',
    "images, _, labels, _, _ = batch.values()",
    "found = {k: v for k, v in batch.items()}; images, labels = found['image'], found['age_group']",
    "found = dict(batch); images, labels = found['image'], found['age']",
    "images, labels = (lambda image, age_group, **_: (image, age_group))(**batch)",
    "images, labels = (batch['image'], batch['age_group']) if 'image' in batch else batch",
    "images, labels = (batch['image'], batch['age_group']) if isinstance(batch, dict) else batch",
    "images, labels = [each.to(torch.float32) if each.dim() > 1 else each for each in batch]",
)
HANDED = "def unlearning({}):\n    {}\n"
HEAD = '"""Submissions."""\nimport copy\nimport torch\nfrom torch import nn, optim\nfrom torch.nn import functional\n\n\n'
SUBMISSIONS = {
    "starting_kit": '''
def unlearning(net, retain_loader, forget_loader, val_loader):
    """Fine-tune on retain."""
    epochs = 1
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    net.train()
    for _ in range(epochs):
        for sample in retain_loader:
            inputs, targets = sample["image"], sample["age_group"]
            optimizer.zero_grad()
            loss = criterion(net(inputs), targets)
            loss.backward()
            optimizer.step()
        scheduler.step()
    net.eval()
''',
    "noise_and_fine_tuning": """
def unlearning(net, retain_loader, forget_loader, val_loader):
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if "conv" in name:
                weight.add_(0.02 * torch.randn_like(weight))
    loader = torch.utils.data.DataLoader(retain_loader.dataset, batch_size=2 * retain_loader.batch_size, shuffle=True)
    optimizer = optim.SGD(net.parameters(), lr=7e-4, momentum=0.9)
    for _ in range(2):
        for images, labels in loader:
            optimizer.zero_grad()
            functional.cross_entropy(net(images), labels).backward()
            optimizer.step()
    return net
""",
    "pruning_and_reinitialisation": """
def unlearning(net, retain_loader, forget_loader, val_loader):
    teacher = copy.deepcopy(net).eval()
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d):
                bound = layer.weight[0].numel() ** -0.5
                small = layer.weight.abs() < layer.weight.abs().quantile(0.3)
                layer.weight[small] = torch.empty(int(small.sum())).uniform_(-bound, bound)
    optimizer = optim.SGD(net.parameters(), lr=5e-4, momentum=0.9)
    for images, labels in retain_loader:
        with torch.no_grad():
            target = teacher(images)
        logits = net(images)
        optimizer.zero_grad()
        (functional.cross_entropy(logits, labels) + functional.mse_loss(logits, target)).backward()
        optimizer.step()
    return net
""",
    "contrastive_in_two_stages": """
def unlearning(net, retain_loader, forget_loader, val_loader):
    optimizer = optim.SGD(net.parameters(), lr=5e-3, momentum=0.9)
    for sample in forget_loader:
        logits = net(sample["image"])
        uniform = torch.full_like(logits, 1 / logits.shape[-1])
        optimizer.zero_grad()
        functional.kl_div(logits.log_softmax(-1), uniform, reduction="batchmean").backward()
        optimizer.step()
    optimizer = optim.SGD(net.parameters(), lr=3e-4, momentum=0.9)
    for _ in range(2):
        for forgotten, kept in zip(forget_loader, retain_loader):
            with torch.no_grad():
                anchor = net(kept["image"])
            similar = net(forgotten["image"]) @ anchor.T / 1.15
            optimizer.zero_grad()
            (-similar.log_softmax(-1)).mean().backward()
            optimizer.step()
        for sample in retain_loader:
            optimizer.zero_grad()
            functional.cross_entropy(net(sample["image"]), sample["age_group"]).backward()
            optimizer.step()
""",
}


def _method(tmp_path: Path, source: str, name: str = "submission.py:unlearning", **parameters):
    (tmp_path / "submission.py").write_text(HEAD + source)
    plugin = discovery.find_method(str(tmp_path / name))
    return configure(loading.load_method(plugin), Spec(plugin.name, parameters))


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_submissions_run_unchanged(tmp_path: Path, name: str) -> None:
    method = _method(tmp_path, SUBMISSIONS[name])
    done, again, other = (toy_task().unlearn(method, seed) for seed in (1, 1, 2))
    assert distance(done, toy_task().original()) > 0
    assert distance(done, again) == 0
    assert distance(done, other) > 0
    assert toy_task().accuracy(done, "retain") > 0.5


def test_the_only_function_of_that_name_needs_no_naming(tmp_path: Path) -> None:
    method = _method(tmp_path, SUBMISSIONS["starting_kit"], name="submission.py")
    assert type(method).__name__ == "unlearning"
    assert type(method).__doc__ == "Fine-tune on retain."


LOOKS = """
seen = []
def unlearning(net, retain_loader, forget_loader, val_loader):
    seen.append((retain_loader, forget_loader, val_loader))
"""


def _loaders(tmp_path: Path, source: str, **parameters) -> list[DataLoader]:
    method = _method(tmp_path, source, **parameters)
    toy_task().unlearn(method, 1)
    return type(method).function.__globals__["seen"][-1]


def test_loaders_are_data_loaders(tmp_path: Path) -> None:
    retain, forget, validation = _loaders(tmp_path, LOOKS, batch_size=20)
    for loader, size in ((retain, 96), (forget, 32), (validation, 32)):
        assert isinstance(loader, DataLoader)
        assert loader.batch_size == 20
        assert len(loader) == -(-size // 20)
        assert len(loader.dataset) == size
        for _ in range(2):
            assert sum(len(labels) for _, labels in loader) == size
    assert not torch.equal(next(iter(retain))[1], next(iter(retain))[1])
    assert torch.equal(next(iter(validation))[1], next(iter(validation))[1])


@pytest.mark.parametrize("keyed", ["", 'LOG = {"age": 1}\nfirst = LOG["age"]'])
@pytest.mark.parametrize("reads", READS)
def test_batches_are_what_the_function_reads(tmp_path: Path, reads: str, keyed: str) -> None:
    """However it does so, and whatever else stands in its file."""
    source = f"""
import operator
KEY, PAIR = "image", operator.itemgetter("image", "age_group")
{keyed}
def unlearning(net, retain_loader, forget_loader, val_loader):
    optimizer = optim.SGD(net.parameters(), lr=0.01)
    for batch in retain_loader:
        {reads}
        optimizer.zero_grad()
        functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
"""
    done, wanted = (
        toy_task().unlearn(_method(tmp_path, text), 1) for text in (source, source.replace(reads, READS[0]).replace(keyed, ""))
    )
    assert distance(done, toy_task().original()) > 0
    assert distance(done, wanted) == 0


@pytest.mark.parametrize(
    ("batch_format", "reads"),
    [
        ("auto", 'batch["label"]'),
        ("auto", "[batch[key] for key in batch]"),
        ("tuple", 'batch["image"]'),
        ("tuple", "batch.get('image')"),
        ("dict", "batch[0]"),
        ("dict", "images, labels = batch"),
    ],
)
def test_a_batch_that_is_misread_is_told_with_the_remedy(tmp_path: Path, batch_format: str, reads: str) -> None:
    method = _method(
        tmp_path, HANDED.format("net, retain, forget, val", f"for batch in retain: {reads}"), batch_format=batch_format
    )
    with pytest.raises((KeyError, TypeError, AttributeError, ValueError)) as caught:
        toy_task().unlearn(method, 1)
    assert "--batch-format" in described(caught.value)


def test_other_errors_are_left_alone(tmp_path: Path) -> None:
    method = _method(tmp_path, HANDED.format("net, retain, forget, val", "raise ValueError('of its own')"))
    with pytest.raises(ValueError, match="of its own") as caught:
        toy_task().unlearn(method, 1)
    assert described(caught.value) == "ValueError: of its own"


def test_batch_format_overrides(tmp_path: Path) -> None:
    assert isinstance(next(iter(_loaders(tmp_path, LOOKS, batch_format="dict")[0])), dict)
    assert type(next(iter(_loaders(tmp_path, LOOKS, batch_format="tuple")[0]))) is list


def test_pixels_as_the_challenge_has_them(tmp_path: Path) -> None:
    """The same numbers, if a function neither changes nor looks at them; and the network is as it was."""
    source = SUBMISSIONS["pruning_and_reinitialisation"]
    usual, scaled = (toy_task().unlearn(_method(tmp_path, source, pixel_scale=scale), 1) for scale in (1.0, 255.0))
    assert distance(usual, scaled) < 1e-4
    assert not [hook for module in scaled.modules() for hook in module._forward_pre_hooks]
    retain = _loaders(tmp_path, LOOKS, pixel_scale=255.0)[0]
    assert 200 < max(float(images.max()) for images, _ in retain) <= 255


def test_a_network_that_is_copied_takes_these_pixels_too(tmp_path: Path) -> None:
    source = HANDED.format(
        "net, retain, forget, val", "twin = copy.deepcopy(net); twin.seen = twin(next(iter(val))[0]); return twin"
    )
    usual, scaled = (toy_task().unlearn(_method(tmp_path, source, pixel_scale=scale), 1) for scale in (1.0, 255.0))
    assert torch.allclose(usual.seen, scaled.seen, atol=1e-4)
    assert not [hook for module in scaled.modules() for hook in module._forward_pre_hooks]


def _made(arguments: str):
    names: dict = {}
    exec(f"def unlearning({arguments}):\n    return locals()", names)
    return names["unlearning"]


@pytest.mark.parametrize(
    ("arguments", "handed"),
    [
        ("net, retain_loader, forget_loader, val_loader", ["net", "retain", "forget", "validation"]),
        ("net, forget_loader, retain_loader, val_loader", ["net", "forget", "retain", "validation"]),
        ("valloader, forgetLoader, remain, model", ["validation", "forget", "retain", "net"]),
        ("unlearned_net, validation_dl, retain_dl, forget_dl, values=3", ["net", "validation", "retain", "forget", 3]),
        ("net, retain_loader, forget_loader, validation=None", ["net", "retain", "forget", "validation"]),
        ("net, retain, forget, val, retain_weight=0.5", ["net", "retain", "forget", "validation", 0.5]),
        ("net, rate=0.5, *, forget, val, retain", ["net", 0.5, "forget", "validation", "retain"]),
        ("network, forget_set, /, retain_set, *, valid_set, **more", ["net", "forget", "retain", "validation", {}]),
        ("net, forgotten, kept, val", ["net", "forget", "retain", "validation"]),
        ("model, erase_loader, keep_loader, test_loader", ["net", "forget", "retain", "validation"]),
        ("net, D_f, D_r, D_v", ["net", "forget", "retain", "validation"]),
        ("net, dataloader_f, dataloader_r, val", ["net", "forget", "retain", "validation"]),
        ("a, b, c, d", ["net", "retain", "forget", "validation"]),
        ("net, b, c, d, *more", ["net", "retain", "forget", "validation", ()]),
        ("net, *loaders", ["net", ("retain", "forget", "validation")]),
    ],
)
def test_arguments_are_handed_over_by_name_where_names_are_clear(arguments: str, handed: list) -> None:
    function = _made(arguments)
    places, named = arrangement(function)
    assert list(function(*places, **named).values()) == handed


@pytest.mark.parametrize(
    "arguments",
    [
        "net, retain_loader",
        "*, net",
        "a, b, c, d, e",
        "net, forget, retain, loader",  # silently in the wrong order
        "net, retain_loader, retain_labels, val_loader",
        "net, retain_loader, forget_loader, epochs=3",
        "**everything",
        "",
    ],
)
def test_another_signature_is_told(arguments: str) -> None:
    told = rf"expected unlearning\(net, retain_loader, forget_loader, val_loader\), found unlearning\({re.escape(arguments)}\)"
    with pytest.raises(BenchError, match=told):
        method_of(_made(arguments))


CALLABLES = """
import functools
class Unlearner:
    "Whatever it does."
    def __call__(self, net, retain, forget, val):
        seen.append(forget)
    def run(self, net, retain, forget, val):
        "Run it."
        seen.append(forget)
def long(rate, net, retain, forget, val, *, epochs):
    "Rate and epochs."
    seen.append(forget)
seen = []
"""


@pytest.mark.parametrize(
    ("made", "name", "documentation"),
    [
        ("functools.partial(long, 0.1, epochs=2)", "long", "Rate and epochs."),
        ("functools.partial(functools.partial(long, epochs=2), 0.1)", "long", "Rate and epochs."),
        ("Unlearner()", "Unlearner", "Whatever it does."),
        ("Unlearner().run", "run", "Run it."),
        ("torch.no_grad()(Unlearner().run)", "run", "Run it."),
    ],
)
def test_whatever_can_be_called_is_a_function(tmp_path: Path, made: str, name: str, documentation: str) -> None:
    for file in ("submission.py", "submission.py:unlearning"):
        method = _method(tmp_path, f"{CALLABLES}\nunlearning = {made}\n", file)
        assert (type(method).__name__, type(method).__doc__) == (name, documentation)
        toy_task().unlearn(method, 1)


@pytest.mark.parametrize(("made", "what"), [("Unlearner", "class Unlearner"), ("3", "int"), ("None", "NoneType")])
def test_what_cannot_be_called_is_told(tmp_path: Path, made: str, what: str) -> None:
    with pytest.raises(BenchError, match=f"expected a subclass of bench.Method, or a function, found the {what}$"):
        _method(tmp_path, f"{CALLABLES}\nunlearning = {made}\n")


def test_what_says_nothing_of_its_arguments_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="max does not say what its arguments are"):
        _method(tmp_path, "unlearning = max\n")
