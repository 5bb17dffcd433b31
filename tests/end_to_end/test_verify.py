"""`bench verify` and `bench doctor`: what is well, and what is found when it is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.engine.neighbours import Neighbours
from bench.engine.session import Session
from bench.errors import WorkerError
from bench.outputs import Outputs
from bench.scoring.scorecard import read_scorecard
from bench.store.archives import pack, unpack
from bench.store.files import write_bytes
from bench.store.runs import Run


def _folder(store, name: str) -> Path:
    return store.path / "runs" / store.rows[name]["run"]


def _points(done) -> dict[str, dict]:
    ((_, checks),) = json.loads(done.stdout).items()
    return {check["point"]: check for check in checks}


def test_an_honest_run_is_well(bench, filled) -> None:
    done = bench("verify", "finetune", "--rerun", 3, "--store", filled.path, "--json")
    points = _points(done)
    assert all(check["ok"] for check in points.values())
    assert points["rerun of 8 trials"]["seen"] == "bit for bit the stored outputs"
    assert "metric challenge" in points
    assert "metric ulira" in points


def test_control_rows_are_verified_without_trials(bench, filled) -> None:
    assert "it has no trials" in bench("verify", "retrain", "--rerun", 1, "--store", filled.path).stdout


def test_a_better_score_than_the_outputs_give_is_found(bench, copied, forger) -> None:
    """Signed as if it were genuine."""
    path = _folder(copied, "scrub") / "scorecard.json"
    card = forger.read(path)
    card["sections"]["challenge"]["measures"]["final_score"]["value"] += 0.001
    forger.write(path, card)
    points = _points(bench("verify", "scrub", "--store", copied.path, "--json", code=1))
    assert [name for name, check in points.items() if not check["ok"]] == ["metric challenge"]
    assert "final_score" in points["metric challenge"]["problem"]


def test_a_removed_flag_is_found(bench, copied, forger) -> None:
    path = _folder(copied, "original") / "scorecard.json"
    card = forger.read(path)
    card["sections"]["flags"]["flags"].pop("deterministic")
    forger.write(path, card)
    points = _points(bench("verify", copied.rows["original"]["run"], "--store", copied.path, "--json", code=1))
    assert not points["metric flags"]["ok"]


def test_other_outputs_than_the_method_gives_are_found_by_a_rerun(bench, copied, forger) -> None:
    """Outputs of another method, signed, with a scorecard that follows from them."""
    folder, other = _folder(copied, "finetune"), _folder(copied, "noise-injection")
    record, theirs = forger.read(folder / "run.json"), forger.read(other / "run.json")
    every = [unpack((other / chunk["file"]).read_bytes()) for chunk in theirs["chunks"]]
    models = {index: part.select([row]) for part, chunk in zip(every, theirs["chunks"], strict=True)
              for row, index in enumerate(chunk["trials"])}  # fmt: skip
    for chunk in record["chunks"]:
        parts = [models[index] for index in chunk["trials"]]
        logits = {name: np.concatenate([part.logits[name] for part in parts]) for name in parts[0].logits}
        outputs = Outputs(logits, np.concatenate([part.retain_accuracy for part in parts]))
        chunk["sha256"] = write_bytes(folder / chunk["file"], pack(outputs))
    forger.write(folder / "run.json", record)
    bench("score", "finetune", "--again", "--store", copied.path)
    bench("verify", "finetune", "--store", copied.path)
    points = _points(bench("verify", "finetune", "--rerun", 8, "--store", copied.path, "--json", code=1))
    assert "other confidences than stored (p = 0.0" in points["rerun of 8 trials"]["problem"]


def test_damage_is_a_failed_check(bench, copied) -> None:
    folder = _folder(copied, "finetune")
    (folder / "outputs-0000.npz").write_bytes(b"")
    assert "outputs-0000.npz" in bench("verify", "finetune", "--store", copied.path, code=1).stdout
    (folder / "run.json").write_text("{}")
    assert "run.json" in bench("verify", "finetune", "--store", copied.path, code=1).stdout


def test_doctor_finds_nothing_wrong(bench, filled, tmp_path: Path) -> None:
    done = bench("doctor", "--store", filled.path, "--json")
    points = {check["point"]: check for check in json.loads(done.stdout)}
    assert all(check["ok"] for check in points.values())
    assert {
        "versions",
        "libraries",
        "device",
        "memory",
        "disk",
        "store",
        "method scrub",
        "metric ulira",
        "task age-synthetic",
    } <= points.keys()
    bench("doctor", "--store", tmp_path / "not yet")
    assert not (tmp_path / "not yet").exists()


def test_doctor_names_what_is_damaged_or_broken(
    bench, distribute, copied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (_folder(copied, "finetune") / "outputs-0000.npz").write_bytes(b"")
    distribute(tmp_path, "broken", "broken", "third_broken", 'raise RuntimeError("at import")\n')
    monkeypatch.syspath_prepend(tmp_path)
    done = bench("doctor", "--store", copied.path, code=1)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 2
    assert "method broken" in failed[0]
    assert "at import" in failed[0]
    assert "outputs-0000.npz" in failed[1]
    assert "mend or uninstall broken" in done.stdout


def test_trials_are_timed_again(bench, copied) -> None:
    """Others than before, as far as chance has it; nothing else of the run changes."""
    folder = _folder(copied, "finetune")
    before = Run.read(folder).record
    done = bench("time", "finetune", "--store", copied.path)
    after = Run.read(folder).record
    assert after.complete
    assert after.secret != before.secret
    assert after.timed != before.timed
    assert after.chunks == before.chunks
    assert (before.timed_again, after.timed_again) == (0, 1)
    assert "runtime_share" in done.stdout
    share = read_scorecard(Run.read(folder)).measures["runtime_share"].value
    assert share == pytest.approx(after.timing.share)
    bench("verify", "finetune", "--store", copied.path)


def test_a_run_that_cannot_be_timed_again_is_as_it_was(bench, copied, monkeypatch: pytest.MonkeyPatch) -> None:
    for control in ("retrain", "original"):
        assert "a control row has no trials" in bench("time", control, "--store", copied.path, code=2).stderr
    folder = _folder(copied, "finetune")
    before = Run.read(folder).record

    def fail(*_: object) -> None:
        raise WorkerError("no luck")

    monkeypatch.setattr(Session, "attempt", fail)
    told = bench("time", "finetune", "--store", copied.path, code=2).stderr
    assert f"{folder.name} cannot be timed again: no luck" in told
    assert Run.read(folder).record == before


def test_a_busy_machine_is_told(bench, filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Neighbours, "share", lambda self: 0.75)
    assert "other processes take 75 % of the processor" in bench("doctor", "--store", filled.path, code=1).stdout
    assert "other processes take 75 % of the processor" in bench("time", "finetune", "--store", filled.path).stderr
    assert "timed on a busy machine" in bench("score", "finetune", "--store", filled.path).stdout
