"""Damaged files are found, named, and cost only what they held; a stranger's store is data."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench.errors import BenchError
from bench.scoring.rows import rows
from bench.scoring.scorecard import read_scorecard
from bench.store.records import Finished, Pending
from bench.store.references import Reference
from bench.store.runs import Run
from bench.store.store import Store

HARMS = 200


def _folder(store, name: str) -> Path:
    return store.path / "runs" / store.rows[name]["run"]


def _harm(path: Path, rng: np.random.Generator, others: list[Path]) -> str:
    """Truncate, flip a bit, empty, fill with noise, swap with another run's file of that name, replace by a link, delete."""
    content = path.read_bytes()
    kind = str(rng.choice(["truncated", "flipped", "emptied", "noise", "linked", "deleted", *["swapped"] * bool(others)]))
    if kind == "truncated":
        path.write_bytes(content[: rng.integers(1, len(content))])
    elif kind == "flipped":
        harmed = bytearray(content)
        harmed[rng.integers(len(harmed))] ^= 1 << int(rng.integers(8))
        path.write_bytes(harmed)
    elif kind == "emptied":
        path.write_bytes(b"")
    elif kind == "noise":
        path.write_bytes(rng.bytes(len(content)))
    elif kind == "swapped":
        path.write_bytes(others[rng.integers(len(others))].read_bytes())
    elif kind == "linked":
        path.unlink()
        path.symlink_to("/etc/hostname")
    else:
        path.unlink()
    return kind


def _finds(store: Store, path: Path) -> str:
    """What reading everything says; "" if all seems well."""
    try:
        if path.parent.parent == store.runs:
            run = Run.read(path.parent)
            run.check_outputs()
            read_scorecard(run)
        else:
            Reference(path.parent).check()
    except BenchError as problem:
        return str(problem)
    return ""


def test_damage_is_found_and_named(copied, capsys: pytest.CaptureFixture[str]) -> None:
    """200 files, one at a time; each is put back before the next. A harm that leaves the content equal is none."""
    store, rng, found = Store(copied.path), np.random.default_rng(0), Counter()
    suffixes = (".npz", ".json", ".safetensors")
    files = sorted(path for path in store.path.glob("*/**/*") if path.suffix in suffixes and ".copy" not in path.suffixes)
    while found.total() < HARMS:
        path = files[rng.integers(len(files))]
        content, others = path.read_bytes(), [each for each in files if each.name == path.name and each != path]
        kind = _harm(path, rng, others)
        if not _as_before(path, content):
            said = _finds(store, path)
            healed = path.is_file() and path.read_bytes() == content  # a deleted reference.json, from its copy
            assert healed or path.name in said or (path.name == "scorecard.json" and not path.exists()), (path, kind, said)
            found[kind] += 1
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        assert _finds(store, path) == ""
    with capsys.disabled():
        print(f"\ndamaged files, all found and named: {found.total()}, {dict(found)}")


def _as_before(path: Path, content: bytes) -> bool:
    """Harm that changes nothing: a scorecard swapped for an equal one, a space for a tab between two fields."""
    if path.is_symlink() or not path.exists():
        return False
    harmed = path.read_bytes()
    return harmed == content or (path.suffix == ".json" and _json(harmed) == json.loads(content))


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None


def test_only_damaged_chunks_are_repeated(run_two_chunks, copied) -> None:
    folder, other = run_two_chunks(copied.path), _folder(copied, "noise-injection")
    run = Run.read(folder)
    first, last = run.record.finished_chunks
    shutil.copy(other / "outputs-0000.npz", folder / first.file)
    assert [path.name for path in run.forget_damaged()] == [first.file]
    assert run.record.chunks == (Pending(trials=first.trials), last)
    (folder / last.file).write_bytes(b"")
    assert [path.name for path in run.forget_damaged()] == [last.file]
    assert run.record.chunks == (Pending(trials=first.trials), Pending(trials=last.trials))


@pytest.mark.parametrize("place", ["run", "reference"])
@pytest.mark.parametrize("lost", [False, True])
def test_a_damaged_record_costs_nothing(run, copied, place: str, lost: bool) -> None:
    folder = _folder(copied, "finetune")
    reference = next((copied.path / "references").glob("*/*"))
    path = {"run": folder / "run.json", "reference": reference / "reference.json"}[place]
    kept = {each: each.stat().st_mtime_ns for each in (copied.path).rglob("*.npz")}
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes([content[100] ^ 4]) + content[101:])
    if lost:
        path.unlink()
    done = run("--plugin", "finetune", "--store", copied.path)
    if not lost:
        assert "its copy is used" in done.stderr
        assert path.name in done.stderr
    assert {each: each.stat().st_mtime_ns for each in (copied.path).rglob("*.npz")} == kept
    assert path.read_bytes() == content


def test_a_strangers_store_cannot_leave_its_folder(copied, forger, tmp_path: Path) -> None:
    """Signed as if it were good: paths are refused by their pattern, whatever the checksums say."""
    secret = tmp_path / "outputs-0000.npz"
    secret.write_bytes((_folder(copied, "finetune") / "outputs-0000.npz").read_bytes())
    folder = _folder(copied, "finetune")
    record = forger.read(folder / "run.json")
    forger.write(folder / "run.json", record)
    assert Run.read(folder).record.complete
    for file in (str(secret), f"../../../{secret.name}", "outputs-0000.npz/../x"):
        record["chunks"][0]["file"] = file
        forger.write(folder / "run.json", record)
        with pytest.raises(BenchError, match=r"damaged file .*do not belong.*chunks"):
            Run.read(folder)


@pytest.mark.parametrize(("token", "reason"), [("NaN", "malformed"), ("-Infinity", "malformed"), ("1e999", "out of range")])
@pytest.mark.parametrize("name", ["run.json", "scorecard.json"])
def test_numbers_that_are_not_finite(bench, run, copied, tmp_path: Path, name: str, token: str, reason: str) -> None:
    path = _folder(copied, "finetune") / name
    content, field = path.read_text(), {"run.json": "retraining_seconds", "scorecard.json": "value"}[name]
    path.write_text(re.sub(rf'("{field}": )[-+.e0-9]+', rf"\g<1>{token}", content, count=1))
    assert path.read_text() != content
    commands = [["leaderboard", "build", "--out", tmp_path / "site"]]
    if name == "run.json":  # a scorecard is computed again
        commands += [["score", "finetune"], ["compare", "finetune", "scrub"]]
    for command in commands:
        (line,) = bench(*command, "--store", copied.path, code=2).stderr.splitlines()
        assert line.startswith(f"bench: damaged file {path} (")
        assert reason in line
    assert not (tmp_path / "site").exists()
    run("--plugin", "finetune", "--store", copied.path)
    assert json.loads(path.read_text()) == json.loads(content)


def test_a_strangers_text_is_shown_harmlessly(bench, copied, forger, tmp_path: Path) -> None:
    folder = _folder(copied, "finetune")
    record = forger.read(folder / "run.json")
    before = len(rows(Store(copied.path))[0])
    record["method"]["summary"] = "<script>alert(1)</script>"
    record["method"]["spec"] = "[red]<b>finetune"
    forger.write(folder / "run.json", record)
    assert "[red]<b>finetune" in bench("compare", "--store", copied.path).stdout
    bench("leaderboard", "build", "--store", copied.path, "--out", tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text()
    assert "<script>alert(1)" not in page
    record["method"]["spec"] = "fine\x1b[2Jtune"
    forger.write(folder / "run.json", record)
    done = bench("score", "finetune", "--store", copied.path, code=2)
    assert "\x1b" not in done.stdout + done.stderr
    found, problems = rows(Store(copied.path))
    assert len(problems) == 1
    assert len(found) == before - 1


def test_full_disk_loses_nothing(run, copied, tmp_path: Path) -> None:
    """On a file system with room for one chunk: the run stops with one line, and goes on when there is more."""
    small = tmp_path / "small"
    size = 3 * sum(path.stat().st_size for path in (copied.path / "runs").rglob("*")) + 2**20
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a small file system")
    try:
        runs = copied.path / "runs"
        shutil.rmtree(_folder(copied, "noise-injection"))
        shutil.move(runs, small / "runs")
        runs.symlink_to(small / "runs")
        room = shutil.disk_usage(small).free
        (small / "filler").write_bytes(bytes(max(0, room - 150_000)))
        command = ("--plugin", "noise-injection", "--models", 16, "--store", copied.path)
        done = run(*command, code=2)
        assert "No space left on device" in done.stderr
        assert "the same command goes on" in done.stderr
        assert "Traceback" not in done.stderr
        (small / "filler").unlink()
        assert rows(Store(copied.path))[1] == []
        run(*command)
        run = Run.read(next((small / "runs").glob("noise-injection-*")))
        run.check_outputs()
        assert run.record.complete
        assert [type(chunk) for chunk in run.record.chunks] == [Finished, Finished]
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_read_only_store_is_one_line(bench, run, copied) -> None:
    if os.getuid() == 0:
        mounted = subprocess.run(["mount", "--bind", "-r", str(copied.path), str(copied.path)], capture_output=True, check=False)
        if mounted.returncode:
            pytest.skip("no right to mount read-only, and root writes everywhere")
    else:
        copied.path.chmod(0o500)
    try:
        done = run("--plugin", "scrub", "--seed", "9", "--store", copied.path, code=2)
        assert len([line for line in done.stderr.splitlines() if line.startswith("bench: ")]) == 1
        assert "Traceback" not in done.stderr
        assert "scrub" in bench("score", "scrub", "--store", copied.path).stdout
    finally:
        if os.getuid() == 0:
            subprocess.run(["umount", "-l", str(copied.path)], check=False)
        else:
            copied.path.chmod(0o700)
