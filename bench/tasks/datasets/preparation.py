"""Reads a dataset's folder once: decodes its pictures in parallel, looks for duplicates, keeps them as one array."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
from msgspec.structs import replace
from numpy.lib import format as npy
from numpy.typing import NDArray
from safetensors.numpy import save

from bench.errors import BenchError, one_line
from bench.lifetime import apart_from_caller, undisturbed
from bench.progress import Progress
from bench.store.files import DamagedFileError, EarlierVersionError, locked, write_bytes, write_record
from bench.tasks.data_quality import find_twins
from bench.tasks.datasets.dataset import PARTS, Catalogue, Dataset, Photo
from bench.tasks.datasets.home import HOME, home
from bench.tasks.datasets.prepared import IMAGES, ORIGINAL, RECORD, TABLE, Prepared, PreparedRecord, stamp
from bench.tasks.datasets.rows import beside
from bench.tasks.task import UNKNOWN

BLOCK = 256  # pictures that are decoded, and repeated after an interruption, together
MOST_REJECTED = 0.2  # a larger share of photos that cannot be used needs the user's word
EXAMPLES = 20  # rejected photos that the record names
_PIXELS = "pixels.raw"
_AHEAD = 4  # blocks in the queue for each worker

Rejects = list[tuple[int, str]]


@dataclass(frozen=True)
class Preparation:
    """What is to be prepared."""

    dataset: Dataset
    folder: Path
    size: int  # pixels of a side
    partial: bool = False  # go on without photos that cannot be used, however many
    workers: int = 1  # processes


def prepare(request: Preparation, progress: Progress) -> Prepared:
    """Read the folder, unless that was done; an interrupted preparation goes on where it stopped.

    Raises:
        BenchError: the folder is laid out in another way, too many photos cannot be used, or there is no place to write to.
    """
    catalogue = _catalogue(request)
    listed = len(catalogue.photos) + len(catalogue.rejected)
    _demand_enough(request, catalogue.rejected, listed)
    place = home() / request.dataset.name
    source = _source(request, catalogue)
    with _writable(place), locked(place, progress.note):
        known = _known(place, request.size, source)
        if known:
            known = _renewed(known)
            progress.note(f"{request.dataset.name} was prepared from the same files before")
            return known
        scratch = place / f".partial-{request.size}-{source[:16]}"
        scratch.mkdir(exist_ok=True)
        rejects = _decode(request, catalogue.photos, scratch, progress)
        refused = [*catalogue.rejected, *((catalogue.photos[row].name, reason) for row, reason in rejects)]
        _demand_enough(request, refused, listed)
        kept = np.setdiff1d(np.arange(len(catalogue.photos)), [row for row, _ in rejects])
        files = {IMAGES: _collect(scratch, kept, request.size)}
        progress.stage("looking for duplicates", 1)
        twins = find_twins(np.load(scratch / IMAGES, mmap_mode="r"))
        files[TABLE] = write_bytes(scratch / TABLE, _table([catalogue.photos[row] for row in kept], twins))
        if catalogue.original:
            files[ORIGINAL] = write_bytes(scratch / ORIGINAL, save(dict(catalogue.original)))
        record = _record(request, catalogue, files, refused, source)
        write_record(scratch / RECORD, replace(record, stamp=stamp(scratch / IMAGES)))
        return Prepared.read(_publish(scratch, place, request.size, files))


def _catalogue(request: Preparation) -> Catalogue:
    """What the dataset says of the folder, and all else that lies in it."""
    found = request.dataset.scan(request.folder)
    return dataclasses.replace(found, aside=[*found.aside, *beside(request.folder, found)])


def _known(place: Path, size: int, source: str) -> Prepared | None:
    for path in place.glob(f"{size}-*/{RECORD}"):
        try:
            found = Prepared.read(path.parent)
            if found.record.source == source:
                found.check()
                return found
        except (DamagedFileError, EarlierVersionError):  # it is made again
            shutil.rmtree(path.parent)
    return None


def _renewed(known: Prepared) -> Prepared:
    """The same, as what was prepared last: that is what later commands take."""
    write_record(known.folder / RECORD, replace(known.record, created=_now()))
    return Prepared.read(known.folder)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _source(request: Preparation, catalogue: Catalogue) -> str:
    """What the user's files are, without reading them: names, labels, sizes and times of change."""
    said = [catalogue.rejected, catalogue.aside, catalogue.remarks]
    facts = [catalogue.groups, catalogue.forget, catalogue.class_weights, *said]
    digest = hashlib.sha256(json.dumps([request.size, request.dataset.stretched, *facts]).encode())
    for photo in catalogue.photos:
        path = request.folder / photo.name
        status = next((file.stat() for file in (path, path.parent) if file.is_file()), None)  # one file may hold many photos
        digest.update(json.dumps([*photo, *((status.st_size, status.st_mtime_ns) if status else ())]).encode())
    for name, weights in catalogue.original.items():
        digest.update(name.encode() + weights.tobytes())
    return digest.hexdigest()


def _demand_enough(request: Preparation, refused: Sequence[tuple[str, str]], listed: int) -> None:
    if listed == len(refused):
        raise BenchError(
            f"{request.folder} has no photo that can be used{f': {refused[0][0]}, {refused[0][1]}' if refused else ''}"
        )
    if len(refused) > MOST_REJECTED * listed and not request.partial:
        reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(reason for _, reason in refused).most_common(3))
        raise BenchError(
            f"{len(refused)} of {listed} photos in {request.folder} cannot be used ({reasons}; {refused[0][0]} is one);"
            " mend the folder, or go on without them with --partial"
        )


def _decode(request: Preparation, photos: Sequence[Photo], scratch: Path, progress: Progress) -> Rejects:
    """Fill the file of pixels, a block at a time; returns the rows that stay empty, and why."""
    raw, length = scratch / _PIXELS, len(photos) * 3 * request.size**2
    if not raw.exists() or raw.stat().st_size != length:
        for path in scratch.glob("block-*.json"):  # they tell of pixels that are not there
            path.unlink()
    with raw.open("ab") as file:
        file.truncate(length)
    starts = range(0, len(photos), BLOCK)
    advance = progress.stage(f"reading {len(photos)} photos", len(photos))
    missing = []
    for start in starts:
        if _block_file(scratch, start).exists():
            advance(len(photos[start : start + BLOCK]))
        else:
            missing.append(start)
    for start, rejects in _decoded(request, photos, raw, missing):
        write_bytes(_block_file(scratch, start), json.dumps(rejects).encode())
        advance(len(photos[start : start + BLOCK]))
    found = (json.loads(_block_file(scratch, start).read_bytes()) for start in starts)
    return [(int(row), str(reason)) for block in found for row, reason in block]


def _block_file(scratch: Path, start: int) -> Path:
    return scratch / f"block-{start:08d}.json"


def _decoded(request: Preparation, photos: Sequence[Photo], raw: Path, starts: Sequence[int]) -> Iterator[tuple[int, Rejects]]:
    """Blocks in the order in which they are done; a few at a time are in the queue, so that memory does not grow."""
    from bench.tasks.datasets.decoding import decode_block, start_worker

    if not starts:
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.tasks.datasets.pictures"])
    with apart_from_caller():
        forkserver.ensure_running()
    workers = request.workers
    waiting = iter(starts)
    running: dict[Future[Rejects], int] = {}
    with ProcessPoolExecutor(workers, context, initializer=start_worker) as pool:
        try:
            while True:
                for start in waiting:
                    names = [photo.name for photo in photos[start : start + BLOCK]]
                    with undisturbed():  # it may start a process
                        work = pool.submit(decode_block, request.dataset, request.folder, names, request.size, raw, start)
                    running[work] = start
                    if len(running) >= _AHEAD * workers:
                        break
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for work in done:
                    yield running.pop(work), work.result()
        except BrokenProcessPool as problem:
            raise BenchError(
                "a process that reads photos died, of lack of memory perhaps; the same command goes on from there"
            ) from problem
        finally:
            pool.shutdown(cancel_futures=True)


def _collect(scratch: Path, kept: NDArray[np.int64], size: int) -> str:
    """Write the rows that can be used as one array; returns its checksum."""
    row_bytes = 3 * size**2
    digest = hashlib.sha256()
    with (scratch / _PIXELS).open("rb") as raw, (scratch / IMAGES).open("wb") as file:
        header = io.BytesIO()
        npy.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (len(kept), 3, size, size)})
        digest.update(header.getvalue())
        file.write(header.getvalue())
        for part in np.array_split(kept, range(BLOCK, len(kept), BLOCK)):
            if len(part):
                raw.seek(int(part[0]) * row_bytes)
                rows = np.frombuffer(raw.read(int(part[-1] - part[0] + 1) * row_bytes), np.uint8).reshape(-1, row_bytes)
                content = rows[part - part[0]].tobytes()
                digest.update(content)
                file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _table(photos: Sequence[Photo], twins: NDArray[np.int64]) -> bytes:
    people = sorted({photo.person for photo in photos} - {""})
    number = {person: index for index, person in enumerate(people)}
    buffer = io.BytesIO()
    np.savez(
        buffer,
        label=np.array([photo.label for photo in photos], np.int64),
        identity=np.array([number.get(photo.person, UNKNOWN) for photo in photos], np.int64),
        part=np.array([PARTS.index(photo.part) for photo in photos], np.int64),
        twin=twins,
    )
    return buffer.getvalue()


def _record(
    request: Preparation, catalogue: Catalogue, files: dict[str, str], refused: Sequence[tuple[str, str]], source: str
) -> PreparedRecord:
    return PreparedRecord(
        dataset=request.dataset.name,
        size=request.size,
        created=_now(),
        source=source,
        groups=tuple(catalogue.groups),
        forget=catalogue.forget or request.dataset.forget,
        class_weights=tuple(catalogue.class_weights),
        listed=len(catalogue.photos) + len(catalogue.rejected),
        rejected=len(refused),
        reasons=dict(Counter(one_line(reason) for _, reason in refused).most_common()),
        examples=tuple((one_line(name), one_line(reason)) for name, reason in refused[:EXAMPLES]),
        aside=dict(Counter(one_line(reason) for _, reason in catalogue.aside).most_common()),
        remarks=tuple(one_line(remark) for remark in catalogue.remarks),
        files=files,
    )


def _publish(scratch: Path, place: Path, size: int, files: dict[str, str]) -> Path:
    """Give the folder its name, which follows from its content; what it was made from is not needed any more."""
    for path in (*scratch.glob("block-*.json"), scratch / _PIXELS):  # blocks first: without pixels they would be a lie
        path.unlink()
    content = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16]
    target = place / f"{size}-{content}"
    if target.exists():  # other files, or times, but the same pictures
        shutil.rmtree(target)
    scratch.rename(target)
    for other in place.glob(f".partial-{size}-*"):  # of files that have changed since
        shutil.rmtree(other)
    return target


@contextmanager
def _writable(place: Path) -> Iterator[None]:
    try:
        place.mkdir(parents=True, exist_ok=True)
        if not os.access(place, os.W_OK):
            raise PermissionError(13, "no write permission")
    except OSError as problem:
        raise BenchError(f"{place} cannot be written ({problem.strerror}); choose another folder with ${HOME}") from problem
    yield
