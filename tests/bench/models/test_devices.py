"""Kinds of devices: whatever a device is called, its kind says the precision, and nothing is lost."""

from __future__ import annotations

import msgspec
import pytest

from bench.models.devices import PRECISIONS, Precision, device_of, is_cpu, kind_of, precision_of
from bench.store.fields import DeviceKind


@pytest.mark.parametrize("device", ["cpu", "NVIDIA H200", "NVIDIA H100, 80 GB", "GPU, tf"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_kind_is_a_device_and_a_precision(device: str, precision: Precision) -> None:
    kind = kind_of(device, precision)
    assert (device_of(kind), precision_of(kind)) == (device, precision)
    assert is_cpu(kind) == (device == "cpu")
    assert msgspec.convert(kind, DeviceKind) == kind


def test_kinds_of_different_precision_are_different() -> None:
    assert len({kind_of("cpu", precision) for precision in PRECISIONS}) == len(PRECISIONS)
