"""Runs that are ranked together, as the board shows them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench.scoring.ceilings import Ceiling, ceiling
from bench.scoring.columns import Column, target
from bench.scoring.divisions import apart_from_budget
from bench.scoring.ranking import Place, places
from bench.scoring.rows import Row

from . import tables, text, words
from .entries import VERIFIED, Entry


@dataclass(frozen=True)
class Division:
    """Runs that are ranked together."""

    rows: Sequence[Row]
    entries: Mapping[str, Entry]  # by folder

    @cached_property
    def title(self) -> str:
        """In words."""
        return words.title_of(self.rows[0].record)

    @cached_property
    def slug(self) -> str:
        """Part of its file names."""
        record = self.rows[0].record
        facts = [record.task.key, record.reference_id, record.models, record.budget, record.device.kind]
        return text.slug(f"{record.task.name} {record.models} {record.budget}", json.dumps(facts))

    @cached_property
    def verified(self) -> list[Row]:
        """Rows that the board's keeper ran."""
        return [row for row in self.rows if self.entries[str(row.folder)].provenance == VERIFIED]

    @property
    def page(self) -> str:
        """Its page, beside the others."""
        return f"division-{self.slug}.html"

    def order(self) -> tuple[Any, ...]:
        """Where it is listed: by task, number of models, budget and device."""
        record = self.rows[0].record
        budget = re.match(r"[0-9.]+", record.budget)
        numbers = record.models, float(budget[0]) if budget else 0.0
        return record.task.name, *numbers, record.budget, record.device.kind, self.slug

    @property
    def sweep(self) -> tuple[Any, ...]:
        """What divisions have in common that differ in their budget only."""
        return apart_from_budget(self.rows[0].record)

    @cached_property
    def made_of(self) -> list[Any]:
        """What its page shows of its runs."""
        return [[line.entry.slug, line.entry.stamp, str(line.place.rank), str(line.place.challenge)] for line in self.lines]

    @cached_property
    def ceiling(self) -> Ceiling | None:
        """What retraining itself scores."""
        return ceiling(self.rows)

    @cached_property
    def places(self) -> list[Place]:
        """Best first."""
        return places(self.rows)

    @cached_property
    def lines(self) -> list[tables.Line]:
        """Best first."""
        return tables.lines(self.places, self.entries, self.columns, self.ceiling)

    @cached_property
    def headline(self) -> words.Headline:
        """Who leads."""
        unverified = {entry.row.folder for entry in self.entries.values() if entry.provenance != VERIFIED}
        return words.headline(self.title, self.places, self.ceiling, self.rows[0].record.models, unverified)

    @cached_property
    def retrained(self) -> dict[str, float | None]:
        """What retrained models get, by column."""
        return target(self.rows, self.columns, self.ceiling)

    @cached_property
    def columns(self) -> list[Column]:
        """Of its table."""
        return tables.columns_of(self.rows)
