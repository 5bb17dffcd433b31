"""The runs of a store as the board needs them; what was read once and has not changed is not read again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench.errors import BenchError
from bench.metrics.ceiling import DETAILS
from bench.metrics.memory_order import Parts
from bench.scoring.gates import DECIDING
from bench.scoring.ranking import Place, as_json
from bench.scoring.rows import SELF_REPORTED, Row, row
from bench.scoring.scorecard import CHALLENGE, CHALLENGE_METRIC, HEADLINE_METRIC, Scorecard, Section
from bench.scoring.verification import verify
from bench.store.exchange import imported_run
from bench.store.fields import Record
from bench.store.files import LARGEST_FILE, read_bytes
from bench.store.records import Killed, RunRecord
from bench.store.runs import Run
from bench.store.store import Store

from .text import slug

if TYPE_CHECKING:
    from .memory import Memory

IMPORTED = "imported"  # where the runs of others seem to lie
VERIFIED = "verified"
Stamp = list[tuple[str, int, int]]  # name in ASCII, bytes and time of change of every file of a run
_KEPT = {
    CHALLENGE_METRIC: (f"resampled_{CHALLENGE}", *DETAILS),
    HEADLINE_METRIC: tuple(Parts.NAMES.values()),
}  # what ranks need
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


class Remembered(Record, frozen=True, kw_only=True):
    """What a later build needs of a run: what tables, ranks and charts show."""

    folder: bytes  # a path need not be text
    stamp: Stamp
    record: RunRecord
    scorecard: Scorecard | None
    failure: str
    provenance: str
    name: str
    outputs: str


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
        if run.record.method.control:
            raise BenchError(f"{file} is a control row, which only the board's keeper runs")
        found: dict[str, Section] = {}
        for check in verify(store, run, found):
            if not check.well:
                raise BenchError(f"{file}, {check.point}: {check.problem}; `bench verify {file}` says more")
        record, card = _in_our_words(run.record, store), Scorecard(sections=found)  # computed here; not what came with it
        item = replace(row(run), folder=place, record=record, scorecard=card)
        return _entry(item, run.folder.name, [], SELF_REPORTED)


def _in_our_words(record: RunRecord, store: Store) -> RunRecord:
    """With the name that the store's own reference has for the task: a division is called by it."""
    ours = store.reference_of(record).record.task
    if ours is None:
        return record
    return msgspec.structs.replace(record, task=msgspec.structs.replace(record.task, name=ours.name, forget_set=ours.forget_set))


def _read(folder: Path, stamp: Stamp) -> Entry:
    run = Run.read(folder)
    run.check_outputs()
    return _entry(row(run), folder.name, stamp, SELF_REPORTED if run.record.self_reported else VERIFIED)


def _entry(item: Row, name: str, stamp: Stamp, provenance: str) -> Entry:
    checksums = sorted(getattr(chunk, "sha256", "") for chunk in item.record.chunks)
    outputs = hashlib.sha256("".join(checksums).encode()).hexdigest()
    kept = Remembered(
        folder=os.fsencode(item.folder),
        stamp=stamp,
        record=_reduced_record(item.record),
        scorecard=_reduced(item.scorecard) if item.scorecard else None,
        failure=item.failure,
        provenance=provenance,
        name=name,
        outputs=outputs,
    )
    shown = {key: value for key, value in as_json(Place(item), None).items() if key not in ("ceiling", "rank", "challenge_rank")}
    shown |= {"run": name, "created": item.record.created, "provenance": provenance}
    fragment = json.dumps(shown, allow_nan=False, separators=(",", ":"))
    line = f"{msgspec.json.encode(kept).decode()}\t{fragment}"
    return Entry(item, _slug(item), provenance, fragment, name, stamp, outputs, line, fresh=True)


def remembered(line: str) -> Entry:
    """An entry as an earlier build left it.

    Raises:
        ValueError: it is something else.
    """
    text, _, fragment = line.partition("\t")
    kept = msgspec.json.decode(text, type=Remembered)
    item = Row(Path(os.fsdecode(kept.folder)), kept.record, kept.scorecard, kept.failure)
    return Entry(item, _slug(item), kept.provenance, fragment, kept.name, kept.stamp, kept.outputs, line, fresh=False)


def _slug(item: Row) -> str:
    return slug(item.label, item.folder.name)


def _stamp(folder: Path) -> Stamp:
    found = ((path.name, path.stat()) for path in sorted(folder.iterdir()) if path.name not in _NOT_SHOWN)
    return [(ascii(name), status.st_size, status.st_mtime_ns) for name, status in found]


def _reduced_record(record: RunRecord) -> RunRecord:
    """Without what only the run's own page shows."""
    timed = tuple(
        Killed(trial=number, killed="", seconds=each.seconds, retraining=each.retraining, busy=each.busy)
        for number, each in enumerate(record.alone)
    )
    return msgspec.structs.replace(record, environment={}, timed=timed)


def _reduced(card: Scorecard) -> Scorecard:
    """What tables and ranks need."""
    sections = {name: _columns_only(section, keep=_KEPT.get(name, ())) for name, section in card.sections.items()}
    needed = {name: each for name, each in sections.items() if each.measures or each.flags or name in DECIDING}
    return Scorecard(sections=needed, refused=card.refused)


def _columns_only(section: Section, keep: Sequence[str]) -> Section:
    """A section without what is no column of a table; of its details those to `keep`."""
    return msgspec.structs.replace(
        section,
        measures={key: measure for key, measure in section.measures.items() if section.presentation(key).table},
        quantities={key: about for key, about in section.quantities.items() if about.table},
        details={name: section.details[name] for name in keep if name in section.details},
    )
