"""Reads a store, writes the site: pages, data, style and scripts, everything local."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from bench.errors import BenchError
from bench.scoring import charts
from bench.scoring.divisions import divisions
from bench.scoring.gates import stated, why_unranked
from bench.scoring.ranking import CONTROL, RANKED, UNRANKED, ranked, ranks_json
from bench.scoring.rows import Row
from bench.store.files import write_bytes
from bench.store.reference_records import origin
from bench.store.store import Store

from . import methods, runs, tables, text, words
from .division import Division
from .entries import VERIFIED, Entry, entries, submissions
from .gallery import Gallery
from .memory import Memory

MEMORY = ".board"  # deleting it loses nothing
ORDER = (RANKED, CONTROL, UNRANKED)  # of what can be chosen
NAV = (("index.html", "Board"), ("compare.html", "Compare"), ("reading.html", "How to read this"), ("data.html", "Data"))


@dataclass(frozen=True)
class Built:
    """How many runs a site shows, and how many of them are complete and not scored."""

    runs: int
    unscored: int


def build_site(store: Path, out: Path, imports: Sequence[Path] = ()) -> Built:
    """Write the site of a store, and of runs that others exported, into `out`.

    A run that the store has, too, has been verified: the store's is shown.

    Raises:
        BenchError: the store has no runs, a file in it is damaged, or `out` cannot be written.
    """
    memory = Memory.read(out / MEMORY, _version())
    own = list(entries(Store(store), memory))
    known = {entry.name for entry in own} | {entry.outputs for entry in own if not entry.row.control}
    sent = submissions(imports, Store(store), memory)
    members = [*own, *(entry for entry in sent if known.isdisjoint({entry.name, entry.outputs}))]
    if not members:
        raise BenchError(f"store {store} has no runs; make one with `bench run --plugin scrub --store {store}`")
    by_folder = {str(entry.row.folder): entry for entry in members}
    found = [Division(rows, by_folder) for rows in divisions([entry.row for entry in members])]
    found.sort(key=Division.order)
    with _writable(out):
        site = Site(out, memory)
        site.static()
        _write_divisions(site, found)
        _write_methods(site, found)
        _write_runs(site, Store(store), members, found)
        _write_data(site, members, found)
        site.page("compare.html", "compare.html", title="Compare two runs")
        site.page("reading.html", "reading.html", title="How to read this", calibration=_calibration())
        site.finish(members)
    return Built(len(members), sum(entry.row.scorecard is None and not entry.row.record.failure for entry in members))


class Site:
    """A folder of pages; those whose content did not change are left alone, those that nothing wrote are removed."""

    def __init__(self, out: Path, memory: Memory) -> None:
        self._out, self._memory = out, memory
        self._pages: dict[str, str] = {}
        self._environment = _environment()

    def static(self) -> None:
        """Style, scripts and what is vendored."""
        with as_file(files("bench_leaderboard") / "static") as static:
            shutil.copytree(static, self._out / "static", dirs_exist_ok=True)

    def page(self, path: str, template: str, *, of: object = None, **content: Any) -> None:
        """Render a page, unless it is there and was made of the same; `of` says what it is made of, None: of this version."""
        digest = hashlib.sha256(json.dumps([template, of]).encode()).hexdigest()
        if not self._has(path, digest):
            rendered = self._environment.get_template(template).render(path=path, nav=NAV, **content)
            write_bytes(self._out / path, rendered.encode(), durable=False)
        self._pages[path] = digest

    def file(self, path: str, content: bytes) -> None:
        """Write a file, unless it is there already."""
        digest = hashlib.sha256(content).hexdigest()
        if not self._has(path, digest):
            write_bytes(self._out / path, content, durable=False)
        self._pages[path] = digest

    def _has(self, path: str, digest: str) -> bool:
        return self._memory.pages.get(path) == digest and (self._out / path).exists()

    def unchanged(self, *paths: str) -> bool:
        """Keep files as they are, if all of them are there."""
        known = all(path in self._memory.pages and (self._out / path).exists() for path in paths)
        if known:
            self._pages |= {path: self._memory.pages[path] for path in paths}
        return known

    def finish(self, members: list[Entry]) -> None:
        """Remove pages of runs that are gone, and remember this build."""
        for path in self._memory.pages.keys() - self._pages.keys():
            (self._out / path).unlink(missing_ok=True)
        for name, content in Memory.files(_version(), members, self._pages).items():
            write_bytes(self._out / MEMORY / name, content)


def _write_divisions(site: Site, found: Sequence[Division]) -> None:
    listed = [[each.slug, each.title] for each in found]
    rows: dict[tuple[Any, ...], list[Row]] = {}
    for division in found:
        rows.setdefault(division.sweep, []).extend(division.rows)
    sweeps = {key: charts.sweep(members) for key, members in rows.items()}
    front = max(found, key=_prominence)
    for division in found:
        several = sweeps[division.sweep]
        curves = {label: [[share, item.folder.name] for share, item in line] for label, line in several.items()}
        made_of = [listed, division.made_of, curves]
        content = {"title": division.title, "division": division, "divisions": found}
        content["remarks"] = next((row.record.task.remarks for row in division.verified if row.record.task.remarks), ())
        content["charts"] = partial(_charts, division, several)
        content["mixed"] = any(line.entry.provenance != VERIFIED for line in division.lines)
        site.page(division.page, "division.html", of=made_of, **content)
        if division is front:
            site.page("index.html", "division.html", of=made_of, **content)


def _prominence(division: Division) -> tuple[bool, int]:
    """By which the first page is chosen: a division that strangers opened stands behind all in which the keeper has a row."""
    return bool(division.verified), ranked(division.places)


def _charts(division: Division, several: charts.Sweep) -> list[charts.Chart]:
    marks = [charts.Mark(line.place, line.name, line.entry.slug) for line in division.lines]
    return charts.of_division(marks, division.ceiling, several)


def _write_methods(site: Site, found: Sequence[Division]) -> None:
    for method in methods.method_pages(found):
        site.page(method.page, "method.html", of=method.made_of, title=method.name, method=method)


def _write_runs(site: Site, store: Store, members: Sequence[Entry], found: Sequence[Division]) -> None:
    division_of = {str(row.folder): division for division in found for row in division.rows}
    gallery = Gallery(site, store)
    for entry in members:
        paths = entry.page, f"runs/{entry.slug}.json", f"runs/{entry.slug}.js"
        pictures = gallery.paths(entry)
        if not entry.fresh and site.unchanged(*paths):
            continue
        plain = text.script_json(runs.data(entry))
        site.file(paths[1], f"{plain}\n".encode())
        site.file(paths[2], f"benchRun({plain});\n".encode())
        site.page(
            paths[0],
            "run.html",
            of=entry.stamp,
            title=entry.row.label,
            entry=entry,
            unranked=why_unranked(entry.row),
            division=division_of[str(entry.row.folder)],
            parts=runs.parts(entry),
            people=runs.remembered(entry, gallery.identities(entry), pictures),
            epsilons=runs.epsilons(entry),
            phases=entry.row.record.phases,
            reproduce=runs.reproduce(entry.row.record),
            method_page=methods.method_page(entry.row.record),
        )


def _write_data(site: Site, members: Sequence[Entry], found: Sequence[Division]) -> None:
    frames = []
    for division in found:
        frame = tables.frame(division.slug, division.lines)
        frames.append(frame)
        site.file(f"division-{division.slug}.csv", _csv(frame))
    site.file("board.csv", _csv(pd.concat(frames)))
    lines = ",\n".join(_division_json(division) for division in found)
    site.file("board.json", f'{{"schema":2,"divisions":[\n{lines}\n]}}\n'.encode())
    choices = [
        [
            each.slug,
            each.title,
            [[line.entry.slug, line.name] for line in sorted(each.lines, key=lambda line: ORDER.index(line.place.group))],
        ]
        for each in found
    ]
    site.file("runs.js", f"benchRuns({text.script_json(choices)});\n".encode())
    columns = {column.key: column for division in found for column in division.columns}
    listed = [[[division.slug, division.title] for division in found], [asdict(column) for column in columns.values()]]
    site.page("data.html", "data.html", of=listed, title="Data", divisions=found, columns=columns.values())


def _calibration() -> list[dict[str, Any]]:
    """What `bench calibrate` found, by number of models."""
    folder = files("bench_leaderboard") / "calibration"
    found = [json.loads((folder / f"n{models}.json").read_bytes()) for models in (16, 64, 512)]
    return [{**each, "measures": [name for name, about in each["quantities"].items() if about["table"]]} for each in found]


def _division_json(division: Division) -> str:
    """A division as board.json has it, a run in each line."""
    top = division.ceiling
    about = {
        "division": division.slug,
        "title": division.title,
        "headline": division.headline.sentence,
        "ceiling": top.as_json() if top else None,
        "columns": [asdict(column) for column in division.columns],
    }
    members = [f"{json.dumps(ranks_json(line.place))[:-1]},{line.entry.fragment[1:]}" for line in division.lines]
    lines = ",\n".join(members)
    return f'{json.dumps(about)[:-1]},"runs":[\n{lines}\n]}}'


def _csv(frame: pd.DataFrame) -> bytes:
    """Spreadsheets take text that begins with = or the like for a formula; a stranger's is not to be one."""

    def plain(value: Any) -> Any:
        return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value

    return frame.map(plain).to_csv(index=False).encode()


@contextmanager
def _writable(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise BenchError(f"cannot write the site to {out} ({problem.strerror}); choose another folder with --out") from problem


def _version() -> str:
    """What a page depends on beside the runs: this package."""
    digest = hashlib.sha256(version("unlearning-bench").encode())
    with as_file(files("bench_leaderboard")) as folder:
        for path in sorted(path for kind in ("*.py", "templates/*", "static/*.*") for path in folder.glob(kind)):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bench_leaderboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(shown=tables.shown, documentation=text.documentation, inline=text.inline, figure=text.figure_json)
    environment.globals.update(number=tables.number, interval=tables.interval, curve_table=tables.curve_table)
    environment.globals.update(
        gates=stated(), badges=words.BADGES, missing=tables.MISSING, origin=origin, version=version("unlearning-bench")
    )
    return environment
