"""Devices by name, precisions to compute in, and kinds of devices, which are both together. Needs no torch.

What is computed in one is never compared with what is computed in another: the precision belongs to the kind of device.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Literal, get_args

from bench.errors import BenchError

Precision = Literal["float32", "tf32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
FLOAT32: Precision = "float32"
CPU = "cpu"
DEVICES = "auto, cpu, cuda or, of several, cuda:1"
_BETWEEN = ", "


def gpu_number(wanted: str) -> int | None:
    """Which CUDA device a user means, `cuda` being the first, or any that there is by `auto`; None: the processor.

    Raises:
        BenchError: neither.

    >>> gpu_number("cuda:1"), gpu_number("auto"), gpu_number("cpu")
    (1, 0, None)
    """
    if wanted == CPU:
        return None
    if not (match := re.fullmatch(r"auto|cuda(?::([0-9]{1,3}))?", wanted)):
        raise BenchError(f"there is no device {wanted!r}; give {DEVICES}")
    return int(match[1] or 0)


def is_device(text: str) -> bool:
    """Whether a device can be called so here."""
    with suppress(BenchError):
        gpu_number(text)
        return True
    return False


def precision_named(text: str) -> Precision:
    """A precision by its name.

    Raises:
        BenchError: there is none of that name.
    """
    for precision in PRECISIONS:
        if precision == text:
            return precision
    raise BenchError(f"there is no precision {text!r}; give {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}")


def kind_of(device: str, precision: Precision) -> str:
    """The kind of a device, by its name and how it computes.

    >>> kind_of("cpu", "float32"), kind_of("NVIDIA H200", "bf16")
    ('cpu', 'NVIDIA H200, bf16')
    """
    return device if precision == FLOAT32 else f"{device}{_BETWEEN}{precision}"


def device_of(kind: str) -> str:
    """The name of the device, whatever it computes in.

    >>> device_of("NVIDIA H200, bf16"), device_of("cpu")
    ('NVIDIA H200', 'cpu')
    """
    return kind if precision_of(kind) == FLOAT32 else kind.rpartition(_BETWEEN)[0]


def precision_of(kind: str) -> Precision:
    """What a kind of device computes in.

    >>> precision_of("NVIDIA H200, bf16"), precision_of("NVIDIA H200")
    ('bf16', 'float32')
    """
    return next((each for each in PRECISIONS if each != FLOAT32 and kind.endswith(_BETWEEN + each)), FLOAT32)


def is_cpu(kind: str) -> bool:
    """Whether a kind of device is a processor."""
    return device_of(kind) == CPU
