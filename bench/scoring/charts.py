"""Pictures of a division: what is remembered against what is kept, and against time, and what a larger budget brings."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from bench.errors import BenchError
from bench.scoring.ceilings import Ceiling, ceiling
from bench.scoring.columns import utility_kept
from bench.scoring.ranking import CONTROL, RANKED, UNRANKED, Place, memory
from bench.scoring.rows import Row, distinct_names
from bench.scoring.scorecard import HEADLINE

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe and Ito's colours, which everybody can tell apart; shapes say the same a second time.
KINDS = {
    RANKED: ("method", "#0072b2", "circle"),
    CONTROL: ("control", "#8a8a8a", "square"),
    UNRANKED: ("not ranked", "#d55e00", "circle-open"),
}
LINES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
FRONT = "#009e73"
LABELLED = 12  # points; more names would cover each other


@dataclass(frozen=True)
class Mark:
    """A run in a picture."""

    place: Place
    name: str
    link: str = ""  # handed back when somebody clicks on it


@dataclass(frozen=True)
class Chart:
    """A picture, what it shows in words, and its Plotly figure."""

    title: str
    caption: str
    alternative: str
    figure: go.Figure


@dataclass(frozen=True)
class Axis:
    """Where a mark stands on an axis, how sure that is, and what the axis is called."""

    title: str
    values: Sequence[float | None]
    margins: Sequence[float | None] = ()
    format: str = ""


class Charts(Sequence["go.Figure"]):
    """Plotly figures that a notebook shows below each other."""

    def __init__(self, figures: Sequence[go.Figure]) -> None:
        self._figures = tuple(figures)

    @classmethod
    def of(cls, places: Sequence[Place], related: Sequence[Row]) -> Charts:
        """The pictures of a division; `related`: rows of it and of those that differ from it in their budget only.

        Raises:
            BenchError: none of its runs has a score.
        """
        rows = [place.row for place in places]
        marks = [Mark(place, name) for place, name in zip(places, distinct_names(rows), strict=True)]
        found = of_division(marks, ceiling(rows), sweep(related))
        if not found:
            raise BenchError("no run of the division has a score, so there is nothing to draw; `bench score` computes them")
        return cls([chart.figure.update_layout(title=chart.title, margin={"t": 72}) for chart in found])

    @overload
    def __getitem__(self, index: int) -> go.Figure: ...
    @overload
    def __getitem__(self, index: slice) -> Charts: ...
    def __getitem__(self, index: int | slice) -> go.Figure | Charts:
        return Charts(self._figures[index]) if isinstance(index, slice) else self._figures[index]

    def __len__(self) -> int:
        return len(self._figures)

    def __repr__(self) -> str:
        return f"Plotly figures: {', '.join(figure.layout.title.text for figure in self)}"

    def _ipython_display_(self) -> None:
        for figure in self:
            figure.show()


Sweep = dict[str, list[tuple[float, Row]]]  # method -> rows by the time allowed, as a share of retraining


def of_division(marks: Iterable[Mark], top: Ceiling | None, several: Sweep) -> list[Chart]:
    """A division's pictures; those of other budgets only if there are `several`."""
    scored = [mark for mark in marks if mark.place.row.scorecard]
    curves = [_budget_curves(several)] if several else []
    return [*_results(scored, top), *curves] if scored else curves


def _results(scored: Sequence[Mark], top: Ceiling | None) -> list[Chart]:
    """Memory left against utility, and against time with the budget; and what the challenge's score is made of."""
    rows = [mark.place.row for mark in scored]
    kept = Axis("utility kept, relative to retrained models", [utility_kept(item) for item in rows])
    left = _axis("memory left", rows, HEADLINE, ".0%")
    taken = Axis("runtime, share of one retraining", [item.value("runtime_share") for item in rows], format=".0%")
    forgotten = _axis("forgetting score", rows, "forgetting_score")
    shapes = [_level(top.value, "retraining itself")] if top else []
    least = _front(scored, kept, left, [-memory(item) for item in rows])
    best = _front(scored, kept, forgotten, forgotten.values)
    leader = next((mark.name for mark in scored if mark.place.rank and mark.place.rank.number == 1), "nobody")
    joined = "The line joins the rows that no other ranked row beats in both; bars are 95 % intervals."
    where = "The table above has the numbers"
    return [
        Chart(
            "Memory left against utility",
            f"Right and near 0 is better: 0 is as retrained, 100 % the original. {joined}",
            f"{len(scored)} rows. On the front, from most utility to least memory: {_names(least, kept, left, scored)}."
            f" {where}: memory left and, among its columns to choose, utility.",
            _figure(scored, kept, left, [_level(0.0, "as retrained")], least),
        ),
        Chart(
            "Memory left against time",
            "Left and near 0 is better. What is right of the budget's line is not ranked.",
            f"{len(scored)} rows; {leader} has the least memory left within the budget."
            f" {where}: memory left and, among its columns to choose, of retraining.",
            _figure(scored, taken, left, [_limit(rows[0].record.timing.allowed)], []),
        ),
        Chart(
            "The challenge's score: forgetting against utility",
            f"The final score is their product: up and right is better. {joined}",
            f"{len(scored)} rows. On the front, from most utility to most forgetting: {_names(best, kept, forgotten, scored)}."
            f" {where}, among its columns to choose: forgetting and utility.",
            _figure(scored, kept, forgotten, shapes, best),
        ),
    ]


def sweep(rows: Sequence[Row]) -> Sweep:
    """The methods that were run at several budgets."""
    points: dict[str, dict[float, Row]] = {}
    for item in rows:
        if item.value(HEADLINE) is not None and not item.control:
            points.setdefault(item.label, {})[item.timing.allowed] = item
    return {label: sorted(found.items(), key=lambda point: point[0]) for label, found in points.items() if len(found) > 1}


def _budget_curves(several: Sweep) -> Chart:
    """Memory left against the time allowed, a line per method; a point for one that does the same at every budget."""
    import plotly.graph_objects as go

    traces = [
        go.Scatter(
            x=[share for share, _ in line],
            y=[item.value(HEADLINE) for _, item in line],
            error_y={"type": "data", "array": [_margin(item, HEADLINE) or 0.0 for _, item in line], "thickness": 1},
            name=_plain(label),
            mode="lines+markers" if len(line) > 1 else "markers",
            marker={"symbol": ["circle-open" if item.timing.over_budget else "circle" for _, item in line], "size": 9},
            hovertemplate="%{x:.0%} of retraining: %{y:.0%} left<extra></extra>",
        )
        for label, line in ((label, line if _follows(line) else _where_it_is(line)) for label, line in several.items())
    ]
    layout = _layout(Axis("budget, share of one retraining", [], format=".0%"), Axis("memory left", [], format=".0%"))
    layout.update(colorway=LINES, showlegend=True)  # also of one line: it has the method's name
    return Chart(
        "Memory left against budget",
        "The same methods in the divisions that differ from this one in their budget; open markers took longer than allowed."
        " A method that does the same at every budget is a point, at the time that it takes.",
        f"{len(several)} methods at several budgets: {', '.join(several)}. Their divisions' tables have the numbers.",
        go.Figure(traces, layout),
    )


def _follows(line: Sequence[tuple[float, Row]]) -> bool:
    """Whether a method does something else at another budget."""
    first, *others = (item.record.method for _, item in line)
    return first.uses_clock or any(each.hyper_parameters != first.hyper_parameters for each in others)


def _where_it_is(line: Sequence[tuple[float, Row]]) -> list[tuple[float, Row]]:
    """Of a method that is the same at every budget one point, at the largest of them: what it takes, and what that is worth."""
    return [(line[-1][1].timing.share, line[-1][1])]


def _figure(scored: Sequence[Mark], across: Axis, up: Axis, shapes: list[Any], front: list[tuple[float, float]]) -> go.Figure:
    import plotly.graph_objects as go

    traces = [trace for group, kind in KINDS.items() if (trace := _points(scored, across, up, group, *kind))]
    if len(front) > 1:
        line = {"color": FRONT, "width": 1.5, "dash": "dot"}
        traces.insert(
            0,
            go.Scatter(x=[x for x, _ in front], y=[y for _, y in front], mode="lines", line=line, name="front", hoverinfo="skip"),
        )
    layout = _layout(across, up)
    layout.update(shapes=[shape for shape, _ in shapes], annotations=[note for _, note in shapes], showlegend=True)
    return go.Figure(traces, layout)


def _points(scored: Sequence[Mark], across: Axis, up: Axis, group: str, name: str, colour: str, symbol: str) -> Any:
    import plotly.graph_objects as go

    rows = [
        n
        for n, mark in enumerate(scored)
        if mark.place.group == group and across.values[n] is not None and up.values[n] is not None
    ]
    if not rows:
        return None
    bars = {
        key: {"type": "data", "array": [axis.margins[n] or 0.0 for n in rows], "thickness": 1, "width": 0, "color": colour}
        for key, axis in (("error_x", across), ("error_y", up))
        if axis.margins
    }
    return go.Scatter(
        x=[across.values[n] for n in rows],
        y=[up.values[n] for n in rows],
        text=[_plain(scored[n].name) for n in rows],
        customdata=[scored[n].link for n in rows],
        name=name,
        mode="markers+text" if len(scored) <= LABELLED else "markers",
        textposition="top center",
        marker={"size": 11, "color": colour, "symbol": symbol},
        hovertemplate=f"%{{text}}<br>{across.title} %{{x{_shown(across)}}}<br>{up.title} %{{y{_shown(up)}}}<extra></extra>",
        cliponaxis=False,
        **bars,
    )


def _front(scored: Sequence[Mark], across: Axis, up: Axis, good: Sequence[float | None]) -> list[tuple[float, float]]:
    """Where the ranked rows stand that no other one beats in both: how far right, and how `good`; from right to left."""
    found = [
        (x, value, y)
        for mark, x, value, y in zip(scored, across.values, good, up.values, strict=True)
        if mark.place.group == RANKED and x is not None and value is not None and y is not None
    ]
    kept: list[tuple[float, float, float]] = []
    for x, value, y in sorted(found, reverse=True):
        if not kept or value > kept[-1][1]:
            kept.append((x, value, y))
    return [(x, y) for x, _, y in kept]


def _names(front: Sequence[tuple[float, float]], across: Axis, up: Axis, scored: Sequence[Mark]) -> str:
    at = {(x, y): mark.name for x, y, mark in zip(across.values, up.values, scored, strict=True)}
    return ", ".join(at[point] for point in front) or "nobody"


def _axis(title: str, rows: Sequence[Row], name: str, form: str = "") -> Axis:
    return Axis(title, [item.value(name) for item in rows], [_margin(item, name) for item in rows], form)


def _shown(axis: Axis) -> str:
    return f":{axis.format or '.4f'}"


def _margin(item: Row, name: str) -> float | None:
    measure = item.measure(name)
    return measure.margin if measure else None


def _level(value: float, name: str) -> tuple[Any, Any]:
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value, "line": {"width": 1, "dash": "dash"}}
    note = {"xref": "paper", "x": 0, "xanchor": "left", "y": value, "yanchor": "bottom", "text": name, "showarrow": False}
    return line, note


def _limit(share: float) -> tuple[Any, Any]:
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": share, "x1": share, "line": {"width": 1, "dash": "dash"}}
    note = {"yref": "paper", "y": 1, "yanchor": "top", "x": share, "xanchor": "left", "text": " budget", "showarrow": False}
    return line, note


def _layout(across: Axis, up: Axis) -> Any:
    import plotly.graph_objects as go

    return go.Layout(
        template="none",
        xaxis={"title": {"text": across.title}, "tickformat": across.format, "automargin": True},
        yaxis={"title": {"text": up.title}, "tickformat": up.format, "rangemode": "tozero", "automargin": True},
        margin={"l": 56, "r": 24, "t": 24, "b": 48},
        legend={"orientation": "h", "y": 1.14},
        hovermode="closest",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )


def _plain(text: str) -> str:
    """Plotly reads a few HTML tags in labels: a method's name must not be able to use them, nor to fill the picture."""
    short = text if len(text) <= 60 else f"{text[:59]}\N{HORIZONTAL ELLIPSIS}"
    return html.escape(short, quote=False)
