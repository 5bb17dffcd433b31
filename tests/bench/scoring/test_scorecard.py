"""Scorecards: what goes into them, and what is read of those that strangers wrote."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.errors import BenchError
from bench.metrics.metric import Baseline, Estimate, Evidence, Findings, Metric, Quantity
from bench.scoring.scorecard import VERSION, Measure, Scorecard, Section, keep_scorecard, read_scorecard, section
from bench.store.files import DamagedFileError, EarlierVersionError
from bench.store.runs import Run

Fields = dict[str, Any]


class Points(Metric):
    """Three quantities."""

    quantities = (
        Quantity("seven", "points", "higher", 0, 10, "more is better"),
        Quantity("gap", "nats", "as retrained", -math.inf, math.inf, "what retrained models get is best"),
        Quantity("attack", "share", "as retrained", 0, 1, "members that are found", attack=True),
    )
    source = pitfalls = "none"
    version = 3

    def score(self, evidence: Evidence) -> Findings:
        raise NotImplementedError


def measured(name: str, estimate: Estimate, **baseline: dict[str, Estimate]) -> Measure:
    return section(Points(), Baseline(**baseline), Findings({name: estimate})).measures[name]


CARD = Scorecard(
    sections={
        "points": Section(
            version=3,
            measures={
                "seven": Measure(value=7.0, unit="points", better="higher", interval=(6.0, 8.0), retrained=8.0, relative=0.875),
                "gap": Measure(value=1.0, unit="nats", better="as retrained", gap=0.5, gap_interval=(0.4, 0.6), self_test=True),
            },
            flags={"deterministic": "all models are equal"},
            details={"per_example": [0.5, None, 1.0]},
        ),
        "broken": Section(version=1, problem="ValueError: no luck"),
    }
)


@pytest.fixture
def run(drawn) -> Run:
    return drawn.add("run", drawn.shifted(0.0))


@pytest.fixture
def forged(run: Run, forger) -> Callable[[Callable[[Fields], object]], Run]:
    """The run with a scorecard that a stranger changed."""

    def forge(harm: Callable[[Fields], object]) -> Run:
        keep_scorecard(run, CARD)
        card = forger.read(run.folder / "scorecard.json")
        harm(card)
        forger.write(run.folder / "scorecard.json", card)
        return run

    return forge


def test_a_scorecard_is_read_as_it_was_kept(run: Run) -> None:
    assert read_scorecard(run) is None
    kept = keep_scorecard(run, CARD)
    assert kept.run == run.folder.name
    assert kept.sections == CARD.sections
    found = read_scorecard(run)
    assert found == kept
    assert found.measures.keys() == {"seven", "gap"}
    assert found.flags == {"deterministic": "all models are equal"}
    assert found.details == {"per_example": [0.5, None, 1.0]}
    assert found.problems == {"broken": "ValueError: no luck"}
    assert json.loads((run.folder / "scorecard.json").read_text())["scorecard_version"] == VERSION


def test_a_section_takes_the_place_of_the_former_one() -> None:
    card = CARD.with_section("points", Section(version=4)).with_section("other", Section(version=1))
    assert list(card.sections) == ["points", "broken", "other"]
    assert card.measures == {}
    assert CARD.sections["points"].version == 3


def test_a_number_is_in_the_section_that_came_last() -> None:
    """A metric may be installed under another name."""
    measures = CARD.sections["points"].measures
    renamed = CARD.with_section("renamed", Section(version=1, measures={"seven": measures["seven"]}))
    assert list(renamed.sections) == ["broken", "renamed"]
    assert list(renamed.measures) == ["seven"]


def test_a_scorecard_is_a_line_to_whoever_prints_it() -> None:
    assert repr(CARD) == "Scorecard of a run: 2 numbers, flags: deterministic"


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda card: card.update(scorecard_version="2"), "Expected `int`, got `str` - at `$.scorecard_version`"),
        (lambda card: card.update(scorecard_version=2.0), "Expected `int`, got `float` - at `$.scorecard_version`"),
        (lambda card: card.pop("scorecard_version"), "missing required field `scorecard_version`"),
        (lambda card: card["sections"]["points"]["measures"]["seven"].update(value="7"), "Expected `float`, got `str`"),
        (lambda card: card["sections"]["points"]["measures"]["seven"].update(value=None), "Expected `float`, got `null`"),
        (lambda card: card["sections"]["points"]["measures"]["seven"].update(value=True), "Expected `float`, got `bool`"),
        (lambda card: card["sections"]["points"]["measures"]["seven"].update(value=10**400), "Number out of range"),
        (lambda card: card["sections"]["points"]["measures"]["seven"].update(interval=[1.0]), "`array` of length 2"),
        (lambda card: card["sections"]["points"]["measures"]["seven"].update(interval=[1.0, None]), "got `null`"),
        (
            lambda card: card["sections"]["points"]["measures"]["seven"].update(retrained="x"),
            "Expected `float | null`, got `str`",
        ),
        (lambda card: card["sections"]["points"]["measures"]["seven"].update(better="sideways"), "Invalid enum value 'sideways'"),
        (lambda card: card["sections"]["points"]["measures"]["seven"].update(self_test=1), "Expected `bool | null`, got `int`"),
        (lambda card: card["sections"]["points"]["measures"]["seven"].update(unit=1), "Expected `str`, got `int`"),
        (lambda card: card["sections"]["points"]["measures"]["seven"].pop("better"), "missing required field `better`"),
        (lambda card: card["sections"]["points"]["measures"]["seven"].pop("value"), "missing required field `value`"),
        (lambda card: card["sections"]["points"].pop("version"), "missing required field `version`"),
        (lambda card: card["sections"]["points"].update(version="3"), "Expected `int`, got `str`"),
        (lambda card: card["sections"]["points"].update(measures=[]), "Expected `object`, got `array`"),
        (lambda card: card["sections"]["points"].update(flags=["a"]), "Expected `object`, got `array`"),
        (lambda card: card["sections"]["points"].update(flags={"a": 1}), "Expected `str`, got `int`"),
        (lambda card: card["sections"]["points"].update(flags={"a" * 1000: ""}), "length <= 303"),
        (lambda card: card["sections"]["points"].update(details=None), "Expected `object`, got `null`"),
        (lambda card: card["sections"]["points"].update(details={"a": ["b"]}), "Expected `float | null`, got `str`"),
        (lambda card: card["sections"]["points"].update(problem=None), "Expected `str`, got `null`"),
        (lambda card: card.update(sections=[]), "Expected `object`, got `array` - at `$.sections`"),
        (lambda card: card.update(refused=None), "Expected `str`, got `null` - at `$.refused`"),
        (lambda card: card.update(refused="a\n"), "at `$.refused`"),
        (lambda card: card.update(run="another-0123456789ab"), "it belongs to another run"),
    ],
    ids=range(28),
)
def test_hostile_scorecards_are_damaged_files(forged, harm: Callable[[Fields], object], told: str) -> None:
    with pytest.raises(DamagedFileError, match="`bench score` computes it again") as caught:
        read_scorecard(forged(harm))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fields_that_have_nothing_to_say_may_be_left_out(forged) -> None:
    def harm(card: Fields) -> None:
        for measure in card["sections"]["points"]["measures"].values():
            measure.pop("original")
        for name in ("measures", "flags", "details"):
            card["sections"]["broken"].pop(name)
        for name in ("refused", "run"):
            card.pop(name)

    found = read_scorecard(forged(harm))
    assert found == CARD


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"schema_version": 2, "scorecard_version": 2, "sections": {}, "refused": NaN}',
        '{"schema_version": 2, "scorecard_version": 2, "sections": {}, "refused": 1e999}',
        '{"schema_version": 2, "scorecard_version": 2, "sections": {}}',
        "{",
        "",
    ],
    ids=range(6),
)
def test_scorecards_that_are_no_json(run: Run, content: str) -> None:
    (run.folder / "scorecard.json").write_text(content)
    with pytest.raises(DamagedFileError, match="`bench score` computes it again"):
        read_scorecard(run)


def test_numbers_that_are_not_finite_are_no_json(run: Run) -> None:
    keep_scorecard(run, CARD)
    path = run.folder / "scorecard.json"
    path.write_text(path.read_text().replace('"value": 7.0', '"value": NaN'))
    with pytest.raises(DamagedFileError, match=r"scorecard\.json"):
        read_scorecard(run)


@pytest.mark.parametrize("text", ["a\x1b[31m", "b\n\x07c", "\u202egnp.exe", "\u2066a", "\u2028", "\u200b", "\x9b2J"])
@pytest.mark.parametrize(
    "put",
    [
        lambda section, text: section["flags"].update({text: "seen"}),
        lambda section, text: section["flags"].update({"flag": text}),
        lambda section, text: section["measures"].update({text: section["measures"]["seven"]}),
        lambda section, text: section["measures"]["seven"].update(unit=text),
        lambda section, text: section["details"].update({text: []}),
        lambda section, text: section.update(problem=text),
    ],
    ids=["flag", "seen", "measure", "unit", "detail", "problem"],
)
def test_a_strangers_words_are_printable(forged, put: Callable[[Fields, str], object], text: str) -> None:
    with pytest.raises(DamagedFileError, match="characters that do not belong there") as caught:
        read_scorecard(forged(lambda card: put(card["sections"]["points"], text)))
    assert str(caught.value).isprintable()


def test_what_is_seen_may_be_of_any_language(forged) -> None:
    seen = "größer als 5: «ça», 中文, العربية"
    assert read_scorecard(forged(lambda card: card["sections"]["points"]["flags"].update(flag=seen))).flags["flag"] == seen


def test_older_scorecards_are_as_good_as_none(forged, run: Run, forger) -> None:
    assert read_scorecard(forged(lambda card: card.update(scorecard_version=VERSION - 1))) is None
    assert read_scorecard(forged(lambda card: card.update(scorecard_version=VERSION - 1, sections=["another form"]))) is None
    forger.write(run.folder / "scorecard.json", {"scorecard_version": VERSION}, version=1)
    assert read_scorecard(run) is None


def test_newer_scorecards_are_not_touched(forged, run: Run, forger) -> None:
    for harm in (
        lambda card: card.update(scorecard_version=VERSION + 1),
        lambda card: card.update(scorecard_version=VERSION + 1, sections=["another form"]),
    ):
        with pytest.raises(BenchError, match=r"scorecard\.json was written by a newer bench; upgrade") as caught:
            read_scorecard(forged(harm))
        assert not isinstance(caught.value, DamagedFileError | EarlierVersionError)
    forger.write(run.folder / "scorecard.json", {}, version=99)
    with pytest.raises(BenchError, match=r"scorecard\.json was written by a newer bench"):
        read_scorecard(run)


def test_intervals_end_where_values_do() -> None:
    measure = measured("seven", Estimate(9.9, 5.0))
    assert measure.interval == (pytest.approx(0.1, abs=0.01), 10.0)
    assert measured("seven", Estimate(9.9)).interval is None


def test_values_stand_beside_those_of_retrained_models() -> None:
    retrained, original = {"seven": Estimate(8.0, 1.0)}, {"seven": Estimate(2.0)}
    measure = measured("seven", Estimate(6.0, 1.0), retrained=retrained, original=original)
    assert (measure.retrained, measure.original, measure.relative) == (8.0, 2.0, 0.75)
    assert (measure.gap, measure.gap_interval, measure.self_test) == (None, None, None)


def test_where_retrained_models_are_the_target_the_gap_counts() -> None:
    measure = measured("gap", Estimate(1.5, 0.3), retrained={"gap": Estimate(1.0, 0.4)})
    assert measure.gap == 0.5
    assert measure.gap_interval == pytest.approx((0.5 - 1.959964 * 0.5, 0.5 + 1.959964 * 0.5))
    assert measure.relative is None
    assert measured("gap", Estimate(1.5, 0.3), retrained={"gap": Estimate(1.0)}).gap_interval is None
    assert measured("gap", Estimate(1.5, 0.3)).gap is None


@pytest.mark.parametrize(("original", "sees"), [(Estimate(0.9, 0.1), True), (Estimate(0.6, 0.1), False), (None, None)])
def test_attacks_have_to_see_members(original: Estimate | None, sees: bool | None) -> None:
    known = {"attack": original} if original else {}
    measure = measured("attack", Estimate(0.5, 0.1), retrained={"attack": Estimate(0.5, 0.1)}, original=known)
    assert measure.self_test is sees


def test_an_attack_says_nothing_without_retrained_models() -> None:
    assert section(Points(), Baseline(), Findings({"attack": Estimate(0.5)})).measures == {}


def test_parts_of_a_quantity_are_declared_with_it() -> None:
    assert measured("seven.0", Estimate(1.0)).unit == "points"


@pytest.mark.parametrize(
    ("findings", "told"),
    [
        (Findings({"eight": Estimate(1.0)}), "eight is not among the quantities that it declares"),
        (Findings({"seven": Estimate(float("nan"))}), "seven is nan, deviation None"),
        (Findings({"seven": Estimate(1.0, float("inf"))}), "seven is 1.0, deviation inf"),
        (Findings(details={"a": [1.0, float("nan")]}), "nan is not a finite number - at `$.details.a[1]`"),
        (Findings(details={"a": ["b"]}), "Expected `float | null`, got `str`"),
        (Findings(details={"a": [True]}), "Expected `float | null`, got `bool`"),
    ],
    ids=range(6),
)
def test_wrong_answers_are_told(findings: Findings, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        section(Points(), Baseline(), findings)


@pytest.mark.parametrize("part", ["retrained", "original"])
def test_baselines_are_finite(part: str) -> None:
    with pytest.raises(ValueError, match="seven is inf"):
        measured("seven", Estimate(1.0), **{part: {"seven": Estimate(float("inf"))}})


def test_numbers_of_arrays_become_pythons_own() -> None:
    findings = Findings(
        {"seven": Estimate(np.float32(0.5), np.float64(0.1))}, details={"a": np.arange(3), "b": [np.float32(2), 1]}
    )
    found = section(Points(), Baseline({"seven": Estimate(np.float64(2.0))}, details={"c": (1, None)}), findings)
    assert found.version == 3
    assert found.details == {"a": [0.0, 1.0, 2.0], "b": [2.0, 1.0], "c": [1.0, None]}
    assert {type(value) for values in found.details.values() for value in values} == {float, type(None)}
    measure = found.measures["seven"]
    assert {type(number) for number in (measure.value, *measure.interval, measure.retrained, measure.relative)} == {float}


@pytest.mark.parametrize(
    "flag",
    ["over budget", "control", "screening", "uses clock", "smaller stacks", "reconstruction", "over\tbudget", "\x07control"],
)
def test_badges_of_the_record_are_not_a_metrics_to_raise(flag: str) -> None:
    with pytest.raises(
        ValueError, match=r"the flag '(over budget|control|screening|uses clock|smaller stacks|reconstruction)' is not a metric's"
    ):
        section(Points(), Baseline(), Findings(flags={flag: "seen"}))


def test_flags_are_printable() -> None:
    found = section(Points(), Baseline(), Findings(flags={"a\x1b[31m": "b\n\x07c", "\u202ed": "x" * 1000}))
    assert found.flags == {"a[31m": "b c", "d": "x" * 300 + "..."}
