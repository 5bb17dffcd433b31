"""Arrays in npz files, which a stranger may have made: no pickles, no compression, nothing that is larger than the file."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from bench.outputs import OUTPUT_SPLITS, RETAIN_ACCURACY, Outputs, from_arrays

_MOST_MEMBERS = 100
NUMBERS, TEXT = "fiu", "U"  # kinds of arrays, as numpy calls them


def write_npz(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """The content of an npz file that `read_npz` reads."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def pack(outputs: Outputs) -> bytes:
    """Outputs as the content of an npz file."""
    return write_npz(outputs.arrays())


def unpack(content: bytes, needed: Sequence[str] = (RETAIN_ACCURACY, *OUTPUT_SPLITS)) -> Outputs:
    """The inverse of `pack`; of models that were unlearned elsewhere not all is `needed`.

    Raises:
        ValueError: it is something else.
    """
    arrays = read_npz(content)
    absent = set(needed) - set(arrays)
    if absent:
        raise ValueError(f"it lacks {min(absent)}")
    dimensions = {RETAIN_ACCURACY: 1, **dict.fromkeys(OUTPUT_SPLITS, 3)}
    known = [(array.shape, dimensions[name]) for name, array in arrays.items() if name in dimensions]
    models = {shape[0] if len(shape) == expected else 0 for shape, expected in known}
    if len(models) != 1 or 0 in models:
        raise ValueError("it does not hold logits [M, n, K] of M models")
    return from_arrays(arrays)


def read_npz(content: bytes, texts: Collection[str] = ()) -> dict[str, NDArray[np.generic]]:
    """Arrays of an npz file as `numpy.savez` writes it: numbers, and in those named in `texts` also text.

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
            named = {member.filename.removesuffix(".npy"): archive.read(member) for member in members}
            return {name: _named(name, content, NUMBERS + TEXT * (name in texts)) for name, content in named.items()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OverflowError, MemoryError) as problem:
        raise ValueError(f"it is no npz file: {problem}") from problem


def _named(name: str, content: bytes, kinds: str) -> NDArray[np.generic]:
    try:
        return read_npy(content, kinds)
    except ValueError as problem:
        raise ValueError(f"{name}: {problem}") from problem


def read_npy(content: bytes, kinds: str = NUMBERS) -> NDArray[np.generic]:
    """An array of numbers, or of other `kinds` that need no pickle.

    What its header claims is compared with what is there before any memory is taken.

    Raises:
        ValueError: it is something else.
    """
    file = io.BytesIO(content)
    if npy.read_magic(file) != (1, 0):
        raise ValueError("an array is of another format version")
    try:
        shape, in_fortran_order, kind = npy.read_array_header_1_0(file)
    except Exception as problem:  # numpy parses it as Python text, whose errors are many
        raise ValueError(f"an array has no header: {problem}") from problem
    if kind.kind not in kinds:
        raise ValueError(f"an array holds {kind}, not numbers")
    if in_fortran_order:
        raise ValueError("an array is in Fortran order, not in C order, as numpy.ascontiguousarray makes it")
    if math.prod(shape) * kind.itemsize != len(content) - file.tell():
        raise ValueError("an array is not as large as it says")
    return np.frombuffer(content, kind, offset=file.tell()).reshape(shape)
