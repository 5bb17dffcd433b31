"""Columns of tables: who has one, in which order, what stands in it, and what retrained models get."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.metrics.installed import installed_metrics
from bench.metrics.quantity import RESERVED_NAMES
from bench.scoring import frames
from bench.scoring.ceilings import Ceiling, ceiling
from bench.scoring.columns import CEILING_SHARE, UTILITY_KEPT, Column, columns, target, utility_kept, values, written
from bench.scoring.ranking import places
from bench.scoring.rows import Row, row
from bench.scoring.scorecard import Measure, Presentation, Scorecard, Section
from bench.scoring.scorer import Scorer


@pytest.fixture(scope="module")
def scored(shared_drawn) -> Row:
    run = shared_drawn.add("columns", shared_drawn.shifted(0.5))
    Scorer.of(shared_drawn.store, run).score(run, installed_metrics()[0])
    return row(run)


def a_section(*asked: tuple[str, str, str], unit: str = "share") -> Section:
    """A metric with quantities (name, family, table)."""
    return Section(
        version=1,
        measures={name: Measure(value=0.5, unit=unit, better="higher", retrained=0.25) for name, _, _ in asked},
        quantities={name: Presentation(title=name, family=family, table=table) for name, family, table in asked},
    )


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (0.12345, "score", 4, "0.1235"),
        (-0.00001, "nats", 3, "-0.000"),
        (1.0, "examples", 0, "1"),
        (0.004, "of budget", 2, "0 %"),
        (-0.004, "of the original's", 2, "0 %"),
        (1.234, "of retraining", 3, "123.4 %"),
        (12.345, "seconds", 2, "12.35 s"),
        (0.0, "bytes", 0, "0 B"),
        (999.0, "bytes", 0, "999 B"),
        (1000.0, "bytes", 0, "1.0 kB"),
        (2.5e9, "bytes", 0, "2.5 GB"),
        (4e17, "bytes", 0, "400000 TB"),
        (123456.789, "points", 3, "123457"),
        (1.7e308, "points", 0, f"{1.7e308:.0f}"),
    ],
)
def test_numbers_are_written_as_people_read_them(value: float, unit: str, decimals: int, text: str) -> None:
    assert written(value, unit, decimals) == text


def test_columns_come_by_table_family_and_metric() -> None:
    card = Scorecard(
        sections={
            "z": a_section(("late", "other", "evidence"), ("score", "forgetting", "results")),
            "b": a_section(("second", "attack", "evidence"), ("kept", "utility", "results")),
            "a": a_section(("first", "attack", "evidence"), ("hidden", "attack", "")),
        }
    )
    keys = [column.key for column in columns([card])]
    assert keys == ["score", CEILING_SHARE.key, UTILITY_KEPT.key, "kept", "first", "second", "late"]


def test_the_first_run_that_has_a_number_says_how_it_is_shown() -> None:
    one, other = (Scorecard(sections={"m": a_section(("same", "other", "results"), unit=unit)}) for unit in ("s", "t"))
    assert [column.unit for column in columns([Scorecard(), one, other])] == ["s"]
    assert columns([]) == []


def test_parts_of_a_quantity_have_a_column_each() -> None:
    section = a_section(("group", "utility", "results"))
    parts = Section(version=1, measures={f"group.{n}": section.measures["group"] for n in (0, 1)}, quantities=section.quantities)
    assert [column.title for column in columns([Scorecard(sections={"m": parts})])] == ["group 0", "group 1"]


def test_numbers_that_rows_are_ranked_by_come_first(scored: Row) -> None:
    assert [column.key for column in columns([scored.scorecard])][:2] == ["memory_left", "final_score"]


def test_ours_fill_both_tables(scored: Row) -> None:
    found = columns([scored.scorecard])
    assert {column.table for column in found} == {"results", "evidence"}
    assert {"final_score", "forgetting_score", "retain_accuracy", "runtime", "p_value", "ulira_auc"} <= {
        each.key for each in found
    }
    cells = values(scored, found, Ceiling(0.2, 0.21, sets=1))
    assert cells["final_score"] == scored.value("final_score")
    assert cells["ceiling_share"] == scored.value("forgetting_score") / 0.2
    assert cells["utility_kept"] == utility_kept(scored)
    assert values(scored, found, None)["ceiling_share"] is None


def test_what_retrained_models_get(scored: Row) -> None:
    shown = columns([scored.scorecard])
    top = ceiling([scored])
    found = target([scored], shown, top)
    assert found["forgetting_score"] == top.value
    assert found["ceiling_share"] == found["utility_kept"] == found["runtime_share"] == 1.0
    assert found["runtime"] == scored.record.retraining_seconds
    assert found["ulira_auc"] == scored.measure("ulira_auc").retrained
    assert found["budget_share"] is None
    assert target([scored], shown, None)["ceiling_share"] is None


def test_nothing_that_tables_have_anyway_is_the_name_of_a_number(scored: Row) -> None:
    """`RESERVED_NAMES` is what a metric may not take; here is who took them first."""
    from bench_leaderboard import tables

    own = set(frames.of_places([("division", places([scored])[0])]).columns) - set(scored.scorecard.measures)
    board = {tables.SEED.key, tables.PACKAGE.key, CEILING_SHARE.key, UTILITY_KEPT.key}
    assert own | board <= RESERVED_NAMES


def test_a_cell_without_a_number_is_empty() -> None:
    column = Column("key", "title", "meaning", "seconds", 2)
    assert (column.shown(None), column.shown(None, "-"), column.shown(1.0)) == ("", "-", "1.00 s")


def test_utility_is_known_only_beside_retrained_models() -> None:
    measures = {f"{split}_accuracy": Measure(value=0.5, unit="share", better="higher") for split in ("retain", "test")}
    card = Scorecard(sections={"utility": Section(version=1, measures=measures)})
    assert utility_kept(Row(Path("x"), None, card, "")) is None
