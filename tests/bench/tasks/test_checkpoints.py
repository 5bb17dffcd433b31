"""Checkpoints are read as tensors, and what is not the weights of the task's network is refused in a line."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from bench.errors import BenchError
from bench.models.build import build, initialised
from bench.tasks.checkpoints import read_weights, stacked
from bench.weights import state

NETWORK, CLASSES = "resnet8-v1", 4
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def weights() -> State:
    return dict(initialised(NETWORK, CLASSES, seed=3).state_dict())


def read(path: Path) -> dict[str, np.ndarray]:
    return read_weights(path, build(NETWORK, CLASSES))


def test_every_kind_of_file_has_the_same_weights(weights: State, tmp_path: Path) -> None:
    contiguous = {name: value.contiguous() for name, value in weights.items()}
    torch.save(weights, tmp_path / "a.pth")
    torch.save({f"module.{name}": value for name, value in weights.items()}, tmp_path / "parallel.pth")
    torch.save({name: value.double() for name, value in weights.items()}, tmp_path / "double.ckpt")
    save_file(contiguous, tmp_path / "a.safetensors")
    own = {name: view[0] for name, view in state(initialised(NETWORK, CLASSES, seed=3)).items()}
    torch.save(own, tmp_path / "without-counters.pt")
    for path in tmp_path.iterdir():
        found = read(path)
        assert set(found) == set(own)
        for name, value in own.items():
            np.testing.assert_array_equal(found[name], value.numpy(), err_msg=f"{path.name} {name}")
            assert found[name].dtype == np.float32


def test_models_are_stacked_in_their_order() -> None:
    found = stacked([{"a": np.full(2, index, np.float32)} for index in range(3)])
    np.testing.assert_array_equal(found["a"], [[0, 0], [1, 1], [2, 2]])


def _changed(**changes: Callable[[torch.Tensor], Any]) -> Callable[[State], State]:
    named = {name.replace("_", "."): change for name, change in changes.items()}
    return lambda weights: {**weights, **{name: change(weights[name]) for name, change in named.items()}}


def _nan(value: torch.Tensor) -> torch.Tensor:
    return value.index_fill(0, torch.tensor([0]), float("nan"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda each: {n: v for n, v in each.items() if n != "fc.bias"}, "it lacks fc.bias; `bench tasks show` names"),
        (lambda each: {n: v for n, v in each.items() if not n.startswith("fc")}, "it lacks fc.bias and 1 more"),
        (lambda each: {**each, "head.weight": each["fc.weight"]}, "it has also head.weight"),
        (lambda each: {f"net.{n}": v for n, v in each.items()}, "it has also net."),
        (lambda each: {"state_dict": each, "epoch": 3}, "'state_dict' in it is a dict; save it with torch.save(model.state"),
        (lambda each: {}, "it is empty"),
        (lambda each: list(each.values()), "holds a list, not the weights of a model"),
        (lambda each: each["fc.bias"], "holds a Tensor, not the weights of a model"),
        (lambda each: {3: each["fc.bias"]}, "not the weights of a model"),
        (_changed(fc_bias=lambda value: value[:-1]), "fc.bias is [3], not [4]"),
        (_changed(fc_bias=lambda value: value.long()), "fc.bias holds torch.int64, not weights"),
        (_changed(fc_bias=lambda value: value.to(torch.complex64)), "fc.bias holds torch.complex64, not weights"),
        (_changed(fc_bias=lambda value: value.to_sparse()), "'fc.bias' in it is a Tensor"),
        (_changed(fc_bias=_nan), "fc.bias has weights that are not finite"),
        (_changed(fc_bias=lambda value: value[:1].expand(2**40)), "fc.bias is [1099511627776], not [4]"),
        (lambda each: initialised(NETWORK, CLASSES, 0), "is no checkpoint of weights alone (it holds more than tensors)"),
    ],
)
def test_other_contents_are_refused(weights: State, tmp_path: Path, change, told: str) -> None:
    torch.save(change(weights), tmp_path / "a.pth")
    _refused(tmp_path / "a.pth", told)


def _refused(path: Path, told: str) -> None:
    with pytest.raises(BenchError) as refused:
        read(path)
    assert told in str(refused.value)
    assert str(path) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


class Evil:
    """Runs when it is unpickled."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("unpickled"),))


def test_nothing_is_unpickled(weights: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({**weights, "fc.bias": Evil()}, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps(Evil()))
    torch.save({**weights, "fc.bias": Evil()}, tmp_path / "c.pth", _use_new_zipfile_serialization=False)
    _refused(tmp_path / "a.pth", "it holds more than tensors")
    _refused(tmp_path / "b.pth", "is no checkpoint")
    _refused(tmp_path / "c.pth", "is no checkpoint")
    assert not (tmp_path / "unpickled").exists()


def _rewritten(path: Path, change: Callable[[str, bytes], bytes], kind: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, change(name, content))


def test_archives_that_claim_more_than_they_hold(weights: State, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({**weights, "fc.bias": torch.zeros(2**20)}, path)
    _rewritten(path, lambda name, content: content, zipfile.ZIP_DEFLATED)
    _refused(path, "it is compressed")
    torch.save({**weights, "fc.bias": torch.zeros(4)}, path)
    _rewritten(path, lambda name, content: content.replace(b"K\x04t", b"J\0\0\0@t").replace(b"K\x04\x85", b"J\0\0\0@\x85"))
    _refused(path, "is no checkpoint of weights alone")
    path.write_bytes(path.read_bytes()[:-200])
    _refused(path, "File is not a zip file")
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    (tmp_path / "a.npz").rename(path)
    _refused(path, "is no checkpoint of weights alone")
    path.write_bytes(b"")
    _refused(path, "is no checkpoint")
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    _refused(path, "is no checkpoint")
    _refused(tmp_path / "none.pth", "cannot be read")


@given(st.integers(0, 3000), st.integers(0, 255))
def test_changed_bytes_raise_nothing_but_what_users_can_mend(tmp_path_factory, position: int, value: int) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.pth"
    torch.save({"fc.bias": torch.zeros(4), "fc.weight": torch.zeros(4, 3)}, path)
    content = bytearray(path.read_bytes())
    content[position % len(content)] = value
    path.write_bytes(content)
    with pytest.raises(BenchError):  # of which most are about what is missing
        read(path)
