"""The board's pictures: how much is forgotten against how much is kept, and what a larger budget brings."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

COLOURS = {"method": "#0072b2", "control": "#8a8a8a"}  # Okabe and Ito's blue: tellable apart by everybody
LINES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]  # Okabe and Ito, too
SMALLEST, LARGEST = 10.0, 44.0  # marker diameters, pixels


def scatter(table: pd.DataFrame) -> dict[str, Any]:
    """Forgetting score against utility, marker area by runtime; a Plotly figure as plain data."""
    import plotly.graph_objects as go

    scored = table[table["forgetting_score"].notna()]
    longest = scored["runtime"].max()
    traces = [
        go.Scatter(
            x=part["utility"].tolist(),
            y=part["forgetting_score"].tolist(),
            text=part["method"].map(_plain).tolist(),
            customdata=[[_plain(text)] for text in part["runtime"].map(_seconds)],
            name=kind,
            mode="markers+text",
            textposition="top center",
            marker={"size": [_diameter(seconds, longest) for seconds in part["runtime"]], "color": COLOURS[kind], "opacity": 0.8},
            hovertemplate="%{text}<br>utility %{x:.3f}<br>forgetting %{y:.4f}<br>runtime %{customdata[0]}<extra></extra>",
            cliponaxis=False,
        )
        for kind, part in (("method", scored[~scored["control"]]), ("control", scored[scored["control"]]))
        if len(part)
    ]
    layout = _layout("utility kept: retain and test accuracy, of retrained models'", "forgetting score")
    return _plain_data(go.Figure(traces, layout))


def budget_curves(rows: pd.DataFrame) -> dict[str, Any]:
    """Final score against the time allowed, a line per method; open markers are over budget. A Plotly figure as plain data.

    Columns: `method`, `allowed` (share of retraining), `final_score`, `margin`, `over_budget`.
    """
    import plotly.graph_objects as go

    traces = [
        go.Scatter(
            x=line["allowed"].tolist(),
            y=line["final_score"].tolist(),
            error_y={"type": "data", "array": line["margin"].fillna(0.0).tolist(), "thickness": 1},
            name=_plain(str(method)),
            mode="lines+markers",
            marker={"symbol": ["circle-open" if late else "circle" for late in line["over_budget"]], "size": 9},
            hovertemplate="%{x:.0%} of retraining: %{y:.4f}<extra></extra>",
        )
        for method, line in rows.sort_values("allowed").groupby("method", sort=False)
    ]
    layout = _layout("budget, share of retraining time", "final score")
    layout.update(colorway=LINES, showlegend=True)  # also of one line: it has the method's name
    layout.xaxis.update(tickformat=".0%", rangemode="tozero")
    return _plain_data(go.Figure(traces, layout))


def _layout(across: str, up: str) -> Any:
    import plotly.graph_objects as go

    return go.Layout(
        template="none",
        xaxis={"title": {"text": across}},
        yaxis={"title": {"text": up}, "rangemode": "tozero"},
        margin={"l": 64, "r": 24, "t": 24, "b": 56},
        legend={"orientation": "h", "y": 1.12},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )


def _plain_data(figure: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(figure.to_json(engine="json"))
    return data


def _diameter(seconds: float, longest: float) -> float:
    """Area proportional to runtime; control rows have none and get the smallest marker."""
    return SMALLEST if pd.isna(seconds) else max(SMALLEST, LARGEST * math.sqrt(seconds / longest))


def _seconds(seconds: float) -> str:
    return "not timed" if pd.isna(seconds) else f"{seconds:.2f} s"


def _plain(text: str) -> str:
    """Plotly reads a few HTML tags in labels: a method's name must not be able to use them."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
