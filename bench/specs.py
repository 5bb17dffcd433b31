"""`name[k=v,...]`: a plugin with hyper-parameters, as typed by the user and as recorded."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_origin, get_type_hints

from bench.errors import BenchError
from bench.method import Method


@dataclass(frozen=True)
class Spec:
    """A plugin's name, or file, and the hyper-parameters that differ from its defaults."""

    plugin: str
    parameters: Mapping[str, Any]

    def __str__(self) -> str:
        if not self.parameters:
            return self.plugin
        inside = ",".join(f"{name}={json.dumps(value, separators=(',', ':'))}" for name, value in sorted(self.parameters.items()))
        return f"{self.plugin}[{inside}]"


def parse(text: str) -> Spec:
    """Read `scrub`, `scrub[alpha=0.1,epochs=5]` or `path/my_method.py:MyMethod[epochs=2]`; values are JSON.

    >>> parse("scrub[alpha=0.1,epochs=5]").parameters
    {'alpha': 0.1, 'epochs': 5}
    """
    match = re.fullmatch(r"([^\[\]]+)(?:\[(.*)\])?", text.strip(), re.DOTALL)
    if not match:
        raise BenchError(f"plugin {text!r} is not understood: write name or name[parameter=value,...]")
    return Spec(match[1].strip(), _parameters(match[2] or "", text))


def _parameters(inside: str, text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    rest = inside.strip()
    while rest:
        match = re.match(r"([A-Za-z_]\w*)\s*=\s*", rest)
        try:
            if not match:
                raise ValueError
            value, end = json.JSONDecoder().raw_decode(rest, match.end())
        except ValueError:
            at = text.rindex(rest) if rest in text else 0
            raise BenchError(
                f'{text!r}, at character {at + 1}: expected parameter=value with a JSON value (0.1, true, "text")'
            ) from None
        found[match[1]] = value
        rest = rest[end:].lstrip()
        if rest and not rest.startswith(","):
            raise BenchError(f"{text!r}, before {rest!r}: expected a comma")
        rest = rest[1:].lstrip()
    return found


def configure(kind: type[Method], spec: Spec) -> Method:
    """An instance of the method with the spec's hyper-parameters, checked by name and type."""
    hints = get_type_hints(kind)
    fields = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    values = {}
    for name, value in spec.parameters.items():
        if name not in fields:
            close = get_close_matches(name, fields, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise BenchError(f"{spec.plugin} has no hyper-parameter {name!r}; {hint}it has: {', '.join(fields) or 'none'}")
        values[name] = _checked(spec.plugin, name, value, fields[name])
    try:
        return kind(**values)
    except (TypeError, ValueError) as problem:
        raise BenchError(f"{spec}: {problem}") from problem


def hyper_parameters(method: Method) -> dict[str, Any]:
    """All hyper-parameters with their values, defaults included."""
    return {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}


def _checked(plugin: str, name: str, value: object, wanted: Any) -> object:
    if wanted is float and type(value) is int:
        return float(value)
    if get_origin(wanted) is tuple or wanted is tuple:
        if isinstance(value, list):
            return tuple(value)
    elif not isinstance(wanted, type) or type(value) is wanted:
        return value
    raise BenchError(f"{plugin}: hyper-parameter {name} takes {getattr(wanted, '__name__', wanted)}, not {json.dumps(value)}")
