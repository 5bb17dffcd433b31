"""The board's picture: how much is forgotten against how much is kept."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

COLOURS = {"method": "#0072b2", "control": "#8a8a8a"}  # Okabe and Ito's blue: tellable apart by everybody
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
    layout = go.Layout(
        template="none",
        xaxis={"title": {"text": "utility kept: retain and test accuracy, of retrained models'"}},
        yaxis={"title": {"text": "forgetting score"}, "rangemode": "tozero"},
        margin={"l": 64, "r": 24, "t": 24, "b": 56},
        legend={"orientation": "h", "y": 1.12},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure: dict[str, Any] = json.loads(go.Figure(traces, layout).to_json(engine="json"))
    return figure


def _diameter(seconds: float, longest: float) -> float:
    """Area proportional to runtime; control rows have none and get the smallest marker."""
    return SMALLEST if pd.isna(seconds) else max(SMALLEST, LARGEST * math.sqrt(seconds / longest))


def _seconds(seconds: float) -> str:
    return "not timed" if pd.isna(seconds) else f"{seconds:.2f} s"


def _plain(text: str) -> str:
    """Plotly reads a few HTML tags in labels: a method's name must not be able to use them."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
