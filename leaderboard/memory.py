"""What the last build left, so that the next one reads and writes only what is new; deleting it loses nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bench.store.fields import Record

from .entries import Entry, remembered

LINES, INDEX = "runs.txt", "memory.json"


class Index(Record, frozen=True, kw_only=True):
    """`memory.json`: which version of this package built how many runs, and what each page was made from."""

    version: str
    runs: int
    pages: dict[str, str]


@dataclass
class Memory:
    """Entries, and what each page was made from."""

    entries: dict[str, Entry] = field(default_factory=dict)  # by run folder
    pages: dict[str, str] = field(default_factory=dict)  # path -> digest of what it was made from

    @classmethod
    def read(cls, folder: Path, version: str) -> Memory:
        """What a build by the same version of this package left; empty if that is missing or damaged."""
        try:
            index = msgspec.json.decode((folder / INDEX).read_bytes(), type=Index)
            lines = (folder / LINES).read_text(encoding="utf-8").split("\n")[:-1]  # names may hold other ends of lines
            if index.version == version and len(lines) == index.runs:
                members = [remembered(line) for line in lines]
                return cls({str(entry.row.folder): entry for entry in members}, index.pages)
        except (OSError, ValueError):
            pass
        return cls()

    @staticmethod
    def files(version: str, members: list[Entry], pages: dict[str, str]) -> dict[str, bytes]:
        """As written; lines of entries that were not read again are not put together again either."""
        lines = "".join(f"{entry.remembered}\n" for entry in members)
        index = Index(version=version, runs=len(members), pages=pages)
        return {LINES: lines.encode(), INDEX: msgspec.json.encode(index)}
