"""Arrays in npz files, which a stranger may have made: no pickles, no compression, nothing that is larger than the file."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from bench.outputs import OUTPUT_SPLITS, RETAIN_ACCURACY, Outputs, from_arrays

_MOST_MEMBERS = 100


def write_npz(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """The content of an npz file that `read_npz` reads."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def pack(outputs: Outputs) -> bytes:
    """Outputs as the content of an npz file."""
    return write_npz(outputs.arrays())


def unpack(content: bytes) -> Outputs:
    """The inverse of `pack`.

    Raises:
        ValueError: it is something else.
    """
    arrays = read_npz(content)
    absent = {RETAIN_ACCURACY, *OUTPUT_SPLITS} - set(arrays)
    if absent:
        raise ValueError(f"it lacks {min(absent)}")
    models = len(arrays[RETAIN_ACCURACY]) if arrays[RETAIN_ACCURACY].ndim == 1 else 0
    if not models or any(arrays[name].ndim != 3 or len(arrays[name]) != models for name in OUTPUT_SPLITS):
        raise ValueError("it does not hold logits [M, n, K] of M models")
    return from_arrays(arrays)


def read_npz(content: bytes) -> dict[str, NDArray[np.generic]]:
    """Arrays of an npz file as `numpy.savez` writes it.

    Raises:
        ValueError: it is something else.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS or any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise ValueError("it is compressed, or has too many members")
            if sum(member.file_size for member in members) > len(content):
                raise ValueError("its members overlap")
            return {member.filename.removesuffix(".npy"): read_npy(archive.read(member)) for member in members}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OverflowError, MemoryError) as problem:
        raise ValueError(f"it is no npz file: {problem}") from problem


def read_npy(content: bytes, kinds: str = "fiu") -> NDArray[np.generic]:
    """An array of some of numpy's kinds; what its header claims is compared with what is there before any memory is taken."""
    file = io.BytesIO(content)
    if npy.read_magic(file) != (1, 0):
        raise ValueError("an array is of another format version")
    try:
        shape, in_fortran_order, kind = npy.read_array_header_1_0(file)
    except Exception as problem:  # numpy parses it as Python text, whose errors are many
        raise ValueError(f"an array has no header: {problem}") from problem
    if kind.kind not in kinds or in_fortran_order:
        raise ValueError(f"an array holds {kind}, not numbers in C order")
    if math.prod(shape) * kind.itemsize != len(content) - file.tell():
        raise ValueError("an array is not as large as it says")
    return np.frombuffer(content, kind, offset=file.tell()).reshape(shape)
