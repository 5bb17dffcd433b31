"""Which trials form which stack: fixed by task, method, N and device kind, never by the number of workers.

Stacks of different sizes differ in float32 rounding, which training amplifies; the same stack reruns bit for bit.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import groupby

from bench.models.devices import is_cpu

CPU_STACK, _GPU_STACK = 8, 64
# Bytes that the models of a stack may take in training: a device of 4 GB has room for the pictures, too. Of a GPU it is a share
# of all that it has, not of what is free: stacks are the same on every GPU of a kind.
_STACK_MEMORY, _STACK_SHARE = 2 * 2**30, 0.4

Trials = tuple[int, ...]


def stack_size(device_kind: str, cpu_stack: int = CPU_STACK, model_bytes: int = 0, device_bytes: int = 0) -> int:
    """Models per stack on a kind of device: a fixed number, halved until their training fits into 2 GiB, or 40 % of a GPU.

    >>> stack_size("cpu"), stack_size("cpu", model_bytes=300 * 2**20), stack_size("cpu", model_bytes=2**40)
    (8, 4, 1)
    >>> stack_size("Some GPU", model_bytes=300 * 2**20, device_bytes=80 * 2**30)
    64
    """
    size = cpu_stack if is_cpu(device_kind) else _GPU_STACK
    most = max(_STACK_MEMORY, _STACK_SHARE * device_bytes)
    while size > 1 and size * model_bytes > most:
        size //= 2
    return size


def chunks(variants: Sequence[Hashable], size: int) -> list[Trials]:
    """Trial indices 0..N-1 in chunks of at most `size`, trials of one variant together.

    >>> chunks("aabab", 2)
    [(0, 1), (3,), (2, 4)]
    """
    order = sorted(range(len(variants)), key=lambda index: (variants.index(variants[index]), index))
    groups = (list(group) for _, group in groupby(order, key=lambda index: variants[index]))
    return [tuple(group[start : start + size]) for group in groups for start in range(0, len(group), size)]
