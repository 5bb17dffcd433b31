"""What the pages of methods show: a method of one package, over all divisions and versions."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.errors import in_reading_order
from bench.store.method_records import MethodRecord
from bench.store.records import RunRecord

from . import text
from .entries import VERIFIED
from .tables import Line

if TYPE_CHECKING:
    from .division import Division

OWN = "unlearning-bench"


@dataclass(frozen=True)
class MethodPage:
    """A method of one package, over all divisions and versions."""

    name: str
    page: str
    example: MethodRecord  # of its newest run with default hyper-parameters, if there is one
    self_reported: bool  # nobody but its author ran it
    lines: Sequence[tuple[Any, Line]] = field(default_factory=list)  # division, line

    @property
    def made_of(self) -> list[Any]:
        """What its page shows."""
        return [
            [division.slug, line.entry.stamp, str(line.place.rank), str(line.place.challenge), line.entry.slug]
            for division, line in self.lines
        ]

    @property
    def address(self) -> str:
        """The first paper or page that its docstring names."""
        return text.first_address(self.example.documentation)

    @property
    def install(self) -> str:
        """The command that installs it; "" for what comes with bench or from a file."""
        package, version = self.example.distribution, self.example.version
        return f"pip install {shlex.quote(f'{package}=={version}')}" if package not in ("", OWN) else ""


def method_pages(found: Sequence[Division]) -> list[MethodPage]:
    """Every method on the board."""
    grouped: dict[tuple[str, str], list[tuple[Division, Line]]] = {}
    for division in found:
        for line in division.lines:
            grouped.setdefault(_identity(line.entry.row.record), []).append((division, line))
    return [_method(key, members) for key, members in grouped.items()]


def method_page(record: RunRecord) -> str:
    """The page of a run's method."""
    name, package = _identity(record)
    return f"method-{text.slug(name, f'{name} {package}')}.html"


def _identity(record: RunRecord) -> tuple[str, str]:
    return record.method.name, record.method.distribution


def _method(key: tuple[str, str], members: list[tuple[Division, Line]]) -> MethodPage:
    verified = [line for _, line in members if line.entry.provenance == VERIFIED]  # a stranger's date and words count for less
    told = [line.entry.row.record for line in verified or (line for _, line in members)]
    newest = sorted(told, key=lambda record: record.created, reverse=True)
    plain = [record for record in newest if not record.method.has_own_options] or newest
    name = in_reading_order(key[0])
    return MethodPage(name, method_page(plain[0]), plain[0].method, self_reported=not verified, lines=members)
