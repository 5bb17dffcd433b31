"""What child processes answer, as types: an answer may come from a plugin, and is checked before anybody uses it."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Raw

from bench.store.fields import Record

STILL_THERE = "still there after unlearn has returned"  # threads and processes, which are named


class Header(Record, frozen=True, kw_only=True):
    """What a child says: how far it is, why it failed, or that it is done and whether arrays follow."""

    progress: float | None = None
    error: str | None = None
    kind: str = "error"
    traceback: str = ""
    values: Raw = Raw(b"{}")
    arrays: bool = False


class Nothing(Record, frozen=True, kw_only=True):
    """It is done."""


class Gpu(Record, frozen=True, kw_only=True):
    """A CUDA device."""

    name: str
    uuid: str
    bf16: bool  # whether it computes in bfloat16
    memory: Annotated[int, Meta(ge=0)]  # bytes


class Devices(Record, frozen=True, kw_only=True):
    """What there is to compute on."""

    gpus: list[Gpu]  # by their numbers
    environment: dict[str, str]  # versions of the software


class Description(Record, frozen=True, kw_only=True):
    """What the engine must know of a method before it plans."""

    stackable: bool
    uses_clock: bool
    control: bool
    hyper_parameters: dict[str, Any]
    scaled: dict[str, Any]  # of these, those that the budget has changed, with what they were
    variants: list[Annotated[int, Meta(ge=0)]]  # of every trial: trials with equal numbers may share a stack
    reference_models: list[int | None]  # of a control row
    documentation: str
    remark: str = ""  # what a user should know of how it was loaded
    paper: dict[str, Any] | None = None  # where it was published, in its own words
    cost: str = ""
    deterministic: bool = False
    reconstruction: str = ""
    certificate: str = ""
    sources: dict[str, str]  # of the defaults of hyper-parameters


class Examined(Record, frozen=True, kw_only=True):
    """What a network takes in training: see `bench.models.networks.Cost`."""

    parameters: Annotated[int, Meta(ge=1)]
    activations: Annotated[float, Meta(ge=0)]


class PeakMemory(Record, frozen=True, kw_only=True):
    """Most bytes of device memory that tensors have had."""

    bytes: int


class Changed(Record, frozen=True, kw_only=True):
    """What importing a plugin changes in its process, in words."""

    changed: list[str]
