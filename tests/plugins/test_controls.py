"""Control rows stand for reference models and train nothing."""

from bench_plugins.original import Original
from bench_plugins.retrain import Retrain


def test_original_is_the_one_original_model() -> None:
    assert list(Original().reference_models(3)) == [None, None, None]
    assert (Original.deterministic, Retrain.deterministic) == (True, False)


def test_retrain_shares_no_model_with_what_rows_are_compared_with() -> None:
    assert list(Retrain().reference_models(16)) == list(range(16, 32))
