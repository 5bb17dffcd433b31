"""Functions in the challenge's signature run unchanged: the starting kit's, and three in the style of winning submissions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from bench.errors import BenchError
from bench.registry import discovery, loading
from bench.registry.functions import KEYS, ChallengeDataset
from bench.registry.specs import Spec, configure
from bench.splits import Split
from bench.testing.toy_task import distance, toy_task

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


def test_batches_are_what_the_function_reads(tmp_path: Path) -> None:
    retain = _loaders(tmp_path, LOOKS + '\nkey = {}.get\ndef other(batch):\n    return batch["age_group"]\n')[0]
    batch = next(iter(retain))
    assert tuple(batch) == KEYS
    assert batch["image"].shape == (64, 3, 32, 32)
    assert batch["age_group"].dtype == torch.int64
    assert len(batch["person_id"]) == 64


def test_batch_format_overrides(tmp_path: Path) -> None:
    assert isinstance(next(iter(_loaders(tmp_path, LOOKS, batch_format="dict")[0])), dict)
    (tmp_path / "b").mkdir()
    keyed = LOOKS + '\ndef other(batch):\n    return batch["image"]\n'
    assert isinstance(next(iter(_loaders(tmp_path / "b", keyed, batch_format="tuple")[0])), list)


def test_who_is_on_an_image() -> None:
    columns = (torch.zeros(3, 3, 2, 2), torch.tensor([2, 0, 1]))
    known, unknown = (ChallengeDataset(Split(columns, [], identities=who)) for who in (torch.tensor([7, 7, 8]), None))
    assert [known[row]["person_id"] for row in range(3)] == ["7", "7", "8"]
    assert known[2]["image_id"] == "8-2"
    assert known[0]["age_group"] == known[0]["age"] == 2
    assert unknown[0]["person_id"] == "-1"


@pytest.mark.parametrize("signature", ["(net, retain_loader)", "(*, net)", "(a, b, c, d, e)"])
def test_another_signature_is_told(tmp_path: Path, signature: str) -> None:
    with pytest.raises(
        BenchError, match=r"expected unlearning\(net, retain_loader, forget_loader, val_loader\), found unlearning\("
    ):
        _method(tmp_path, f"def unlearning{signature}:\n    pass\n")
