"""What a run's record says of its method."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from bench.method import Paper
from bench.store.fields import MANY, ONE_LINE, Address, Line, Lines, Name, OptionalName, Record, Sha256, Text, Whole

SpecText = Annotated[str, Meta(max_length=10_000, pattern=ONE_LINE)]


class PaperRecord(Record, frozen=True, kw_only=True):
    """Where a method was published: see `bench.method.Paper`."""

    title: Line = ""
    authors: Line = ""
    venue: Line = ""
    year: Annotated[int, Meta(ge=0, le=9999)] = 0
    url: Address = ""
    code: Address = ""

    @property
    def bibtex(self) -> str:
        """An entry for a bibliography."""
        return Paper(**msgspec.structs.asdict(self)).bibtex


class MethodRecord(Record, frozen=True, kw_only=True):
    """The method of a run, and where it came from."""

    name: Name
    spec: SpecText
    hyper_parameters: Annotated[dict[str, Any], Meta(max_length=1000)]
    scaled: Annotated[dict[str, Any], Meta(max_length=1000)] = msgspec.field(default_factory=dict)  # by the budget: values before
    source_hash: Sha256
    control: bool
    reference_models: Annotated[tuple[Whole | None, ...], Meta(max_length=MANY)]  # of a control row
    distribution: OptionalName = ""
    version: OptionalName = ""
    summary: Line = ""
    documentation: Text = ""
    sources: Lines = msgspec.field(default_factory=dict)  # of the defaults of hyper-parameters
    stackable: bool = False
    uses_clock: bool = False
    paper: PaperRecord | None = None
    cost: Line = ""  # in passes over splits
    deterministic: bool = False  # every trial gives the same model, as its author says
    reconstruction: Line = ""  # which part of its source was not published or could not be read
    certificate: Line = ""  # what is proven of its models, in its author's words

    @property
    def has_own_options(self) -> bool:
        """Whether hyper-parameters were given."""
        return "[" in self.spec
