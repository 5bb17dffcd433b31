"""Models that were unlearned elsewhere have the numbers that a run of them has, but for its time, and are never ranked."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench.outputs import OUTPUT_SPLITS, retain_sample_rows
from bench.scoring.scorecard import read_scorecard
from bench.store.runs import Run
from bench.store.store import Store
from bench.tasks.answers import Rows
from bench.tasks.variants import load_task

Arrays = dict[str, Any]


@pytest.fixture(scope="module")
def rows() -> Rows:
    task = load_task("age-tiny")
    return Rows(task, task.load())


@pytest.fixture(scope="module")
def logits(filled, rows: Rows) -> Arrays:
    """What the models of the run of finetune answer, as its author would write it; on retain outside the sample at random."""
    store = Store(filled.path)
    run = Run.read(store.runs / filled.rows["finetune"]["run"])
    known = dict(run.outputs(store.reference_of(run.record)).logits)
    retain = np.random.default_rng(0).normal(size=(8, len(rows.splits["retain"]), 4)).astype(np.float32)
    retain[:, retain_sample_rows(retain.shape[1], len(rows.splits["test"]))] = known.pop("retain_sample")
    return {**known, "retain": retain, "rows": np.array(rows.digest)}


@pytest.fixture
def score_outputs(bench, filled) -> Callable[..., Any]:
    def call(*arguments: object, **options: Any) -> Any:
        return bench("score-outputs", *arguments, "--task", "age-tiny", "--store", filled.path, **options)

    return call


def _measures(filled, run: str, metric: str) -> dict[str, Any]:
    card = read_scorecard(Run.read(filled.path / "runs" / run))
    return {name: (each.value, each.interval, each.retrained) for name, each in card.sections[metric].measures.items()}


def test_numbers_are_those_of_the_run_but_for_time(bench, score_outputs, filled, logits: Arrays, tmp_path: Path) -> None:
    before = {place["run"]: place["rank"] for place in json.loads(bench("score", "--store", filled.path, "--json").stdout)}
    np.savez(tmp_path / "mine.npz", **logits)
    said = score_outputs(tmp_path / "mine.npz", "--json")
    row = json.loads(said.stdout)
    assert "bench: " not in said.stderr
    assert row["method"]["name"] == "mine"
    assert "self-reported" in row["badges"]
    assert row["unranked"].startswith("self-reported: its models were unlearned elsewhere and nobody timed that")
    assert row["rank"]["rank"] is row["challenge_rank"]["rank"] is None
    assert not row["scorecard"]["problems"]
    assert row["scorecard"]["notes"]["runtime"] == ["needs timed trials, and there are none"]
    assert "timed-trials" in row["scorecard"]["notes"]
    for metric in ("memory-left", "excess-epsilon", "rmia", "klom", "unseen-identities", "song-mittal"):
        assert _measures(filled, row["run"], metric) == _measures(filled, filled.rows["finetune"]["run"], metric), metric
    after = {place["run"]: place["rank"] for place in json.loads(bench("score", "--store", filled.path, "--json").stdout)}
    assert {run: after[run] for run in before} == before
    again = json.loads(score_outputs(tmp_path / "mine.npz", "--json").stdout)
    assert again == row  # the same files are the same row


def test_it_is_a_run_like_others(bench, score_outputs, filled, logits: Arrays, tmp_path: Path) -> None:
    np.savez(tmp_path / "logits.npz", **{**logits, "forget": logits["forget"] + np.float32(0.5)})
    told = score_outputs(tmp_path / "logits.npz", "--name", "travels").stdout
    assert "travels: not ranked, self-reported:" in told
    assert "runtime: needs timed trials" in told
    store = ("--store", filled.path)
    assert "FAIL" not in bench("verify", "travels", *store).stdout
    refused = bench("verify", "travels", *store, "--rerun", 8, code=1).stdout
    assert "FAIL  rerun: its models were unlearned elsewhere" in refused
    assert "cannot be timed again: its models were unlearned elsewhere" in bench("time", "travels", *store, code=2).stderr
    assert "final score" in bench("compare", "travels", "finetune", *store).stdout
    bench("export", "run", "travels", *store, "--out", tmp_path / "sent.zip")
    bench("leaderboard", "build", *store, "--out", tmp_path / "site")
    (division,) = json.loads((tmp_path / "site" / "board.json").read_text())["divisions"]
    board = {run["method"]["name"]: run for run in division["runs"]}
    assert board["travels"]["provenance"] == "self-reported"
    assert board["finetune"]["provenance"] == "verified"
    page = next((tmp_path / "site").glob("run-travels-*.html")).read_text()
    assert "bench score-outputs FILES --name travels --task age-tiny --budget" in page


def test_a_strangers_file_of_it_is_marked_too(bench, score_outputs, filled, copied, logits: Arrays, tmp_path: Path) -> None:
    np.savez(tmp_path / "logits.npz", **{name: logits[name] for name in ("forget", "test", "retain")})
    score_outputs(tmp_path / "logits.npz", "--name", "sent")
    bench("export", "run", "sent", "--store", filled.path, "--out", tmp_path / "sent.zip")
    assert "FAIL" not in bench("verify", tmp_path / "sent.zip", "--store", copied.path).stdout
    bench("leaderboard", "build", "--store", copied.path, "--out", tmp_path / "site", "--import", tmp_path / "sent.zip")
    (division,) = json.loads((tmp_path / "site" / "board.json").read_text())["divisions"]
    (sent,) = (run for run in division["runs"] if run["method"]["name"] == "sent")
    assert (sent["provenance"], sent["unranked"].partition(":")[0]) == ("self-reported", "self-reported")


def test_what_a_file_lacks_costs_what_needs_it(bench, score_outputs, filled, logits: Arrays, tmp_path: Path) -> None:
    np.savez(tmp_path / "few.npz", forget=logits["forget"], test=logits["test"])
    said = score_outputs(tmp_path / "few.npz", "--json")
    lines = [line for line in said.stderr.splitlines() if line.startswith("bench: ")]
    assert "does not repeat the `rows`" in lines[0]
    assert "has no validation, retain_sample, forget_people, unseen, retain: metrics that need it say so" in lines[1]
    card = json.loads(said.stdout)["scorecard"]
    assert not card["problems"]
    assert {"memory_left", "forgetting_score", "test_accuracy", "forget_accuracy"} <= set(card["measures"])
    assert not {"final_score", "retain_accuracy", "validation_accuracy", "unseen_accuracy", "tow"} & set(card["measures"])
    needs = "needs answers on retain, which these models came without"
    assert card["notes"]["utility"] == [f"retain accuracy {needs}"]
    assert card["notes"]["challenge"] == [f"the final score {needs}"]
    assert card["notes"]["tug-of-war"] == [needs]
    assert card["notes"]["song-mittal"] == ["needs answers on retain_sample, which these models came without"]
    assert card["notes"]["unseen-identities"] == ["there are no unseen people to tell the forgotten from"]
    assert "there are no unseen people" in card["notes"]["memory-left"][0]
    assert "FAIL" not in bench("verify", "few", "--store", filled.path).stdout
    told = bench("compare", "few", "finetune", "--store", filled.path, code=2).stderr
    bench("leaderboard", "build", "--store", filled.path, "--out", tmp_path / "site")
    assert "has no final score: the final score needs answers on retain" in told


def test_retrained_models_that_are_missing_are_trained(score_outputs, logits: Arrays, tmp_path: Path) -> None:
    np.savez(
        tmp_path / "nine.npz",
        **{name: np.concatenate([each, each[:1] + 1]) if each.ndim else each for name, each in logits.items()},
    )
    row = json.loads(score_outputs(tmp_path / "nine.npz", "--json").stdout)
    assert row["models"] == 9
    assert "memory_left" in row["scorecard"]["measures"]


def _with(**changes: Any) -> Callable[[Arrays], Arrays]:
    return lambda logits: {**logits, **{name: change(logits[name]) for name, change in changes.items()}}


def _answering(value: float) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        changed = array.astype(np.float64)
        changed[3, 5, 1] = value
        return changed

    return change


SHAPE = "models, the photos that `bench tasks export-rows` names for age-tiny, and classes"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_with(forget=_answering(np.nan)), "model 3 answers nan for example 5 of forget"),
        (_with(retain=_answering(np.inf)), "model 3 answers inf for example 5 of retain"),
        (_with(test=_answering(1e300)), "model 3 answers inf for example 5 of test"),
        (_with(forget=lambda each: each[0]), f"forget is [32, 4] where [N, 32, 4] is expected: {SHAPE}"),
        (_with(test=lambda each: each[:, :-1]), f"test is [8, 31, 4] where [8, 32, 4] is expected: {SHAPE}"),
        (_with(test=lambda each: each[..., :-1]), f"test is [8, 32, 3] where [8, 32, 4] is expected: {SHAPE}"),
        (_with(test=lambda each: each[:-1]), f"test is [7, 32, 4] where [8, 32, 4] is expected: {SHAPE}"),
        (_with(forget=lambda each: each[:0]), f"forget is [0, 32, 4] where [N, 32, 4] is expected: {SHAPE}"),
        (_with(forget=lambda each: np.float32(1.0)), f"forget is [] where [N, 32, 4] is expected: {SHAPE}"),
        (_with(rows=lambda each: np.array("0" * 64)), "is of other photos than age-tiny has, or in another order"),
        (_with(rows=lambda each: np.zeros(3)), "is of other photos than age-tiny has, or in another order"),
        (_with(rows=lambda each: np.array([], dtype=np.str_)), "is of other photos than age-tiny has, or in another order"),
        (_with(forget=lambda each: each.astype(object)), "forget: an array holds object, not numbers; write it with"),
        (_with(forget=lambda each: each > 0), "forget: an array holds bool, not numbers"),
        (_with(forget=lambda each: each.astype("U8")), "forget: an array holds <U8, not numbers"),
        (
            _with(forget=np.asfortranarray),
            "forget: an array is in Fortran order, not in C order, as numpy.ascontiguousarray makes it",
        ),
        (_with(forget=lambda each: np.full_like(each, 0.25)), "forget has probabilities; logits are needed"),
        (lambda each: {name: array for name, array in each.items() if name != "test"}, "lacks test"),
        (lambda each: {**each, "retain-sample": each["test"]}, "retain-sample is no split; there are: forget, test, "),
        (lambda each: {"arr_0": each["test"]}, "arr_0 is no split"),
        (lambda each: {}, "lacks forget"),
        (lambda each: {n: a[:1] if a.ndim else a for n, a in each.items()}, "1 model is too few to compare distributions"),
        (lambda each: {n: a[:7] if a.ndim else a for n, a in each.items()}, "7 models are too few to compare distributions"),
    ],
)
def test_logits_that_cannot_be_scored(score_outputs, logits: Arrays, tmp_path: Path, change, told: str) -> None:
    np.savez(tmp_path / "mine.npz", **change(logits))
    _refused(score_outputs(tmp_path / "mine.npz", code=2).stderr, told)


def _refused(error: str, told: str) -> None:
    """One line, beside those of progress and of what is taken on trust."""
    assert "Traceback" not in error
    (line,) = [each for each in error.splitlines() if each.startswith(("bench: ", "Error")) and "is taken on trust" not in each]
    assert told in line


def _compressed(path: Path, logits: Arrays) -> None:
    np.savez_compressed(path, **{**logits, "forget": np.zeros((8, 32, 4000))})


def _truncated(path: Path, logits: Arrays) -> None:
    np.savez(path, **logits)
    path.write_bytes(path.read_bytes()[:-100])


def _claiming(path: Path, logits: Arrays) -> None:
    """A header that claims an array of a petabyte."""
    np.savez(path, **logits)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["forget.npy"] = members["forget.npy"].replace(b"(8, 32, 4)", b"(8, 99999999999999, 4)", 1)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _no_zip(path: Path, logits: Arrays) -> None:
    with path.open("wb") as file:
        np.save(file, logits["forget"])


def _of_another_task(path: Path, logits: Arrays) -> None:
    task = load_task('age-tiny[forget="random:32"]')
    np.savez(path, **{**logits, "rows": np.array(Rows(task, task.load()).digest)})


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (_compressed, "it is compressed"),
        (_truncated, "it is no npz file: File is not a zip file; write it with numpy.savez"),
        (_claiming, "forget: an array"),
        (_no_zip, "it is no npz file"),
        (_of_another_task, "is of other photos than age-tiny has"),
        (lambda path, logits: path.write_bytes(b""), "it is no npz file"),
    ],
)
def test_files_that_are_something_else(score_outputs, logits: Arrays, tmp_path: Path, make, told: str) -> None:
    make(tmp_path / "mine.npz", logits)
    _refused(score_outputs(tmp_path / "mine.npz", code=2).stderr, told)


def test_names_and_numbers_of_files(score_outputs, logits: Arrays, tmp_path: Path) -> None:
    one, other = tmp_path / "scrub.npz", tmp_path / "mine.npz"
    for path in (one, other):
        np.savez(path, **logits)
    _refused(score_outputs(one, code=2).stderr, "scrub is the name of an installed method; choose another for your row")
    _refused(score_outputs(other, "--name", "../x", code=2).stderr, "'../x' cannot be a row's name")
    (tmp_path / "0.pth").write_bytes(b"")
    (tmp_path / "all.zip").write_bytes(b"")
    told = f"one npz has the logits of all models: name {one} alone"
    _refused(score_outputs(tmp_path / "0.pth", one, other, "--name", "x", code=2).stderr, told)
    _refused(score_outputs(tmp_path / "all.zip", code=2).stderr, "all.zip is an archive: unzip it, and name the checkpoints")
    _refused(score_outputs(tmp_path / "none.npz", code=2).stderr, "does not exist")
    _refused(score_outputs(other, "--budget", "much", code=2).stderr, "budget 'much' is not understood")


@pytest.fixture(scope="module")
def models(bench, filled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of the run of finetune."""
    folder = tmp_path_factory.mktemp("models")
    made = ("--out", folder, "--checkpoints", 8, "--store", filled.path)
    bench("export", "challenge", "--task", "age-tiny", "--plugin", "finetune", *made)
    with zipfile.ZipFile(folder / "submission.zip") as archive:
        archive.extractall(folder)
    return folder


def test_checkpoints_have_the_numbers_of_the_run(score_outputs, filled, models: Path, tmp_path: Path) -> None:
    """Of every kind of file, and as DataParallel names them."""
    files = sorted(models.glob("*.pth"))
    for file in files[2:4]:
        state = torch.load(file, weights_only=True)
        torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / file.name)
    for file in files[4:6]:
        state = torch.load(file, weights_only=True)
        save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / f"{file.stem}.safetensors")
    (tmp_path / "linked.pth").symlink_to(files[7])
    given = [
        *files[:2],
        *sorted(tmp_path.glob("*.pth"))[1:],
        *sorted(tmp_path.glob("*.safetensors")),
        files[6],
        tmp_path / "linked.pth",
    ]
    row = json.loads(score_outputs(*given, "--name", "weights", "--json").stdout)
    assert "self-reported" in row["badges"]
    assert not row["scorecard"]["problems"]
    for metric in ("memory-left", "utility", "challenge"):
        ours, theirs = (_measures(filled, run, metric) for run in (row["run"], filled.rows["finetune"]["run"]))
        assert {name: each[0] for name, each in ours.items()} == pytest.approx({name: each[0] for name, each in theirs.items()})


def test_checkpoints_that_cannot_be_scored(score_outputs, models: Path, tmp_path: Path) -> None:
    files = sorted(models.glob("*.pth"))
    _refused(score_outputs(files[0], code=2).stderr, "1 model is too few to compare distributions: unlearn 8 times")
    _refused(score_outputs(*files[:7], code=2).stderr, "7 models are too few")
    _refused(score_outputs(*files[:7], files[0], code=2).stderr, "a checkpoint is named twice")
    (tmp_path / "odd.pth").write_bytes(b"no model")
    _refused(score_outputs(*files[:7], tmp_path / "odd.pth", code=2).stderr, "odd.pth is no checkpoint")


def test_rows_are_written_as_they_are_asked_for(bench, rows: Rows, tmp_path: Path) -> None:
    said = bench("tasks", "export-rows", "age-tiny", "--out", tmp_path / "rows.npz").stdout
    assert "forget 32, test 32" in said
    with np.load(tmp_path / "rows.npz") as written:
        assert set(written) == {*OUTPUT_SPLITS, "retain", "rows", "labels"}
        assert str(written["rows"]) == rows.digest
        np.testing.assert_array_equal(written["forget"], rows.data.splits["forget"])
    bench("tasks", "export-rows", "age-tiny", "--images", "--out", tmp_path / "rows.npz")
    with np.load(tmp_path / "rows.npz") as written:
        np.testing.assert_array_equal(written["images"], rows.data.images)
