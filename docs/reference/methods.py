"""Writes methods.md, beside this file, from what the methods that come with bench say of themselves; a test compares the two.

python docs/reference/methods.py
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from bench.method import Control, Method
from bench.registry import discovery, documentation, loading

DISTRIBUTION = "unlearning-bench"
PAGE = Path(__file__).parent / "methods.md"
TOP = f"""\
# Methods

Every method that comes with `{DISTRIBUTION}`: the idea, where it was published, what it takes, its hyper-parameters with the
source of each default. `bench plugins show NAME` says the same. They are plugins, and [yours](plugins.md#a-method) enters by the
same door. Settings by name are given as `NAME[preset=SETTING]`; no budget changes them. This page is written by
[methods.py](methods.py).

A *stack* is many trials computed as one network, which is faster. Two further rows, `original` and `retrain`, are no methods:
they show what the model knows that is to forget, and what retraining comes to.
"""
HEAD = ("method", "in brief", "published", "takes", "stack")


def page() -> str:
    """The page as it should be."""
    names = sorted(entry.name for entry in distribution(DISTRIBUTION).entry_points.select(group=discovery.METHODS))
    loaded = {name: loading.load_method(discovery.find_method(name)) for name in names}
    found = {name: method for name, method in loaded.items() if not issubclass(method, Control)}
    rows = [HEAD, ("---",) * len(HEAD), *(_row(name, method) for name, method in found.items())]
    return "\n".join([TOP, *map(_line, rows), "", *(line for name, method in found.items() for line in _section(name, method))])


def _row(name: str, method: type[Method]) -> tuple[str, ...]:
    paper = method.paper
    published = f"[{_first_author(paper.authors)} {paper.year}]({paper.url})" if paper else ""
    return f"[`{name}`](#{name})", _text(method).partition("\n")[0], published, method.cost, "yes" if method.stackable else "no"


def _first_author(authors: str) -> str:
    first, *others = authors.split(" and ")
    return first.partition(",")[0] + (" et al." if others else "")


def _section(name: str, method: type[Method]) -> Iterator[str]:
    yield f"## {name}\n\n{_text(method)}\n"
    if paper := method.paper:
        code = f" Code: <{paper.code}>." if paper.code else ""
        yield f"{paper.authors}, [{paper.title}]({paper.url}), {paper.venue} {paper.year}.{code}\n"
    facts = {
        "Reconstruction": method.reconstruction,
        "Needs": ", ".join(method.needs),
        "Settings by name": ", ".join(f"`{preset}`" for preset in method.presets),
        "Deterministic": "every trial gives the same model" if method.deterministic else "",
    }
    yield from (f"{what}: {said}.\n" for what, said in facts.items() if said)
    yield from map(_line, [("hyper-parameter", "default", "may be", "source of the default"), ("---",) * 4])
    for each in documentation.hyper_parameters(method):
        yield _line((f"`{each.name}`", f"`{each.default!r}`", each.domain, each.source))
    yield ""


def _text(method: type[Method]) -> str:
    return inspect.getdoc(method) or ""


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
