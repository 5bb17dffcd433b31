"""Records of strangers: every field has a type, a size and a pattern."""

from __future__ import annotations

from copy import deepcopy

import pytest

from bench.schemas import reference_problem, run_problem

RUN = {
    "schema_version": 1,
    "method": {
        "name": "m",
        "spec": "m[a=1]",
        "hyper_parameters": {"a": 1},
        "source_hash": "0" * 64,
        "control": False,
        "reference_models": [],
    },
    "task": {"name": "t", "key": "f" * 64},
    "reference_id": "a" * 16,
    "models": 8,
    "budget": "20%",
    "seed": 0,
    "device": {"kind": "cpu"},
    "retraining_seconds": 5.0,
    "allowance_seconds": 1.0,
    "chunks": [{"trials": [0, 1, 2, 3]}, {"trials": [7, 6, 5, 4], "file": "outputs-0004.npz", "sha256": "0" * 64}],
    "solo": [{"trial": 8, "seconds": 0.5}],
}
REFERENCE = {
    "files": {"labels.npz": "0" * 64, "retrained-0000-0007.npz": "1" * 64},
    "yardsticks": {"cpu": 5.0},
    "baselines": {},
    "stack_size": 8,
}


def test_good_records_have_no_problem() -> None:
    assert run_problem(RUN) == ""
    assert reference_problem(REFERENCE) == ""


@pytest.mark.parametrize(
    "harm",
    [
        lambda record: record.pop("method"),
        lambda record: record["method"].update(name="a\x1b[31m"),
        lambda record: record["method"].update(name="a\n"),
        lambda record: record["method"].update(name="x" * 201),
        lambda record: record["method"].update(control="no"),
        lambda record: record["task"].update(key="../../etc"),
        lambda record: record["device"].update(kind=""),
        lambda record: record.update(models=9),
        lambda record: record.update(models=10**9),
        lambda record: record.update(models="8"),
        lambda record: record.update(allowance_seconds=-1),
        lambda record: record["chunks"][1].update(file="../../outputs-0004.npz"),
        lambda record: record["chunks"][1].update(file="/etc/passwd"),
        lambda record: record["chunks"][1].update(file="outputs-0004.npz\n"),
        lambda record: record["chunks"][1].pop("sha256"),
        lambda record: record["chunks"][0].update(trials=[0, 1, 2, 2]),
        lambda record: record["chunks"][0].update(trials=[]),
        lambda record: record["chunks"][0].update(failure=7),
        lambda record: record["solo"].append({"seconds": "1"}),
        lambda record: record["solo"].append({"seconds": 1.0}),
        lambda record: record["method"].update(name="\ud800"),
        lambda record: record.update(solo=[{}] * 101),
        lambda record: record.update(environment={"torch": ["2"]}),
    ],
    ids=range(23),
)
def test_runs_that_do_not_fit(harm) -> None:
    record = deepcopy(RUN)
    harm(record)
    assert run_problem(record)


@pytest.mark.parametrize(
    "harm",
    [
        lambda record: record["files"].update({"../x.npz": "0" * 64}),
        lambda record: record["files"].update({"labels.npz": "0"}),
        lambda record: record["yardsticks"].update(cpu=0),
        lambda record: record.update(baselines=[]),
        lambda record: record.update(stack_size=0),
    ],
    ids=range(5),
)
def test_references_that_do_not_fit(harm) -> None:
    record = deepcopy(REFERENCE)
    harm(record)
    assert reference_problem(record)
