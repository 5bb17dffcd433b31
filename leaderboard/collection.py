"""The runs of a store as the board needs them; what was read once and has not changed is not read again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.engine.runs import Run
from bench.errors import BenchError
from bench.export.files import imported_run
from bench.ranking import METRIC, RANKED_BY, Place, as_json
from bench.results import Row, check_outputs, row
from bench.scorecard import Measure, Scorecard, Section
from bench.store import LARGEST_FILE, Record, Store, read_bytes
from bench.verification import verify

from .text import slug

IMPORTED = "imported"  # where the runs of others seem to lie
VERIFIED, SELF_REPORTED = "verified", "self-reported"
Stamp = list[list[Any]]  # name, bytes and time of change of every file of a run
SHOWN = (
    "final_score", "forgetting_score", "retain_accuracy", "test_accuracy", "forget_accuracy",
    "p_value", "ulira_auc", "runtime", "runtime_share", "budget_share",
)  # fmt: skip
_RESAMPLED = f"resampled_{RANKED_BY}"
_NOT_SHOWN = {"log.txt", ".lock"}


@dataclass(frozen=True)
class Entry:
    """A run on the board."""

    row: Row  # of an entry that was not read again: without what only its own page shows
    slug: str
    provenance: str  # "verified" or "self-reported"
    fragment: str  # of board.json: an object in JSON
    name: str  # the run's
    stamp: Stamp  # changes whenever a file of the run does
    outputs: str  # the same for runs with the same outputs
    remembered: str  # what a later build needs of it, a line
    fresh: bool  # read now, so that its own page is made again

    @property
    def page(self) -> str:
        """Its page, beside the others."""
        return f"run-{self.slug}.html"


@dataclass
class Memory:
    """What the last build left: its entries, and what each page was made from."""

    entries: dict[str, Entry] = field(default_factory=dict)  # by run folder
    pages: dict[str, str] = field(default_factory=dict)  # path -> digest of what it was made from

    @classmethod
    def read(cls, folder: Path, version: str) -> Memory:
        """What a build by the same version of this package left; empty if that is missing or damaged."""
        try:
            found = json.loads((folder / "memory.json").read_bytes())
            lines = (folder / "runs.txt").read_text(encoding="utf-8").splitlines()
            if found["version"] == version and len(lines) == found["runs"]:
                members = [_remembered(line) for line in lines]
                return cls({str(entry.row.folder): entry for entry in members}, found["pages"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return cls()

    @staticmethod
    def files(version: str, members: list[Entry], pages: Mapping[str, str]) -> dict[str, bytes]:
        """As written; lines of entries that were not read again are not put together again either."""
        kept = {"version": version, "runs": len(members), "pages": pages}
        lines = "".join(f"{entry.remembered}\n" for entry in members)
        return {"runs.txt": lines.encode(), "memory.json": json.dumps(kept, separators=(",", ":")).encode()}


def entries(store: Store, memory: Memory) -> Iterator[Entry]:
    """Every run of a store; those that are as they were in the last build are not read.

    Raises:
        BenchError: a run's files are damaged, or are of a newer version.
    """
    for folder in store.run_folders():
        stamp, known = _stamp(folder), memory.entries.get(str(folder))
        yield known if known and known.stamp == stamp else _read(folder, stamp)


def submissions(files: Sequence[Path], store: Store, memory: Memory) -> Iterator[Entry]:
    """Runs that others made, from files of `bench export run`; those that the last build had are not verified again.

    Raises:
        BenchError: a file is not what it says, or was not compared with the store's own reference.
    """
    seen: dict[str, Path] = {}
    for file in files:
        place = Path(IMPORTED) / hashlib.sha256(_content(file)).hexdigest()[:16]
        entry = memory.entries.get(str(place)) or _verified(file, place, store)
        if entry.outputs in seen:
            raise BenchError(f"{file} has the same outputs as {seen[entry.outputs]}: leave one of them out")
        seen[entry.outputs] = file
        yield entry


def _content(file: Path) -> bytes:
    try:
        return read_bytes(file, LARGEST_FILE)
    except OSError as problem:
        raise BenchError(f"{file} cannot be read ({problem.strerror})") from problem


def _verified(file: Path, place: Path, store: Store) -> Entry:
    with imported_run(file) as run:
        if run.record["method"]["control"]:
            raise BenchError(f"{file} is a control row, which only the board's keeper runs")
        found: dict[str, Section] = {}
        for check in verify(store, run, found):
            if not check.well:
                raise BenchError(f"{file}, {check.point}: {check.problem}; `bench verify {file}` says more")
        item = replace(row(run), folder=place, scorecard=Scorecard(found))  # what was computed here, not what came with it
        return _entry(item, run.folder.name, [], SELF_REPORTED)


def _read(folder: Path, stamp: Stamp) -> Entry:
    item = row(Run.read(folder))
    check_outputs(item)
    return _entry(item, folder.name, stamp, VERIFIED)


def _entry(item: Row, name: str, stamp: Stamp, provenance: str) -> Entry:
    checksums = sorted(chunk.get("sha256", "") for chunk in item.record["chunks"])
    outputs = hashlib.sha256("".join(checksums).encode()).hexdigest()
    kept = {
        "folder": str(item.folder),
        "stamp": stamp,
        "record": _reduced_record(item.record),
        "scorecard": _reduced(item.scorecard).record() if item.scorecard else None,
        "failure": item.failure,
        "provenance": provenance,
        "name": name,
        "outputs": outputs,
    }
    shown = {key: value for key, value in as_json(Place(item), None).items() if key not in ("ceiling", "rank")}
    shown |= {"run": name, "created": item.record.get("created"), "provenance": provenance}
    fragment = json.dumps(shown, allow_nan=False, separators=(",", ":"))
    line = f"{json.dumps(kept, separators=(',', ':'))}\t{fragment}"
    return Entry(item, _slug(item), provenance, fragment, name, stamp, outputs, line, fresh=True)


def _remembered(line: str) -> Entry:
    text, _, fragment = line.partition("\t")
    kept = json.loads(text)
    card = _restored(kept["scorecard"]) if kept["scorecard"] else None
    item = Row(Path(kept["folder"]), kept["record"], card, kept["failure"])
    identity = kept["name"], kept["stamp"], kept["outputs"]
    return Entry(item, _slug(item), kept["provenance"], fragment, *identity, line, fresh=False)


def _restored(record: Record) -> Scorecard:
    """What this package wrote itself, which need not be checked number by number."""
    sections = {
        name: Section(**{**each, "measures": {key: Measure(**measure) for key, measure in each["measures"].items()}})
        for name, each in record["sections"].items()
    }
    return Scorecard(sections, record["refused"])


def _slug(item: Row) -> str:
    return slug(item.label, item.folder.name)


def _stamp(folder: Path) -> Stamp:
    found = ((path.name, path.stat()) for path in sorted(folder.iterdir()) if path.name not in _NOT_SHOWN)
    return [[name, status.st_size, status.st_mtime_ns] for name, status in found]


def _reduced_record(record: Record) -> Record:
    """Without what only the run's own page shows."""
    solo = [{"seconds": each["seconds"]} for each in record["solo"] if "seconds" in each]
    return {**{key: value for key, value in record.items() if key not in ("chunks", "environment")}, "solo": solo}


def _reduced(card: Scorecard) -> Scorecard:
    """What tables and ranks need."""
    sections = {
        name: replace(
            section,
            measures={key: measure for key, measure in section.measures.items() if key in SHOWN},
            details={_RESAMPLED: section.details[_RESAMPLED]} if name == METRIC and _RESAMPLED in section.details else {},
        )
        for name, section in card.sections.items()
    }
    needed = {name: section for name, section in sections.items() if section.measures or section.flags}
    return Scorecard(needed, card.refused)
