"""Files are whole or absent, and what is read is checked."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.errors import BenchError
from bench.outputs import OUTPUT_SPLITS, Outputs, concatenate, from_npz
from bench.store import SCHEMA_VERSION, DamagedFileError, Store, read_checked, read_record, write_bytes, write_record


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
    for text in ("{", "[]", '{"a": 1}'):
        path.write_text(text)
        with pytest.raises(DamagedFileError):
            read_record(path)


def test_records_lack_nothing_that_is_needed(tmp_path: Path) -> None:
    write_record(tmp_path / "run.json", {"a": 1})
    with pytest.raises(DamagedFileError, match="lacks 'b'"):
        read_record(tmp_path / "run.json", needs=("a", "b"))


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
    with pytest.raises(ValueError, match="pickle"):
        from_npz((tmp_path / "evil.npz").read_bytes())
