"""Folders are read once, in parallel, whatever lies in them; nothing is written into them and nothing finished is lost."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from bench.errors import BenchError
from bench.progress import Progress
from bench.store.files import DamagedFileError
from bench.tasks.datasets import preparation
from bench.tasks.datasets.preparation import Preparation, prepare
from bench.tasks.datasets.prepared import Prepared, task_of
from bench.tasks.variants import load_task, registered_task

pytestmark = pytest.mark.process  # every test here starts one

BENCH = str(Path(sys.executable).parent / "bench")


def request(task: str, folder: Path, size: int = 32, **options: object) -> Preparation:
    return Preparation(registered_task(task), folder, size, **options)


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


def test_odd_files_are_read_or_rejected_with_their_reason(miniature, data: Path) -> None:
    folder = miniature("age-utkface")
    before = contents(folder)
    prepared = prepare(request("age-utkface", folder), Progress())
    assert prepared.record.reasons == {
        "the name is not AGE_GENDER_RACE_DATE": 1,
        "age '150' is out of range": 1,
        "damaged": 1,  # truncated
        "too many pixels": 1,  # 20,000 x 20,000
        "not a picture": 1,
    }
    assert contents(folder) == before
    assert len(prepared.data.images) == 245
    assert isinstance(prepared.images, np.memmap)


@pytest.mark.parametrize("size", [32, 64])
def test_what_is_stored_is_what_one_decodes(miniature, data: Path, size: int) -> None:
    """Against Pillow's own resize and crop, without torchvision."""
    folder = miniature("age-folder")
    prepared = prepare(request("age-folder", folder, size), Progress())
    catalogue = registered_task("age-folder").scan(folder)
    for row in (0, 100, 239):
        picture = Image.open(folder / catalogue.photos[row].name)
        height = round(picture.height * size / picture.width)
        resized = picture.resize((size, int(picture.height * size / picture.width)), Image.Resampling.BILINEAR)
        top = round((resized.height - size) / 2)
        expected = np.asarray(resized.crop((0, top, size, top + size))).transpose(2, 0, 1)
        assert abs(height - resized.height) <= 1
        assert np.array_equal(prepared.images[row], expected)
        assert prepared.data.labels[row] == catalogue.photos[row].label


def test_an_interrupted_preparation_goes_on_where_it_stopped(miniature, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = miniature("age-agedb")
    monkeypatch.setattr(preparation, "BLOCK", 40)
    real, asked = preparation._decoded, []

    def interrupted(request: Preparation, photos: Sequence, raw: Path, starts: Sequence[int]) -> Iterator:
        asked.append(list(starts))
        for number, block in enumerate(real(request, photos, raw, starts)):
            if len(asked) == 1 and number == 3:
                raise KeyboardInterrupt
            yield block

    monkeypatch.setattr(preparation, "_decoded", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(request("age-agedb", folder), Progress())
    resumed = prepare(request("age-agedb", folder), Progress())
    assert len(asked[0]) == 6
    assert len(asked[1]) == 3
    whole = prepare(request("age-agedb", folder, workers=1), Progress())
    assert len(asked) == 2  # the same files: nothing is read again
    assert whole.folder == resumed.folder
    monkeypatch.setenv("BENCH_DATA", str(data / "elsewhere"))
    afresh = prepare(request("age-agedb", folder, workers=1), Progress())
    assert afresh.record.files == resumed.record.files  # whatever the number of workers, interrupted or not


def test_a_killed_command_goes_on_too(miniature, data: Path, until) -> None:
    folder = miniature("age-fairface")
    command = [BENCH, "tasks", "prepare", "age-fairface", "--data", str(folder), "--json"]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: list(data.glob("*/.partial-*/*")))
    killed.kill()
    killed.wait()
    until(lambda: not _still_there(data))  # workers end with the command, however it ends
    done = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert done["images"] == "240 of 32x32 pixels"
    assert done["rejected"] == {"age 'unknown' is none of the ranges": 2, "the file is missing": 2}


def _still_there(data: Path) -> list[int]:
    """Processes that were started to prepare into this folder, this one aside."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get("BENCH_DATA") == str(data):
                found.append(process.pid)
    return found


def test_two_commands_at_once(miniature, data: Path) -> None:
    folders = {task: miniature(task) for task in ("age-utkface", "age-mufac")}
    commands = [[BENCH, "tasks", "prepare", task, "--data", str(folder)] for task, folder in (*folders.items(), *folders.items())]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for command in commands]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * 4, errors
    assert all(len(list((data / task).glob("32-*"))) == 1 for task in folders)
    assert not list(data.glob("*/.partial-*"))


def test_half_the_files_missing(miniature, data: Path) -> None:
    folder = miniature("age-folder")
    for path in sorted(folder.rglob("*.png"))[::2]:
        path.unlink()
    with pytest.raises(BenchError, match=r"122 of 242 photos .* cannot be used \(120 the file is missing.*--partial"):
        prepare(request("age-folder", folder), Progress())
    assert len(prepare(request("age-folder", folder, partial=True), Progress()).images) == 120


def test_nothing_that_can_be_used(data: Path, tmp_path: Path) -> None:
    (tmp_path / "30_0_0_20170101.jpg").write_text("x")
    with pytest.raises(BenchError, match=r"no photo that can be used: 30_0_0_20170101\.jpg, not a picture"):
        prepare(request("age-utkface", tmp_path, partial=True), Progress())


def test_a_place_that_cannot_be_written(miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "file"))
    with pytest.raises(BenchError, match="choose another folder with"):
        prepare(request("age-agedb", miniature("age-agedb")), Progress())


def test_what_was_prepared_last_counts_also_if_it_was_prepared_before(miniature, data: Path) -> None:
    first, dataset = miniature("age-agedb"), registered_task("age-agedb")
    whole = prepare(request("age-agedb", first), Progress())
    second = first.with_name("another")
    second.mkdir()
    for path in sorted(first.glob("*.jpg"))[:120]:
        (second / path.name).write_bytes(path.read_bytes())
    prepare(request("age-agedb", second), Progress())
    assert len(task_of(dataset).load().images) < 130
    assert prepare(request("age-agedb", first), Progress()).folder == whole.folder
    assert len(task_of(dataset).load().images) == 240


def test_preparing_again_mends_damage(miniature, data: Path) -> None:
    folder = miniature("age-agedb")
    files = prepare(request("age-agedb", folder), Progress()).record.files
    for name in ("images.npy", "prepared.json"):
        path = next(data.glob(f"age-agedb/*/{name}"))
        path.write_bytes(path.read_bytes()[:-5] + b"12345")
        assert prepare(request("age-agedb", folder), Progress()).record.files == files


def test_blocks_without_pixels_are_read_again(miniature, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever the command is killed, no picture is black that was not."""
    folder = miniature("age-agedb")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "_collect", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare(request("age-agedb", folder), Progress())
    next(data.glob("*/.partial-*/pixels.raw")).unlink()
    assert prepare(request("age-agedb", folder), Progress()).images.any(axis=(1, 2, 3)).all()
    assert not list(data.glob("*/.partial-*"))


def test_everything_twice_counts_once_and_is_said(miniature, data: Path) -> None:
    folder = miniature("age-utkface")
    shutil.copytree(folder / "part 1", folder / "again")
    (folder / "readme.txt").write_text("x")
    (folder / ".DS_Store").write_text("x")
    prepared = prepare(request("age-utkface", folder), Progress())
    assert len(prepared.images) == 245
    assert prepared.record.aside == {
        "a copy of a photo in another folder": 248,
        "hidden": 1,
        "not a picture, by its name": 1,
    }
    assert prepare(request("age-utkface", folder), Progress()).record.aside == prepared.record.aside
    (folder / "again.txt").write_text("x")
    assert prepare(request("age-utkface", folder), Progress()).record.aside["not a picture, by its name"] == 2


def test_what_a_table_does_not_name_is_counted(miniature, data: Path) -> None:
    folder = miniature("age-folder")
    lines = (folder / "photos.csv").read_text(encoding="utf-8").splitlines()
    (folder / "photos.csv").write_text("\n".join(lines[:201]), encoding="utf-8")
    assert prepare(request("age-folder", folder), Progress()).record.aside == {"a picture of which nothing is said": 40}


def test_what_a_table_says_of_nobody_is_a_remark(miniature, data: Path) -> None:
    folder = miniature("age-folder")
    lines = (folder / "photos.csv").read_text(encoding="utf-8").splitlines()
    unknown = [f"{line.rpartition(',')[0]},nan" for line in lines[1:101]]
    (folder / "photos.csv").write_text("\n".join([lines[0], *unknown, *lines[101:241]]), encoding="utf-8")
    prepared = prepare(request("age-folder", folder), Progress())
    remark = "the person of 100 of 240 photos is 'nan': taken for somebody who is not known"
    assert prepared.record.remarks == (remark,)
    assert task_of(registered_task("age-folder")).remarks == (remark,)


def test_damage_is_found_even_if_only_one_byte_changed(miniature, data: Path) -> None:
    prepared = prepare(request("age-agedb", miniature("age-agedb")), Progress())
    path = prepared.folder / "images.npy"
    os.utime(path, ns=(1, 1))  # touched, not changed
    assert len(Prepared.read(prepared.folder).images) == 240
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"its checksum is another.*prepare it again"):
        _ = Prepared.read(prepared.folder).images
    path.write_bytes(content[:-10])
    with pytest.raises(DamagedFileError):
        _ = Prepared.read(prepared.folder).images


def test_sizes_are_kept_apart(miniature, data: Path) -> None:
    folder = miniature("age-agedb")
    dataset = registered_task("age-agedb")
    with pytest.raises(BenchError, match="age-agedb is not prepared: `bench tasks prepare age-agedb --data FOLDER`"):
        task_of(dataset)
    prepare(request("age-agedb", folder, 64), Progress())
    assert task_of(dataset).size == 64  # the only one
    prepare(request("age-agedb", folder, 32), Progress())
    assert task_of(dataset).size == 32  # its own
    assert load_task("age-agedb[size=64]").load().images.shape[2:] == (64, 64)
    with pytest.raises(BenchError, match="not prepared at 128 pixels: `bench tasks prepare age-agedb --data FOLDER --size 128`"):
        task_of(dataset, 128)


def test_what_an_earlier_version_prepared_is_prepared_again(miniature, data: Path, forger) -> None:
    folder = miniature("age-agedb")
    prepared = prepare(request("age-agedb", folder), Progress())
    path = prepared.folder / "prepared.json"
    forger.write(path, forger.read(path), version=1)
    with pytest.raises(BenchError, match=r"written by an earlier bench .*; prepare it again"):
        load_task("age-agedb")
    again = prepare(request("age-agedb", folder), Progress())
    assert again.record.files == prepared.record.files
    assert load_task("age-agedb").load().images.shape == prepared.data.images.shape


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "link"])
def test_images_that_are_no_file_are_damage(miniature, data: Path, make: Callable[[Path], None]) -> None:
    prepared = prepare(request("age-agedb", miniature("age-agedb")), Progress())
    (prepared.folder / "images.npy").unlink()
    make(prepared.folder / "images.npy")
    with pytest.raises(BenchError, match=r"no regular file.*; prepare it again"):
        load_task("age-agedb")
