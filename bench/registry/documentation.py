"""What a method's source says of it: the docstring, and where the defaults of its hyper-parameters come from."""

from __future__ import annotations

import ast
import dataclasses
import io
import textwrap
import tokenize
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from bench.method import Method
from bench.registry import specs
from bench.registry.syntax import parsed, source_of


@dataclass(frozen=True)
class HyperParameter:
    """A field of a method."""

    name: str
    kind: str  # its type
    default: Any
    source: str  # the comment beside it; "" if there is none
    domain: str  # what it may be, in words; "" if the method does not say
    search: tuple[float, float, bool] | None  # where a good value is sought: from, to, on a logarithmic scale


def hyper_parameters(method: type[Method]) -> list[HyperParameter]:
    """The hyper-parameters of a method with defaults and sources, inherited ones first."""
    sources: dict[str, str] = {}
    for kind in reversed(method.__mro__):
        if issubclass(kind, Method):
            sources |= _comments(kind)
    kinds, domains, searches = get_type_hints(method), specs.domains(method), specs.searches(method)
    return [
        HyperParameter(
            name=field.name,
            kind=_in_words(kinds[field.name]),
            default=field.default,
            source=sources.get(field.name, ""),
            domain=str(domains.get(field.name, "")),
            search=dataclasses.astuple(searches[field.name]) if field.name in searches else None,
        )
        for field in dataclasses.fields(method)
    ]


def _in_words(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("typing.", "")


def flags(method: type[Method]) -> dict[str, bool]:
    """What a method's class declares."""
    return {name: bool(getattr(method, name)) for name in ("stackable", "uses_clock", "in_place", "uses_forget", "deterministic")}


def _comments(kind: type) -> dict[str, str]:
    """The comment on the last line of every annotated field of a class."""
    try:
        source = textwrap.dedent(source_of(kind))
        (body,) = parsed(source).body
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (OSError, TypeError, SyntaxError, ValueError):  # made at run time
        return {}
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    fields = [node for node in getattr(body, "body", []) if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    return {field.target.id: comments.get(field.end_lineno or 0, "") for field in fields if isinstance(field.target, ast.Name)}
