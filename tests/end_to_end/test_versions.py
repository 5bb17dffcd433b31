"""Stores of an earlier bench are refused in one line that says what to do, by whatever command meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.store.runs import Run

EARLIER = "was written by an earlier bench (schema 1, this one reads 2)"
COMMANDS = (
    ["run", "--task", "age-tiny", "--plugin", "finetune"],
    ["score"],
    ["score", "finetune"],
    ["compare"],
    ["compare", "finetune", "scrub"],
    ["leaderboard", "build", "--out", "site"],
    ["verify", "finetune"],
    ["export", "run", "finetune", "--out", "run.zip"],
    ["reference", "build", "--task", "age-tiny", "--models", 8],
    ["reference", "show", "--task", "age-tiny"],
)


def _make_earlier(forger, path: Path) -> None:
    forger.write(path, forger.read(path), version=1)


def _told(done) -> list[str]:
    """Lines of standard error that are not progress."""
    return [line for line in done.stderr.splitlines() if line.startswith("bench: ")]


def _finetune(store) -> Path:
    return store.path / "runs" / store.rows["finetune"]["run"]


def test_a_store(bench, copied, forger, tmp_path: Path) -> None:
    _make_earlier(forger, copied.path / "store.json")
    told = f"bench: {copied.path}/store.json {EARLIER}; move {copied.path} away, or choose another with --store\n"
    before = sorted(copied.path.rglob("*"))
    for command in COMMANDS:
        done = bench(*command, "--store", copied.path, code=2, cwd=tmp_path)
        assert (done.stdout, done.stderr) == ("", told), command
    assert sorted(copied.path.rglob("*")) == before
    assert not (tmp_path / "site").exists()


def test_a_run_in_a_store_of_today(bench, run, copied, forger, tmp_path: Path) -> None:
    """It is refused where it is needed, told of where it is left out, and made again once it is out of the way."""
    path = _finetune(copied) / "run.json"
    expected = [chunk.sha256 for chunk in Run.read(path.parent).record.finished_chunks]
    for each in (path, path.with_name("run.copy.json")):
        _make_earlier(forger, each)
    told = f"{path} {EARLIER}; move it away, or use another --store"
    for command in (
        ["score", "finetune"],
        ["compare", "finetune", "scrub"],
        ["leaderboard", "build", "--out", "site"],
        ["export", "run", "finetune", "--out", "run.zip"],
    ):
        done = bench(*command, "--store", copied.path, code=2, cwd=tmp_path)
        assert (done.stdout, done.stderr) == ("", f"bench: {told}\n"), command
    for command in (["score"], ["compare"]):  # of all runs: the others are shown
        done = bench(*command, "--store", copied.path)
        assert _told(done) == [f"bench: {told}"]
        assert "scrub" in done.stdout
        assert "finetune" not in done.stdout
    assert bench("verify", "finetune", "--store", copied.path, code=1).stdout.count(told) == 1
    assert _told(run("--plugin", "finetune", "--store", copied.path, code=2)) == [f"bench: finetune: {told}"]
    path.rename(tmp_path / "run.json")
    run("--plugin", "finetune", "--store", copied.path)
    record = Run.read(path.parent).record
    assert record.complete
    assert [chunk.sha256 for chunk in record.finished_chunks] == expected


def test_a_reference_in_a_store_of_today(bench, copied, forger) -> None:
    (path,) = copied.path.glob("references/*/cpu/reference.json")
    _make_earlier(forger, path)
    told = f"bench: {path} {EARLIER}; move it away, or use another --store"
    for command in (
        ["run", "--task", "age-tiny", "--plugin", "finetune"],
        ["score", "--again"],
        ["compare", "finetune", "scrub"],
        ["reference", "build", "--task", "age-tiny", "--models", 8],
        ["reference", "show", "--task", "age-tiny"],
    ):
        assert _told(bench(*command, "--store", copied.path, code=2)) == [told], command


def test_a_scorecard_is_computed_again(bench, copied, forger) -> None:
    path = _finetune(copied) / "scorecard.json"
    before = json.loads(path.read_text())
    _make_earlier(forger, path)
    shown = bench("compare", "--store", copied.path).stdout
    assert "finetune: not scored, 8/8 trials: scored by an earlier bench; `bench score` does it" in shown
    bench("score", "finetune", "--store", copied.path)
    assert json.loads(path.read_text()) == before


@pytest.mark.parametrize("record", ["store.json", "run.json", "scorecard.json"])
def test_what_a_newer_bench_wrote(bench, copied, forger, tmp_path: Path, record: str) -> None:
    path = (copied.path if record == "store.json" else _finetune(copied)) / record
    forger.write(path, forger.read(path), version=3)
    done = bench("leaderboard", "build", "--store", copied.path, "--out", tmp_path / "site", code=2)
    assert done.stderr == f"bench: {path} was written by a newer bench (schema 3, this one reads 2); upgrade unlearning-bench\n"
