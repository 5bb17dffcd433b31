"""npz files of strangers: refused before they cost anything; and outputs in them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.outputs import OUTPUT_SPLITS, RETAIN_ACCURACY, concatenate
from bench.store.archives import pack, read_npz, unpack, write_npz


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def packed(name: str, content: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def header(shape: str, kind: str = "<f4") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def test_what_numpy_writes_is_read() -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([], dtype=np.int64), "c": np.float32(3.5) * np.ones((1, 1, 2))}
    found = read_npz(npz(**arrays))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        npz(a=np.zeros(3))[:-7],
        npz(a=np.array([object()])),
        npz(a=np.array(["text"])),
        npz(a=np.asfortranarray(np.zeros((2, 3)))),
        packed("a.npy", header("(10**14,)".replace("10**14", "100000000000000")) + bytes(4)),
        packed("a.npy", header("(-1,)")),
        packed("a.npy", header("(2, 2)") + bytes(15)),
        packed("a.npy", header("__import__('os')")),
        packed("a.npy", b"\x93NUMPY\x09\x00"),
        packed("a.npy", header("(2,)")[:-40]),
        packed("a.npy", bytes(10**7), zipfile.ZIP_DEFLATED),
        packed("../../a.npy", b"no array"),
    ],
    ids=range(14),
)
def test_other_things_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - numpy and zipfile have many words for it
        read_npz(content)


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_changed_bytes_raise_nothing_else(position: int, value: int) -> None:
    content = bytearray(npz(a=np.arange(12.0).reshape(3, 4), b=np.arange(5)))
    content[position % len(content)] = value
    with suppress(ValueError):
        read_npz(bytes(content))


def test_what_is_written_is_read() -> None:
    arrays = {"a": np.arange(6).reshape(2, 3), "b": np.float32(0.5) * np.ones(4)}
    found = read_npz(write_npz(arrays))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_the_same_arrays_are_the_same_bytes() -> None:
    arrays = {"a": np.arange(6.0), "b": np.arange(3)}
    assert write_npz(arrays) == write_npz({name: array.copy() for name, array in arrays.items()})


def test_outputs_survive_npz_without_pickle(outputs: Callable) -> None:
    three = outputs(3)
    assert unpack(pack(three)).digest() == three.digest()
    assert three.select([0, 1, 2]).digest() == three.digest()
    assert three.select([1, 0, 2]).digest() != three.digest()
    assert concatenate([three.select([0]), three.select([1, 2])]).digest() == three.digest()


def test_pickles_are_not_read() -> None:
    evil = npz(**{name: np.array([object()]) for name in OUTPUT_SPLITS}, retain_accuracy=np.zeros(1))
    with pytest.raises(ValueError, match="not numbers"):
        unpack(evil)


@pytest.mark.parametrize("name", [*OUTPUT_SPLITS, RETAIN_ACCURACY])
def test_outputs_have_every_split(outputs: Callable, name: str) -> None:
    arrays = outputs(2).arrays()
    del arrays[name]
    with pytest.raises(ValueError, match=f"it lacks {name}"):
        unpack(write_npz(arrays))


@pytest.mark.parametrize(
    "changes",
    [
        {RETAIN_ACCURACY: np.zeros(3)},
        {RETAIN_ACCURACY: np.zeros((2, 1))},
        {RETAIN_ACCURACY: np.float64(1.0)},
        {"forget": np.zeros((2, 3))},
        {"forget": np.zeros((1, 3, 4))},
        {**{name: np.zeros((0, 3, 4)) for name in OUTPUT_SPLITS}, RETAIN_ACCURACY: np.zeros(0)},
    ],
    ids=range(6),
)
def test_outputs_are_logits_of_as_many_models_everywhere(outputs: Callable, changes: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"it does not hold logits \[M, n, K\] of M models"):
        unpack(write_npz({**outputs(2).arrays(), **changes}))


def test_outputs_become_numbers_of_their_kind(outputs: Callable) -> None:
    two = outputs(2)
    found = unpack(write_npz({name: array.astype(np.float64) for name, array in two.arrays().items()}))
    assert {logits.dtype for logits in found.logits.values()} == {np.dtype(np.float32)}
    assert found.digest() == two.digest()
