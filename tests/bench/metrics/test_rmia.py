"""RMIA against a double loop over the paper's definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax
from sklearn.metrics import roc_auc_score, roc_curve

from bench.metrics.membership import halves_of_test
from bench.metrics.metric import Evidence, Models
from bench.metrics.rmia import RMIA, chosen_offline, relative_likelihoods, rmia_scores, scores_against_test
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import shifted


@settings(max_examples=40)
@given(arrays(np.float64, (2, 4), elements=st.floats(0, 1)), arrays(np.float64, 4, elements=st.floats(0, 1)))
def test_relative_likelihoods(probabilities: np.ndarray, reference: np.ndarray) -> None:
    """Pr(x) = ((1 + a) Pr_out(x) + (1 - a)) / 2 with a = .3: models with x are guessed from models without."""
    for m, n in np.ndindex(2, 4):
        with_x = 0.3 * reference[n] + 1 - 0.3  # what the paper's linear guess makes of models with x
        expected = probabilities[m, n] / ((with_x + reference[n]) / 2)
        assert relative_likelihoods(probabilities, reference)[m, n] == pytest.approx(expected)


@settings(max_examples=60)
@given(
    arrays(np.float64, (2, 5), elements=st.integers(0, 4).map(float) | st.floats(0, 5)),
    arrays(np.float64, (2, 7), elements=st.integers(0, 4).map(float)),
)
def test_scores_are_shares_of_dominated_examples(ratios: np.ndarray, population: np.ndarray) -> None:
    for m, n in np.ndindex(2, 5):
        dominated = sum(1 for z in population[m] if ratios[m, n] > 1.0 * z)
        assert rmia_scores(ratios, population)[m, n] == pytest.approx(dominated / 7)


@pytest.mark.independent
def test_a_is_chosen_on_the_original() -> None:
    """The grid's best by scikit-learn's area, in a loop."""
    population = Population.draw(40, 5)
    retrained, original = population.retrained(6), population.original()
    areas = []
    for tenths in range(11):
        members, negatives = scores_against_test(original, retrained, tenths / 10)
        areas.append(roc_auc_score([1] * members.size + [0] * negatives.size, [*members[0], *negatives[0]]))
    assert chosen_offline(original, retrained) == int(np.argmax(np.round(areas, 12))) / 10
    assert chosen_offline(None, retrained) == 0.3
    unlearned = population.case(shifted(1.0), retrained)
    found = RMIA().score(Evidence(unlearned, retrained, UNTIMED, original=original))
    chosen = RMIA(chosen_offline(original, retrained)).values(unlearned, retrained)
    assert found.estimates["rmia_auc"].value == pytest.approx(chosen["rmia_auc"].mean())
    assert found.notes == (f"a = {chosen_offline(original, retrained):.1f}, chosen on the original model",)


def attacked(models: Models, retrained: Models, m: int, leave_out: int | None) -> tuple[float, float]:
    """AUC and TPR at 1 % of one model, in plain loops; a retrained model is not among its own references."""
    population, others = halves_of_test(retrained)

    def ratio(split: str, n: int) -> float:
        def probability(side: Models, model: int) -> float:
            return float(softmax(side.outputs.logits[split][model, n].astype(float))[side.labels[split][n]])

        references = [probability(retrained, model) for model in range(len(retrained)) if model != leave_out]
        return probability(models, m) / (0.65 * np.mean(references) + 0.35)

    ratios_z = [ratio("test", n) for n in population]

    def score(split: str, n: int) -> float:
        return float(np.mean([ratio(split, n) / z > 1 for z in ratios_z]))

    members = [score("forget", n) for n in range(len(models.labels["forget"]))]
    negatives = [score("test", n) for n in others]
    truth, scores = [1] * len(members) + [0] * len(negatives), members + negatives
    curve = roc_curve(truth, scores, drop_intermediate=False)
    return float(roc_auc_score(truth, scores)), max(t for f, t in zip(*curve[:2], strict=True) if f <= 0.01 + 1e-12)


@pytest.mark.independent
def test_metric_is_a_loop_over_models() -> None:
    population = Population.draw(10, 0)
    retrained = population.retrained(4)
    unlearned = population.case(shifted(1.0), retrained)
    cases = [(unlearned, None), (retrained, 2)]
    for models, leave_out in cases:
        found = RMIA().values(models, retrained)
        expected = attacked(models, retrained, 2, leave_out)
        assert found["rmia_auc"][2] == pytest.approx(expected[0])
        assert found["rmia_tpr_1"][2] == pytest.approx(expected[1])
    assert RMIA().score(Evidence(unlearned, retrained, UNTIMED)).estimates["rmia_auc"].value == pytest.approx(
        RMIA().values(unlearned, retrained)["rmia_auc"].mean()
    )


def test_retrained_models_get_what_a_retrained_run_gets() -> None:
    """Leaving a retrained model out of its own references takes the advantage away that it would have."""
    gaps = []
    for seed in range(12):
        population = Population.draw(40, seed)
        retrained = population.retrained(8)
        run = RMIA().values(population.retrained(8), retrained)["rmia_auc"].mean()
        gaps.append(run - RMIA().values(retrained, retrained)["rmia_auc"].mean())
    assert np.mean(gaps) == pytest.approx(0, abs=4 * np.std(gaps) / np.sqrt(12))
    assert np.std(gaps) < 0.03


def test_sees_members_under_the_original_model() -> None:
    population = Population.draw(200, 1)
    baseline = RMIA().baseline(population.retrained(8), population.original())
    assert baseline.original["rmia_auc"].value > baseline.retrained["rmia_auc"].value + 0.15


def test_vanishing_probabilities_stay_finite() -> None:
    population = Population.draw(10, 2)
    retrained = population.retrained(4)
    unlearned = population.case(lambda fresh, reference: fresh.forget - 5000.0, retrained)
    found = RMIA().values(unlearned, retrained)
    assert found["rmia_auc"].tolist() == [0.0] * 4


@pytest.mark.parametrize(("examples", "known"), [(1998, False), (2000, True)])
def test_a_tenth_of_a_percent_needs_a_thousand_negatives(examples: int, known: bool) -> None:
    population = Population.draw(examples, 3)
    retrained = population.retrained(2)
    assert ("rmia_tpr_01" in RMIA().values(retrained, retrained)) == known
