"""`bench run`: rows and records, what is done again and what is not, mistakes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bench.budget import PHASES
from bench.store.records import RunRecord
from bench.store.runs import Run

BROKEN = 'raise RuntimeError("at import")\n'
MISBEHAVED = '''"""Fails in the second stack."""
from dataclasses import dataclass
from typing import ClassVar
from bench import Method

@dataclass(frozen=True)
class Misbehaved(Method):
    stackable: ClassVar[bool] = True

    def unlearn(self, model, data, trial):
        print("a word on standard output")
        if 7 in trial.indices:
            raise RuntimeError("no luck")
        return model
'''


def _measure(row: dict, name: str) -> float:
    return row["scorecard"]["measures"][name]["value"]


def _folder(store, method: str) -> Path:
    return store.path / "runs" / store.rows[method]["run"]


def _record(folder: Path) -> RunRecord:
    return Run.read(folder).record


def _checksums(folder: Path) -> list[str]:
    """Of the outputs of a complete run."""
    record = _record(folder)
    assert record.complete
    return [chunk.sha256 for chunk in record.finished_chunks]


def _one_line(done: subprocess.CompletedProcess) -> str:
    lines = [line for line in done.stderr.splitlines() if line.startswith("bench: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


def test_rows_say_what_they_are(filled) -> None:
    scrub = filled.rows["scrub"]
    assert "screening" in scrub["badges"]
    assert scrub["models"] == 8
    assert scrub["budget"] == "20%"
    assert not scrub["ceiling"]["provisional"]
    assert scrub["ceiling"]["value"] == _measure(filled.rows["retrain"], "forgetting_score")
    assert "control" in filled.rows["original"]["badges"]
    assert "runtime" not in filled.rows["original"]["scorecard"]["measures"]
    assert [filled.rows[name]["method"]["deterministic"] for name in ("original", "scrub")] == [True, False]
    assert scrub["method"]["reconstruction"] == ""


def test_runtime_is_that_of_trials_that_ran_again_beside_retraining(filled) -> None:
    record = _record(_folder(filled, "scrub"))
    assert 3 <= len(record.timed) <= 8
    assert {timed.trial for timed in record.timed} < set(range(8))
    share = float(np.median([timed.seconds for timed in record.timed]) / np.median([timed.retraining for timed in record.timed]))
    assert _measure(filled.rows["scrub"], "runtime_share") == pytest.approx(share)
    fastest = min(record.retraining_seconds, *(seconds for timed in record.timed for seconds in timed.retraining))
    assert _measure(filled.rows["scrub"], "runtime") == pytest.approx(share * fastest)
    assert "timed differently" not in filled.rows["scrub"]["badges"]
    assert _measure(filled.rows["scrub"], "timed_distance") < 0.5


def test_phases_are_recorded(filled) -> None:
    record = _record(_folder(filled, "scrub"))
    assert len(record.finished_chunks) == len(record.chunks) == 1
    for chunk in record.finished_chunks:
        assert {name for name, seconds in chunk.phases.items() if seconds > 0} == set(PHASES) - {"yardstick"}
    assert min(timed.phases["yardstick"] for timed in record.timed) > 0


def test_same_command_returns_the_run_at_once(run, filled) -> None:
    before = {path: path.stat().st_mtime_ns for path in _folder(filled, "scrub").glob("outputs*")}
    done = run("--plugin", "scrub", "--store", filled.path)
    assert {path: path.stat().st_mtime_ns for path in _folder(filled, "scrub").glob("outputs*")} == before
    assert "scrub" in done.stdout
    assert "retrain" in done.stdout
    assert "leaderboard build" in done.stdout
    assert len(list((filled.path / "runs").glob("scrub-*"))) == 1


def test_lost_chunk_alone_is_repeated_with_the_same_numbers(bench, run_two_chunks, copied) -> None:
    folder = run_two_chunks(copied.path)
    first, second = (folder / chunk.file for chunk in _record(folder).finished_chunks)
    kept = first.stat().st_mtime_ns
    content = second.read_bytes()
    second.write_bytes(content[: len(content) // 2])
    assert second.name in _one_line(bench("leaderboard", "build", "--store", copied.path, code=2))
    assert run_two_chunks(copied.path) == folder
    assert second.read_bytes() == content
    assert first.stat().st_mtime_ns == kept
    bench("leaderboard", "build", "--store", copied.path, "--out", copied.path / "site")


def test_results_do_not_depend_on_the_number_of_workers(run_two_chunks, copied) -> None:
    folder = run_two_chunks(copied.path, "--workers", 2)
    expected = _checksums(folder)
    shutil.rmtree(folder)
    assert _checksums(run_two_chunks(copied.path, "--workers", 1)) == expected


def test_failed_trials_are_told_and_logged(bench, run, copied, tmp_path: Path) -> None:
    (tmp_path / "misbehaved.py").write_text(MISBEHAVED)
    done = run("--plugin", tmp_path / "misbehaved.py", "--store", copied.path, code=2)
    assert "7/8 trials: RuntimeError: no luck (trial 7)" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    (folder,) = (copied.path / "runs").glob("misbehaved-*")
    log = (folder / "log.txt").read_text()
    assert "a word on standard output" in log
    assert "Traceback" in log
    bench("leaderboard", "build", "--store", copied.path, "--out", tmp_path / "site")
    assert "7/8 trials: RuntimeError: no luck (trial 7)" in (tmp_path / "site" / "index.html").read_text()


def test_debug_shows_where_a_plugin_fails(run, copied, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    done = run("--plugin", tmp_path / "broken.py", "--store", copied.path, "--debug", code=2)
    assert 'raise RuntimeError("at import")' in done.stderr


@pytest.mark.parametrize(("record", "content"), [("run.json", "{"), ("scorecard.json", '{"schema_version": 2}')])
def test_damaged_records_are_mended_by_the_same_command(bench, run, copied, record: str, content: str) -> None:
    path = _folder(copied, "finetune") / record
    expected = _checksums(_folder(copied, "finetune"))
    path.write_text(content)
    assert path.name in _one_line(bench("leaderboard", "build", "--store", copied.path, code=2))
    run("--plugin", "finetune", "--store", copied.path)
    assert _checksums(_folder(copied, "finetune")) == expected
    bench("leaderboard", "build", "--store", copied.path, "--out", copied.path / "site")


def test_floor_is_one_row_whatever_the_seed(run, copied) -> None:
    before = set((copied.path / "runs").glob("original-*"))
    run("--plugin", "finetune[epochs=0.1]", "--seed", 5, "--again", "--store", copied.path)
    assert set((copied.path / "runs").glob("original-*")) == before


def test_broken_plugin_does_not_stop_another(run, copied, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    done = run("--plugin", tmp_path / "broken.py", "--plugin", "finetune", "--store", copied.path, code=2)
    assert "finetune" in done.stdout
    assert "fails to import: RuntimeError: at import" in _one_line(done)


def test_reference_is_shown(bench, filled) -> None:
    done = bench("reference", "show", "--task", "age-tiny", "--store", filled.path)
    assert "16 retrained models" in done.stdout
    assert "one retraining takes" in done.stdout
    (summary,) = json.loads(bench("reference", "show", "--task", "age-tiny", "--store", filled.path, "--json").stdout)
    assert summary["accuracy"]["forget accuracy"]["original"] > 0.9


def test_nothing_to_build_is_nothing_done(bench, filled) -> None:
    files = {path: path.stat().st_mtime_ns for path in filled.path.glob("references/*/cpu/*.npz")}
    build = ("reference", "build", "--task", "age-tiny", "--models", 8)
    assert "16 retrained models" in bench(*build, "--store", filled.path).stdout
    assert {path: path.stat().st_mtime_ns for path in filled.path.glob("references/*/cpu/*.npz")} == files


def test_newer_store_is_refused(bench, tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text('{"schema_version": 99}')
    assert "newer" in _one_line(bench("run", "--plugin", "scrub", "--store", tmp_path, code=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--plugin", "scrubb"], "did you mean scrub"),
        (["run", "--plugin", "absent.py"], "does not exist"),
        (["run", "--plugin", "scrub[alhpa=1]"], "did you mean alpha"),
        (["run", "--plugin", 'scrub[alpha="x"]'], "takes float"),
        (["run", "--plugin", "scrub[alpha"], "not understood"),
        (["run", "--plugin", "scrub", "--models", "7"], "too few"),
        (["run", "--plugin", "scrub", "--task", "age-synthetik"], "did you mean age-synthetic"),
        (["run", "--plugin", "scrub", "--budget", "lots"], "not understood"),
        (["run", "--plugin", "scrub", "--store", "/proc/nowhere"], "cannot be written"),
        (["run", "--plugin", "scrub", "--device", "cuda"], "no such CUDA device"),
        (["run", "--plugin", "scrub", "--device", "tpu"], "there is no device 'tpu'; give auto, cpu, cuda or"),
        (["run", "--plugin", "scrub", "--device", "cpu", "--precision", "tf32"], "tf32 is a precision of GPUs"),
        (["run"], "--plugin"),
        (["runn"], "did you mean run"),
        (["tasks", "show", "age"], "unknown task"),
        (["tasks", "preview", "age-synthetic", "--out", "/proc/x.png"], "cannot write"),
        (["leaderboard", "build", "--store", "empty"], "has no runs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_line_and_exit_code_2(bench, tmp_path: Path, arguments: list[str], message: str) -> None:
    if arguments[-1] == "cuda":
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("there is a CUDA device")
    done = bench(*arguments, code=2, cwd=tmp_path)
    assert message in _one_line(done)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("scrub[preset=papers]", "scrub has no preset 'papers'; did you mean paper? it has: "),
        ("finetune[preset=paper]", "finetune has no preset 'paper'; it has: none"),
        ("scrub[alpha=-1]", "scrub: alpha is -1.0; it must be 0 or more"),
        ("ssd[preset=paper,alpha=0]", "ssd: alpha is 0.0; it must be above 0"),
    ],
)
def test_what_a_method_may_not_be_asked_is_told_before_anything_is_trained(bench, tmp_path, spec: str, message: str) -> None:
    done = bench("run", "--task", "age-tiny", "--plugin", spec, "--models", 8, "--store", tmp_path, code=2)
    assert message in _one_line(done)
    assert not list(tmp_path.rglob("*.npz"))


def test_plugin_file_that_raises_is_one_line(bench, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    done = bench("run", "--plugin", "broken.py", "--store", "store", code=2, cwd=tmp_path)
    assert "fails to import" in _one_line(done)


def test_what_is_computed_in_bf16_is_of_another_division(bench, copied, tmp_path: Path) -> None:
    store = "--store", copied.path
    done = bench("run", "--plugin", "finetune", "--task", "age-tiny", "--models", 8, "--precision", "bf16", *store)
    assert "cpu, bf16" in done.stdout
    assert "--precision bf16" in done.stdout  # what to do next
    for precision, folder in (("float32", "cpu"), ("bf16", "cpu-bf16")):
        file = tmp_path / f"{precision}.zip"
        bench("export", "reference", "--task", "age-tiny", "--precision", precision, *store, "--out", file)
        assert bench("reference", "add", file, "--store", tmp_path / "other").stdout.strip().endswith(f"/{folder}")
    told = bench("export", "reference", "--task", "age-tiny", "--precision", "tf32", *store, code=2).stderr
    assert "choose that of 'cpu' and 'cpu, bf16' with --device and --precision" in told
    (name,) = (path.name for path in (copied.path / "runs").glob("finetune-*") if path.name != copied.rows["finetune"]["run"])
    assert "bit for bit" in bench("verify", name, "--rerun", 1, *store).stdout


@pytest.mark.gpu
def test_run_on_cuda(bench, tmp_path: Path) -> None:
    if not pytest.importorskip("torch").cuda.is_available():
        pytest.skip("no CUDA device")
    done = bench("run", "--plugin", "finetune", "--models", "8", "--device", "cuda", "--store", tmp_path, "--json")
    row, _original = json.loads(done.stdout)
    assert row["device"]["kind"] != "cpu"
    assert row["scorecard"]["measures"]["runtime"]["value"] > 0


def test_scorecard_of_a_run_is_complete(filled) -> None:
    for name, row in filled.rows.items():
        measures = row["scorecard"]["measures"]
        assert {"final_score", "p_value", "cross_fitted_epsilon", "ulira_auc", "rmia_auc", "klom_median"} <= set(measures)
        assert row["scorecard"]["problems"] == {}
        assert (
            measures["final_score"]["interval"][0] <= measures["final_score"]["value"] <= measures["final_score"]["interval"][1]
        )
        assert ("peak_memory" in measures) == (name not in ("original", "retrain"))


def test_old_runs_are_scored_without_training(bench, copied) -> None:
    path = copied.path / "runs" / copied.rows["scrub"]["run"] / "scorecard.json"
    before = json.loads(path.read_text())
    path.unlink()
    next(copied.path.glob("references/*/*/original.safetensors")).unlink()  # nothing can be trained without it
    bench("score", copied.rows["scrub"]["run"], "--store", copied.path)
    assert json.loads(path.read_text()) == before


DIVERGED = '''"""Overflows in the fourth trial."""
from dataclasses import dataclass
from bench import Method

@dataclass(frozen=True)
class Diverged(Method):
    def unlearn(self, model, data, trial):
        if trial.indices == (3,):
            for weight in model.parameters():
                weight.data.fill_(3e38)
        return model
'''


def test_diverged_trial_is_a_failed_row(bench, run, copied, tmp_path: Path) -> None:
    (tmp_path / "diverged.py").write_text(DIVERGED)
    done = run("--plugin", "diverged.py", "--store", copied.path, code=2, cwd=tmp_path)
    assert "7/8 trials: ValueError: the returned model answers with numbers that are not finite" in _one_line(done)
    bench("leaderboard", "build", "--store", copied.path, "--out", copied.path / "site")
    assert "numbers that are not finite" in (copied.path / "site" / "index.html").read_text()


def test_runs_are_compared_and_ranked(bench, copied, forger) -> None:
    """By what they remember: their times, of which a busy machine makes more than the budget, are set to half of it."""
    rows = copied.rows
    both = rows["noise-injection"]["run"], rows["finetune"]["run"]
    answer = json.loads(bench("compare", *both, "--store", copied.path, "--json").stdout)
    assert answer["memory_left"]["distinguishable"]
    assert answer["memory_left"]["values"][0] < answer["memory_left"]["values"][1]
    for path in (copied.path / "runs").glob("*/run.json"):
        record = forger.read(path)
        half = record["allowance_seconds"] / 2
        forger.write(path, {**record, "timed": [{**timed, "seconds": half} for timed in record["timed"]]})
    bench("leaderboard", "build", "--store", copied.path, "--out", copied.path / "site")
    (division,) = json.loads((copied.path / "site" / "board.json").read_text())["divisions"]
    found = {run["method"]["name"]: run for run in division["runs"]}
    assert [found[name]["rank"]["rank"] for name in ("finetune", "scrub", "noise-injection")] == [1, 2, None]
    assert found["noise-injection"]["unranked"].startswith("utility lost: test accuracy is")
