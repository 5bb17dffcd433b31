"""npz files of strangers: refused before they cost anything."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.archives import read_npz


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
