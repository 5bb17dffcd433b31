"""Runs and references as one file each, to send to others: what the store has, in a zip that need not be trusted."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.engine.runs import Run
from bench.errors import BenchError
from bench.references import References, folder_of
from bench.schemas import reference_problem
from bench.store import LARGEST_FILE, DamagedFileError, Store, read_record, write_bytes

RUN_FILES = re.compile(r"run\.json|scorecard\.json|outputs-[0-9]{4,}\.npz")
REFERENCE_FILES = re.compile(r"reference\.json|labels\.npz|original\.(npz|safetensors)|retrained-[0-9]{4,}-[0-9]{4,}\.npz")
RUN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
MOST_FILES = 10_000


def export_run(run: Run, out: Path) -> None:
    """Write a complete run with its scorecard into one file.

    Raises:
        BenchError: it is not complete or not scored, or a file of it is damaged.
    """
    run.check_outputs()
    if not run.complete or not (run.folder / "scorecard.json").exists():
        raise BenchError(f"run {run.folder.name} is not complete and scored; the command that made it resumes it")
    outputs = [run.folder / chunk["file"] for chunk in run.record["chunks"]]
    _pack([run.folder / "run.json", run.folder / "scorecard.json", *outputs], out)


def export_reference(references: References, out: Path) -> None:
    """Write a reference into one file, so that others can unlearn from the same model and be ranked in the same division."""
    references.check()
    _pack([references.folder / name for name in ("reference.json", *references.record["files"])], out)


def add_reference(store: Store, file: Path) -> Path:
    """Put a reference that `export_reference` wrote into a store; returns its folder.

    Raises:
        BenchError: the file is not what it says, or the store has a reference of that task and kind of device.
    """
    with unpacked(file, REFERENCE_FILES) as folder:
        record = read_record(folder / "reference.json", reference_problem, mend=f"ask for {file} again")
        task, device = record.get("task"), record.get("device")
        if task is None or device is None:
            raise BenchError(f"{file} does not say which task and device it is a reference of")
        References(folder).check()
        target = folder_of(store.references, task["key"], device)
        if (target / "reference.json").exists():
            raise BenchError(f"there is a reference in {target}; choose another store with --store")
        for name in (*record["files"], "reference.json"):  # the record last: it vouches for the others
            write_bytes(target / name, (folder / name).read_bytes())
    return target


@contextmanager
def imported_run(file: Path) -> Iterator[Run]:
    """A run that `export_run` wrote, for as long as the block lasts; its record has been checked, its outputs have not.

    Raises:
        BenchError: the file is something else.
    """
    with unpacked(file, RUN_FILES) as folder:
        record = read_record(folder / "run.json", mend=f"ask for {file} again")
        name = record.get("run")
        if not isinstance(name, str) or not RUN_NAME.fullmatch(name):
            raise BenchError(f"{file} does not say which run it is")
        yield Run.read(folder.rename(folder.with_name(name)))


@contextmanager
def unpacked(file: Path, allowed: re.Pattern[str]) -> Iterator[Path]:
    """A folder with the members of a zip file, for as long as the block lasts.

    Raises:
        BenchError: it is no zip file, is compressed, or has members of other names or larger than itself.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "unpacked"
        folder.mkdir()
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                _check(file, members, allowed)
                for member in members:
                    (folder / member.filename).write_bytes(archive.read(member))
        except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as problem:
            raise BenchError(f"{file} is not a file that `bench export` wrote ({problem})") from problem
        try:
            yield folder
        except DamagedFileError as problem:
            raise BenchError(f"{file}: {problem.path.name} is damaged; ask for it again") from problem


def _check(file: Path, members: Sequence[zipfile.ZipInfo], allowed: re.Pattern[str]) -> None:
    names = [member.filename for member in members]
    if len(names) > MOST_FILES or len(set(names)) != len(names) or not all(allowed.fullmatch(name) for name in names):
        raise ValueError("it holds other files")
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
        raise ValueError("it is compressed")
    if sum(member.file_size for member in members) > min(file.stat().st_size, LARGEST_FILE):
        raise ValueError("its members overlap, or are too large")


def _pack(paths: Sequence[Path], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.part")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for path in paths:
            archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes())  # without a time: the same run, the same file
    temporary.replace(out)
