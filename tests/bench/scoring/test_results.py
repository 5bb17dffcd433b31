"""Results of a call and the board of a store, for whoever asks in Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from bench.errors import BenchError
from bench.metrics.forgetting import epsilons
from bench.progress import Progress
from bench.scoring.results import Board, Results, load
from bench.store.files import write_record


@pytest.fixture(scope="module")
def results(shared_drawn) -> Results:
    models = shared_drawn.shifted(1.0), shared_drawn.shifted(0.2)
    runs = [shared_drawn.add(name, each) for name, each in zip(("api-far", "api-near"), models, strict=True)]
    found = Results(shared_drawn.store, runs)
    found.score(Progress())
    return found


def test_results_are_found_by_place_method_and_run(results: Results) -> None:
    assert len(results) == 2
    assert [result.name for result in results] == ["api-far", "api-near"]
    assert results[1].name == results["api-near"].name == results["api-near-0123456789ab"].name == "api-near"


def test_a_misspelt_name_gets_a_suggestion(results: Results) -> None:
    with pytest.raises(BenchError, match=r"unknown run 'api-fair'; did you mean api-far\?"):
        results["api-fair"]


def test_numbers_are_those_of_the_stored_outputs(shared_drawn, results: Results) -> None:
    result = results["api-far"]
    unlearned = result.outputs("forget")
    assert unlearned.shape == (16, 30, 10)
    retrained = shared_drawn.retrained.confidence
    fresh = type(shared_drawn.retrained)(result.run.outputs(shared_drawn.reference), shared_drawn.reference.labels())
    assert result.epsilons().tolist() == epsilons(fresh.confidence, retrained).tolist()
    assert np.array_equal(result.retrained("forget"), shared_drawn.retrained.outputs.logits["forget"])
    for call in (result.outputs, result.retrained):
        with pytest.raises(BenchError, match=r"unknown split 'forgt'; did you mean forget\?"):
            call("forgt")


def test_a_frame_has_a_row_per_run_and_the_unit_of_every_number(results: Results) -> None:
    frame = results.frame()
    assert frame["method"].tolist() == ["api-far", "api-near"]
    card = results[0].scorecard
    assert set(card.measures) <= set(frame.columns)
    assert frame["final_score"][0] == card.measures["final_score"].value
    assert frame.attrs["units"] == {name: measure.unit for name, measure in card.measures.items()}


def test_a_board_ranks_its_divisions(results: Results) -> None:
    board = load(results.store.path)
    (division,) = [name for name in board.divisions if "drawn, 16 models" in name]
    frame = board.frame(division)
    assert set(frame["division"]) == {division}
    ranked = frame.dropna(subset="rank")
    assert ranked["memory_left"].abs().is_monotonic_increasing
    assert ranked.sort_values("challenge_rank")["final_score"].is_monotonic_decreasing
    assert (ranked["rank_best"] <= ranked["rank"]).all()
    assert len(board.frame()) >= len(frame)
    with pytest.raises(BenchError, match="unknown division"):
        board.frame("nothing like it at all")


def test_two_runs_are_compared(results: Results) -> None:
    found = Board(results.store).compare("api-near", "api-far", Progress())
    for verdict in (found.memory_left, found.final_score):
        assert verdict
        assert found.better(verdict).label == "api-near"
        assert verdict.distinguishable
        assert verdict.difference == verdict.values[0] - verdict.values[1]
    assert "memory left" in repr(found)
    assert "api-near is better" in repr(found)


def test_a_run_without_a_score_says_why(shared_drawn, results: Results) -> None:
    result = Results(shared_drawn.store, [shared_drawn.add("api-unscored", shared_drawn.shifted(2.0))])[0]
    assert result.scorecard is None
    assert "not scored yet" in result.failure
    assert result.epsilons().size == 0


def test_what_is_no_store_is_refused(tmp_path) -> None:
    with pytest.raises(BenchError, match="is no folder of results; `bench run` makes one"):
        load(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="is no folder of results"):
        load(tmp_path / "file")


def test_a_board_has_its_pictures(results: Results) -> None:
    board = load(results.store.path)
    (division,) = [name for name in board.divisions if "drawn, 16 models" in name]
    pictures = board.plot(division)
    named = [text for trace in pictures[0].data for text in trace.text or ()]
    assert {"api-far", "api-near"} <= set(named)
    assert len(board.plot()) == len(pictures)
    with pytest.raises(BenchError, match="unknown division 'draw'; there are: drawn, 16 models"):
        board.plot("draw")


def test_a_board_without_runs_has_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="has no runs"):
        load(tmp_path).plot()


def test_divisions_that_read_the_same_are_both_there(drawn) -> None:
    """Of one name, but compared with other retrained models."""
    one, other = (drawn.add(name, drawn.shifted(0.5)) for name in ("one", "other"))
    write_record(other.folder / "run.json", structs.replace(other.record, reference_id="b" * 16))
    board = load(drawn.store.path)
    assert sorted(board.frame()["method"]) == ["one", "other"]
    assert [name.partition(", reference ")[2] for name in board.divisions] == [one.record.reference_id[:8], "b" * 8]
    for name in board.divisions:
        assert len(board.frame(name)) == 1
