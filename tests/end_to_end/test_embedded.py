"""The embedded task with the reference that comes with the package, and the methods that a first user meets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

CONTROLS, PLUGINS = ("original", "retrain"), ("finetune", "scrub", "noise-injection")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embedded")


def _run(bench, store: Path, plugins: Sequence[str], models: int) -> dict[str, dict]:
    asked = [word for name in plugins for word in ("--plugin", name)]
    said = bench("run", *asked, "--models", models, "--store", store, "--json").stdout
    return {row["method"]["name"]: row for row in json.loads(said)}


@pytest.fixture(scope="module")
def rows(bench, store: Path) -> dict[str, dict]:
    """Of the rows that need no trials."""
    return _run(bench, store, CONTROLS, 16)


def _measure(row: dict, name: str) -> float:
    return row["scorecard"]["measures"][name]["value"]


def test_embedded_task_is_worth_unlearning_on(rows) -> None:
    forget = rows["original"]["scorecard"]["measures"]["forget_accuracy"]
    assert forget["value"] > 0.9
    assert forget["retrained"] < 0.45
    assert 0.15 <= _measure(rows["retrain"], "forgetting_score") <= 0.23


def test_a_method_is_better_than_nothing_and_worse_than_retraining(bench, store: Path) -> None:
    rows = _run(bench, store, (*CONTROLS, "noise-injection"), 8)
    assert 0.0 == _measure(rows["original"], "final_score") < _measure(rows["noise-injection"], "final_score")
    assert _measure(rows["noise-injection"], "final_score") < _measure(rows["retrain"], "final_score")


@pytest.mark.slow
def test_order_of_final_scores(bench, store: Path) -> None:
    rows = _run(bench, store, (*CONTROLS, *PLUGINS), 8)
    final = {name: _measure(row, "final_score") for name, row in rows.items()}
    assert 0.0 < final["finetune"] < min(final["scrub"], final["noise-injection"])
    assert max(final["scrub"], final["noise-injection"]) < final["retrain"]


def test_retrained_models_look_retrained_and_the_original_does_not(rows) -> None:
    retrain, original = (rows[name]["scorecard"] for name in ("retrain", "original"))
    assert retrain["measures"]["p_value"]["value"] > 0.05
    assert abs(retrain["measures"]["ulira_auc"]["value"] - 0.5) < 0.05
    assert abs(retrain["measures"]["cross_fitted_epsilon"]["value"]) < 0.2
    assert retrain["flags"] == {}
    assert original["measures"]["p_value"]["value"] == pytest.approx(1 / 200)
    assert original["flags"].keys() == {"deterministic"}
    for attack in ("starting_kit_accuracy", "unseen_accuracy", "rmia_auc", "confidence_members", "ulira_auc"):
        assert original["measures"][attack]["self_test"] is True
