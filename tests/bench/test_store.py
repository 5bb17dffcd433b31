"""Files are whole or absent, and what is read is checked."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.outputs import OUTPUT_SPLITS, Outputs, concatenate, from_npz
from bench.store import (
    SCHEMA_VERSION,
    DamagedFileError,
    Store,
    locked,
    read_bytes,
    read_checked,
    read_record,
    restored,
    write_bytes,
    write_record,
)


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    write_bytes(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.store.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"\0" + b[1:], lambda b: b""])
def test_damage_is_found(tmp_path: Path, damage) -> None:
    path = tmp_path / "a.npz"
    checksum = write_bytes(path, b"content")
    assert read_checked(path, checksum) == b"content"
    path.write_bytes(damage(b"content"))
    with pytest.raises(DamagedFileError, match=r"a\.npz"):
        read_checked(path, checksum)
    path.unlink()
    with pytest.raises(DamagedFileError, match="No such file"):
        read_checked(path, checksum)


def test_records_carry_their_schema(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_record(path, {"a": 1})
    assert read_record(path) == {"schema_version": SCHEMA_VERSION, "a": 1}
    path.write_text(json.dumps({"schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(BenchError, match="newer bench"):
        read_record(path)
    for text in ("{", "[]", '{"a": 1}', '{"schema_version": 1, "a": 1e999}', '{"schema_version": 1e999}'):
        path.write_text(text)
        with pytest.raises(DamagedFileError):
            read_record(path)


def test_records_that_do_not_fit_are_damaged(tmp_path: Path) -> None:
    write_record(tmp_path / "run.json", {"a": 1})
    with pytest.raises(DamagedFileError, match="a is one"):
        read_record(tmp_path / "run.json", lambda record: "a is one" if record["a"] == 1 else "")


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_of_a_record_is_found_or_means_nothing(tmp_path: Path, data: st.DataObject) -> None:
    path, content = tmp_path / "run.json", {"seed": 0, "name": "scrub", "shares": [0.25, 1e-9, None, True]}
    write_record(path, content)
    damaged = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, 8 * len(damaged) - 1))
    damaged[position // 8] ^= 1 << position % 8
    path.write_bytes(damaged)
    with suppress(BenchError):  # damaged, or of a newer version
        assert read_record(path) == {"schema_version": SCHEMA_VERSION, **content}


def test_a_damaged_record_has_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_record(path, {"a": 1}, twice=True)
    path.write_text("{")
    assert restored(path, lambda record: "")
    assert read_record(path)["a"] == 1
    assert (tmp_path / "run.json.damaged").read_text() == "{"
    (tmp_path / "run.copy.json").write_text("{")
    assert not restored(path, lambda record: "")


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "device"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run.json"
    if kind == "link":
        (tmp_path / "other").write_text("secret")
        path.symlink_to(tmp_path / "other")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path = Path("/dev/zero")
    with pytest.raises(OSError, match=r"regular|links|directory"):
        read_bytes(path, 100)
    with pytest.raises(DamagedFileError):
        read_record(path)


def test_large_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with path.open("wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    with pytest.raises(DamagedFileError, match="at most"):
        read_record(path)
    with pytest.raises(DamagedFileError, match="at most"):
        read_checked(path, "")


def test_what_killed_processes_left_is_swept_up(tmp_path: Path) -> None:
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    stale, busy = tmp_path / f".a.npz.{process.stdout.strip()}-0123abcd", tmp_path / f".a.npz.{os.getpid()}-0123abcd"
    for path in (stale, busy):
        path.write_text("half")
    with locked(tmp_path, lambda text: None):
        assert not stale.exists()
        assert busy.exists()


def test_files_can_be_read_by_others(tmp_path: Path) -> None:
    """A site is served, and a store shared, by other users than the one who wrote it."""
    write_bytes(tmp_path / "a", b"")
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_newer_store_is_refused(tmp_path: Path) -> None:
    Store(tmp_path).prepare()
    (tmp_path / "store.json").write_text('{"schema_version": 99}')
    with pytest.raises(BenchError, match="newer bench"):
        Store(tmp_path)


def test_unwritable_store_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="cannot be written"):
        Store(tmp_path / "file" / "store").prepare()


def _outputs(models: int) -> Outputs:
    rng = np.random.default_rng(models)
    logits = {name: rng.normal(size=(models, 3, 4)).astype(np.float32) for name in OUTPUT_SPLITS}
    return Outputs(logits, rng.random(models))


def test_outputs_survive_npz_without_pickle() -> None:
    outputs = _outputs(3)
    assert from_npz(outputs.to_npz()).digest() == outputs.digest()
    assert outputs.select([0, 1, 2]).digest() == outputs.digest()
    assert outputs.select([1, 0, 2]).digest() != outputs.digest()
    assert concatenate([outputs.select([0]), outputs.select([1, 2])]).digest() == outputs.digest()


def test_pickles_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", **{name: np.array([object()]) for name in OUTPUT_SPLITS}, retain_accuracy=np.zeros(1))
    with pytest.raises(ValueError, match="not numbers"):
        from_npz((tmp_path / "evil.npz").read_bytes())
