"""The board's pictures: what is forgotten against what is kept, time against quality, and what a larger budget brings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from bench.scoring.columns import utility_kept
from bench.scoring.ranking import Ceiling
from bench.scoring.rows import Row

from .tables import Line
from .text import script_json

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe and Ito's colours, which everybody can tell apart; shapes say the same a second time.
KINDS = (("method", "#0072b2", "circle"), ("control", "#8a8a8a", "square"), ("over budget", "#d55e00", "circle-open"))
LINES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
FRONT = "#009e73"
LABELLED = 12  # points; more names would cover each other


@dataclass(frozen=True)
class Chart:
    """A picture, what it shows in words, and its Plotly figure."""

    title: str
    caption: str
    alternative: str
    figure: Markup


@dataclass(frozen=True)
class Axis:
    """Where a line stands on an axis, how sure that is, and what the axis is called."""

    title: str
    values: Sequence[float | None]
    margins: Sequence[float | None] = ()
    format: str = ""


def of_division(lines: Sequence[Line], budget_share: float | None, top: Ceiling | None) -> list[Chart]:
    """Forgetting against utility with its Pareto front, and runtime against final score with the budget."""
    scored = [line for line in lines if line.entry.row.scorecard]
    if not scored:
        return []
    kept = Axis("utility kept, relative to retrained models", [utility_kept(line.entry.row) for line in scored])
    margins = [_half_width(line.entry.row, "forgetting_score") for line in scored]
    forgotten = Axis("forgetting score", [line.entry.row.value("forgetting_score") for line in scored], margins)
    taken = Axis("runtime, share of one retraining", [line.entry.row.value("runtime_share") for line in scored], format=".0%")
    final = Axis("final score", [line.entry.row.value("final_score") for line in scored], [line.margin for line in scored])
    shapes = [_level(top.value, "retraining itself")] if top else []
    limit = [_limit(budget_share)] if budget_share else []
    best = _front([(x, y) for x, y, line in zip(kept.values, forgotten.values, scored, strict=True) if line.group == 0])
    leader = next((line.name for line in scored if line.place.rank == 1), "nobody")
    return [
        Chart(
            "Forgetting against utility",
            "Up and right is better. The line joins the rows that no other ranked row beats in both; bars are 95 % intervals.",
            f"{len(scored)} rows. On the front, from most utility to most forgetting: {_names(best, kept, forgotten, scored)}."
            " The table above has the numbers: forgetting and, among its columns to choose, utility.",
            _figure(scored, kept, forgotten, shapes, best),
        ),
        Chart(
            "Quality against time",
            "Up and left is better. What is right of the budget's line is not ranked.",
            f"{len(scored)} rows; {leader} has the best final score within the budget."
            " The table above has the numbers: final and, among its columns to choose, of retraining.",
            _figure(scored, taken, final, limit, []),
        ),
    ]


Sweep = dict[str, list[tuple[float, Row]]]  # method -> rows by the time allowed, as a share of retraining


def sweep(rows: Sequence[Row]) -> Sweep:
    """The methods that were run at several budgets."""
    points: dict[str, dict[float, Row]] = {}
    for item in rows:
        record = item.record
        if item.value("final_score") is not None and not item.control and record.retraining_seconds:
            points.setdefault(item.label, {})[record.allowance_seconds / record.retraining_seconds] = item
    return {label: sorted(found.items(), key=lambda point: point[0]) for label, found in points.items() if len(found) > 1}


def budget_curves(several: Sweep) -> Chart:
    """Final score against the time allowed, a line per method."""
    import plotly.graph_objects as go

    traces = [
        go.Scatter(
            x=[share for share, _ in line],
            y=[item.value("final_score") for _, item in line],
            error_y={"type": "data", "array": [_half_width(item, "final_score") or 0.0 for _, item in line], "thickness": 1},
            name=_plain(label),
            mode="lines+markers",
            marker={"symbol": ["circle-open" if item.record.over_budget else "circle" for _, item in line], "size": 9},
            hovertemplate="%{x:.0%} of retraining: %{y:.4f}<extra></extra>",
        )
        for label, line in several.items()
    ]
    layout = _layout("budget, share of one retraining", "final score", ".0%")
    layout.update(colorway=LINES, showlegend=True)  # also of one line: it has the method's name
    return Chart(
        "Quality against budget",
        "The same methods in the divisions that differ from this one in their budget; open markers took longer than allowed.",
        f"{len(several)} methods at several budgets: {', '.join(several)}. Their divisions' tables have the numbers.",
        _data(go.Figure(traces, layout)),
    )


def _figure(scored: Sequence[Line], across: Axis, up: Axis, shapes: list[Any], front: list[tuple[float, float]]) -> Markup:
    import plotly.graph_objects as go

    traces = [trace for number, kind in enumerate(KINDS) if (trace := _points(scored, across, up, number, *kind))]
    if len(front) > 1:
        line = {"color": FRONT, "width": 1.5, "dash": "dot"}
        traces.insert(
            0,
            go.Scatter(x=[x for x, _ in front], y=[y for _, y in front], mode="lines", line=line, name="front", hoverinfo="skip"),
        )
    layout = _layout(across.title, up.title, across.format)
    layout.update(shapes=[shape for shape, _ in shapes], annotations=[note for _, note in shapes], showlegend=True)
    return _data(go.Figure(traces, layout))


def _points(scored: Sequence[Line], across: Axis, up: Axis, group: int, name: str, colour: str, symbol: str) -> Any:
    import plotly.graph_objects as go

    rows = [
        n for n, line in enumerate(scored) if line.group == group and across.values[n] is not None and up.values[n] is not None
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
        customdata=[scored[n].entry.slug for n in rows],
        name=name,
        mode="markers+text" if len(scored) <= LABELLED else "markers",
        textposition="top center",
        marker={"size": 11, "color": colour, "symbol": symbol},
        hovertemplate=f"%{{text}}<br>{across.title} %{{x:.3f}}<br>{up.title} %{{y:.4f}}<extra></extra>",
        cliponaxis=False,
        **bars,
    )


def _front(points: Sequence[tuple[float | None, float | None]]) -> list[tuple[float, float]]:
    """Points that no other one beats in both coordinates, from right to left.

    >>> _front([(1.0, 0.0), (0.5, 0.5), (0.4, 0.4), (0.0, 1.0), (None, 2.0)])
    [(1.0, 0.0), (0.5, 0.5), (0.0, 1.0)]
    """
    kept: list[tuple[float, float]] = []
    for x, y in sorted(((x, y) for x, y in points if x is not None and y is not None), reverse=True):
        if not kept or y > kept[-1][1]:
            kept.append((x, y))
    return kept


def _names(front: Sequence[tuple[float, float]], across: Axis, up: Axis, scored: Sequence[Line]) -> str:
    at = {(x, y): line.name for x, y, line in zip(across.values, up.values, scored, strict=True)}
    return ", ".join(at[point] for point in front) or "nobody"


def _half_width(item: Row, name: str) -> float | None:
    measure = item.measure(name)
    return measure.interval[1] - measure.value if measure and measure.interval else None


def _level(value: float, name: str) -> tuple[Any, Any]:
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value, "line": {"width": 1, "dash": "dash"}}
    note = {"xref": "paper", "x": 0, "xanchor": "left", "y": value, "yanchor": "bottom", "text": name, "showarrow": False}
    return line, note


def _limit(share: float) -> tuple[Any, Any]:
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": share, "x1": share, "line": {"width": 1, "dash": "dash"}}
    note = {"yref": "paper", "y": 1, "yanchor": "top", "x": share, "xanchor": "left", "text": " budget", "showarrow": False}
    return line, note


def _layout(across: str, up: str, across_format: str = "") -> Any:
    import plotly.graph_objects as go

    return go.Layout(
        template="none",
        xaxis={"title": {"text": across}, "tickformat": across_format, "automargin": True},
        yaxis={"title": {"text": up}, "rangemode": "tozero", "automargin": True},
        margin={"l": 56, "r": 24, "t": 24, "b": 48},
        legend={"orientation": "h", "y": 1.14},
        hovermode="closest",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )


def _data(figure: go.Figure) -> Markup:
    return script_json(json.loads(figure.to_json(engine="json")))


def _plain(text: str) -> str:
    """Plotly reads a few HTML tags in labels: a method's name must not be able to use them, nor to fill the picture."""
    short = text if len(text) <= 60 else f"{text[:59]}\N{HORIZONTAL ELLIPSIS}"
    return str(escape(short)).replace("&#39;", "'").replace("&#34;", '"')
