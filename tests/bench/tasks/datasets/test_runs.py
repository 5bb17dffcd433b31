"""A dataset on disk becomes rows on the board: every layout through the command line, from the folder to the scorecard."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.models.networks import NETWORKS

FORMS = {
    "age-agedb": [],
    "age-casia-surf": ["--model", "resnet8"],  # its own network takes minutes
    "age-challenge": ["--model", "resnet8"],  # with the model that comes with it: see below
    "age-fairface": ["--forget", "random:12"],
    "age-folder": ["--forget", "group:4"],
    "age-mufac": ["--forget", "identities:4"],  # the published forget set is larger than a miniature copy
    "age-utkface": [],
    "cifar10": ["--model", "resnet8", "--forget", "file:{rows}"],
}

TRIED = ("age-utkface", "cifar10")  # with a method; of others, the row of the original model shows as much of the data
TASKS = [pytest.param(task, marks=() if task in TRIED else pytest.mark.slow) for task in FORMS]  # how each is read: test_layouts


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody needs to know much: the small network is trained for two epochs."""
    small = NETWORKS["resnet8-v1"]
    monkeypatch.setitem(NETWORKS, "resnet8-v1", replace(small, recipe=replace(small.recipe, epochs=2)))


@pytest.mark.usefixtures("briefly")
@pytest.mark.parametrize("task", TASKS)
def test_prepare_and_run(task: str, miniature, data: Path, bench, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.arange(10))
    options = [word.format(rows=tmp_path / "rows.npy") for word in FORMS[task]]
    report = json.loads(bench("tasks", "prepare", task, "--data", miniature(task), "--json").stdout)
    assert report["licence"]
    assert sum(report["images by group"].values()) == int(report["images"].split()[0])
    method = "finetune" if task in TRIED else "original"
    asked = ("--plugin", method, "--models", 8, "--task", task, *options, "--store", tmp_path / "store")
    row = next(row for row in json.loads(bench("run", *asked, "--json").stdout) if row["method"]["name"] == method)
    assert row["task"]["name"].partition("[")[0] == task
    assert set(row["task"]["remarks"]) >= set(report["remarks"][:1])
    measures = row["scorecard"]["measures"]
    assert 0 <= measures["forget_accuracy"]["value"] <= 1
    assert ("unseen_accuracy" in measures) == (report["splits"]["unseen"] > 0)


def test_the_original_model_is_the_one_that_came_with_the_data(miniature, data: Path, bench, tmp_path: Path) -> None:
    """The miniature's model has random weights: whatever was trained would know more."""
    bench("tasks", "prepare", "age-challenge", "--data", miniature("age-challenge"))
    bench("reference", "build", "--task", "age-challenge", "--models", 1, "--store", tmp_path / "store")
    (shown,) = json.loads(bench("reference", "show", "--task", "age-challenge", "--store", tmp_path / "store", "--json").stdout)
    retain = shown["accuracy"]["retain accuracy"]
    assert retain["original"] < 0.3 < retain["retrained"]


def test_what_is_not_prepared_is_said_in_one_line(data: Path, bench) -> None:
    said = bench("run", "--plugin", "finetune", "--task", "age-agedb", code=2).stderr
    assert said == "bench: age-agedb is not prepared: `bench tasks prepare age-agedb --data FOLDER` does it\n"
    said = bench("tasks", "prepare", "age-synthetic", "--data", data, code=2).stderr
    assert said.startswith("bench: task age-synthetic needs no data")
    said = bench("tasks", "prepare", "age-agedb", "--data", data, "--download", code=2).stderr
    assert said.startswith("bench: AgeDB cannot be downloaded")


def test_prepared_sizes_are_listed_and_checked(miniature, data: Path, bench) -> None:
    bench("tasks", "prepare", "age-utkface", "--data", miniature("age-utkface"), "--size", 64)
    assert "[prepared at 64 pixels]" in next(
        line for line in bench("tasks").stdout.splitlines() if line.startswith("age-utkface")
    )
    found = json.loads(bench("tasks", "check", "age-utkface", "--json").stdout)
    assert found["task"] == "age-utkface[size=64]"
    assert found["twins"]  # odd files that show somebody again
    assert any("near-duplicates" in remark for remark in found["remarks"])


@pytest.mark.usefixtures("briefly")
def test_memorised(miniature, data: Path, bench, tmp_path: Path) -> None:
    bench("tasks", "prepare", "age-folder", "--data", miniature("age-folder"))
    bench("tasks", "memorise", "age-folder", "--models", 16)
    shown = {
        kind: json.loads(bench("tasks", "show", "age-folder", "--forget", f"{kind}:10", "--json").stdout)
        for kind in ("memorised", "least-memorised")
    }
    assert shown["memorised"]["splits"]["forget"] == 10
    assert shown["memorised"]["key"] != shown["least-memorised"]["key"]


@pytest.mark.slow
def test_memorised_photos_are_those_that_retrained_models_do_not_recognise(data: Path, bench, tmp_path: Path) -> None:
    bench("tasks", "memorise", "age-synthetic", "--models", 32)
    retrained = {}
    for kind in ("memorised", "least-memorised"):
        options = ("--forget", f"{kind}:120", "--store", tmp_path / "store")
        bench("reference", "build", "--models", 8, *options)
        (shown,) = json.loads(bench("reference", "show", *options, "--json").stdout)
        assert shown["accuracy"]["forget accuracy"]["original"] > 0.9
        retrained[kind] = shown["accuracy"]["forget accuracy"]["retrained"]
    assert retrained["memorised"] < 0.2
    assert retrained["least-memorised"] > 0.9
