"""Pictures of a division: where each run stands, what the line joins, and what a name cannot do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from bench.errors import BenchError
from bench.scoring.ceilings import Ceiling
from bench.scoring.charts import Charts, Mark, of_division, sweep
from bench.scoring.ranking import Place, Rank
from bench.scoring.rows import Row
from bench.scoring.scorecard import Measure, Scorecard, Section
from bench.store.method_records import MethodRecord
from bench.store.records import DeviceRecord, Killed, RunRecord, TaskRecord

RECORD = RunRecord(
    method=MethodRecord(name="m", spec="m", hyper_parameters={}, source_hash="0" * 64, control=False, reference_models=()),
    task=TaskRecord(name="t", key="f" * 64),
    reference_id="a" * 16,
    models=64,
    budget="20%",
    seed=0,
    device=DeviceRecord(kind="cpu"),
    chunks=(),
    retraining_seconds=5.0,
    allowance_seconds=1.0,
)


OTHERS = {name: Section(version=1) for name in ("flags", "timed-trials", "utility")}


def a_row(name: str, forgetting: float, kept: float, *, control: bool = False, seconds: float = 0.5, **changes: object) -> Row:
    left = 0.4 - forgetting
    values = {"forgetting_score": forgetting, "final_score": forgetting * kept, "runtime_share": seconds / 5, "memory_left": left}
    measures = {
        key: Measure(value=value, unit="", better="higher", interval=(value - 0.1, value + 0.2)) for key, value in values.items()
    }
    for split, ratio in (("retain", 1.0), ("test", kept)):
        measures[f"{split}_accuracy"] = Measure(value=ratio, unit="share", better="higher", relative=ratio)
    method = structs.replace(RECORD.method, name=name, spec=name, control=control)
    record = structs.replace(
        RECORD, method=method, timed=(Killed(trial=0, killed="", seconds=seconds, retraining=(5.0, 5.0)),), **changes
    )
    return Row(Path(name), record, Scorecard(sections={"challenge": Section(version=1, measures=measures), **OTHERS}), "")


ROWS = [
    a_row("best", 0.2, 0.95),
    a_row("useful", 0.1, 0.99),
    a_row("worse", 0.1, 0.96),
    a_row("destroyed", 0.3, 0.2),
    a_row("retrain", 0.3, 1.0, control=True),
]
PLACES = [Place(item, Rank(rank, rank, rank)) for rank, item in enumerate(ROWS[:3], 1)] + [Place(item) for item in ROWS[3:]]
TOP = Ceiling(0.3, 0.3, sets=1, deviation=0.01)


def traces(figure: object) -> dict[str, object]:
    return {trace.name: trace for trace in figure.data}


def test_runs_stand_where_their_numbers_say() -> None:
    memory, time, challenge = of_division([Mark(place, place.row.label, f"to-{place.row.label}") for place in PLACES], TOP, {})
    for chart, values, end in ((memory, [0.2, 0.3, 0.3], "least memory"), (challenge, [0.2, 0.1, 0.1], "most forgetting")):
        found = traces(chart.figure)
        assert list(found) == ["front", "method", "control", "not ranked"]
        assert list(found["method"].x) == [0.95, 0.99, 0.96]
        assert list(found["method"].y) == pytest.approx(values)
        assert list(found["method"].error_y.array) == pytest.approx([0.2] * 3)
        assert list(found["method"].customdata) == ["to-best", "to-useful", "to-worse"]
        assert list(found["front"].x) == [0.99, 0.95]
        assert list(found["front"].y) == pytest.approx([values[1], values[0]])
        assert f"from most utility to {end}: useful, best." in chart.alternative
    assert list(traces(time.figure)["method"].x) == [0.1] * 3
    assert "best has the least memory left" in time.alternative
    levels = [shape.y0 for chart in (memory, challenge) for shape in chart.figure.layout.shapes]
    (limit,) = time.figure.layout.shapes
    assert levels == [0.0, 0.3]
    assert (limit.x0, limit.x1) == (0.2, 0.2)


def test_less_than_nothing_left_is_no_better_than_more() -> None:
    """The front is of absolute values: -.2 is as far from retraining as .2."""
    rows = [a_row("less", 0.6, 0.99), a_row("little", 0.35, 0.97), a_row("more", 0.3, 0.96)]
    chart = of_division([Mark(Place(item, Rank(1, 1, 3)), item.label) for item in rows], None, {})[0]
    assert "from most utility to least memory: less, little." in chart.alternative
    assert list(traces(chart.figure)["front"].y) == pytest.approx([-0.2, 0.05])


def test_a_name_is_text() -> None:
    item = a_row("<b>&amp;</b>" + "x" * 100, 0.1, 1.0)
    chart = of_division([Mark(Place(item, Rank(1, 1, 1)), item.label)], None, {})[0]
    (label,) = traces(chart.figure)["method"].text
    assert label.startswith("&lt;b&gt;&amp;amp;&lt;/b&gt;xxx")
    assert "<" not in label


def test_methods_at_several_budgets_have_a_line_each() -> None:
    fitted = structs.replace(RECORD.method, name="best", spec="best", hyper_parameters={"epochs": 1})
    best = a_row("best", 0.1, 0.5, budget="10%")
    smaller = [replace(best, record=structs.replace(best.record, method=fitted)), a_row("once", 0.1, 0.5, budget="10%")]
    several = sweep([*ROWS, *smaller])
    assert list(several) == ["best"]
    chart = of_division([Mark(place, place.row.label) for place in PLACES], TOP, several)[-1]
    (line,) = chart.figure.data
    assert (line.name, list(line.x), list(line.y)) == ("best", [0.1, 0.2], pytest.approx([0.3, 0.2]))
    assert line.mode == "lines+markers"


def test_a_method_that_is_the_same_at_every_budget_is_a_point() -> None:
    several = sweep([*ROWS, a_row("best", 0.2, 0.5, budget="40%")])
    chart = of_division([Mark(place, place.row.label) for place in PLACES], TOP, several)[-1]
    (point,) = chart.figure.data
    assert (point.mode, list(point.x), list(point.y)) == ("markers", [0.1], pytest.approx([0.2]))  # half a second of five


def test_nothing_scored_has_no_picture() -> None:
    failed = Row(Path("x"), RECORD, None, "it failed")
    assert of_division([Mark(Place(failed), "x")], None, {}) == []
    with pytest.raises(BenchError, match="nothing to draw; `bench score`"):
        Charts.of([Place(failed)], [failed])


def test_a_notebook_shows_one_below_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    from plotly.graph_objects import Figure

    shown = []
    monkeypatch.setattr(Figure, "show", lambda figure: shown.append(figure.layout.title.text))
    found = Charts.of(PLACES, ROWS)
    found._ipython_display_()
    assert shown == [
        "Memory left against utility",
        "Memory left against time",
        "The challenge's score: forgetting against utility",
    ]
    assert repr(found[:2]) == "Plotly figures: Memory left against utility, Memory left against time"
    assert repr(found[1:2]) == "Plotly figures: Memory left against time"
    assert found[0].layout.title.text == shown[0]
