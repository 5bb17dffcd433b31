"""`name[k=v,...]`: a plugin with hyper-parameters, as typed by the user and as recorded."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from bench.errors import BenchError
from bench.method import Domain, Method, Search

PRESET = "preset"  # in a spec: the name of a setting that the method has, unless it has a hyper-parameter of that name
_Said = TypeVar("_Said", Domain, Search)
_NAME = re.compile(r"[A-Za-z][\w.-]*")


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


def parse(text: str, noun: str = "plugin") -> Spec:
    """Read `scrub`, `scrub[alpha=0.1,epochs=5]` or `path/my_method.py:MyMethod[epochs=2]`; values are JSON.

    Raises:
        BenchError: it is something else; the message calls it a `noun`.

    >>> parse("scrub[alpha=0.1,epochs=5]").parameters
    {'alpha': 0.1, 'epochs': 5}
    """
    name, bracket, inside = text.partition("[")
    if not name.strip() or "]" in name:
        raise _unreadable(text, max(name.find("]"), 0), f"a {noun}'s name", noun)
    parameters, rest = _parameters(inside, text, noun) if bracket else ({}, "")
    if rest.strip():
        raise _unreadable(text, len(text) - len(rest.lstrip()), "nothing after ]", noun)
    return Spec(name.strip(), parameters)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(text)
    return float(text)


_JSON = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def _parameters(rest: str, text: str, noun: str) -> tuple[dict[str, Any], str]:
    """The parameters at the beginning of `rest`, which is what `text` ends with, and what follows the closing bracket."""
    found: dict[str, Any] = {}
    rest = rest.lstrip()
    while not rest.startswith("]"):
        match = re.match(r"([A-Za-z_]\w*)\s*=\s*", rest)
        if not match or match[1] in found:
            raise _unreadable(text, len(text) - len(rest), "another parameter" if match else "parameter=value", noun)
        rest = rest[match.end() :]
        try:
            found[match[1]], end = _value(match[1], rest)
        except ValueError:
            raise _unreadable(text, len(text) - len(rest), 'a finite JSON value (0.1, true, "text")', noun) from None
        rest = rest[end:].lstrip()
        if not rest.startswith((",", "]")):
            raise _unreadable(text, len(text) - len(rest), "a comma or ]", noun)
        rest = rest.removeprefix(",").lstrip()
    return found, rest[1:]


def _value(name: str, rest: str) -> tuple[Any, int]:
    """The JSON value at the beginning of a text, and where it ends; the name of a preset needs no quotes."""
    if name == PRESET and (word := _NAME.match(rest)):
        return word[0], word.end()
    return _JSON.raw_decode(rest)


def _unreadable(text: str, at: int, expected: str, noun: str) -> BenchError:
    """One line that points at a character, counted from 1."""
    return BenchError(f"{noun} {text!r} is not understood at character {at + 1} ({text[at:] or 'its end'}): expected {expected}")


def configure(kind: type[Method], spec: Spec, share: float | None = None) -> Method:
    """The method with, in this order, its defaults, what it says that a budget allows, and the spec's hyper-parameters.

    With a preset it has, in the place of the first two, that setting. `share` is the budget's share of one retraining; None:
    nobody asks what fits.

    Raises:
        BenchError: it has no such hyper-parameter or preset, takes no such value, or cannot keep to the budget.
    """
    preset, named = _preset(kind, spec), _fitting(kind, spec.plugin, _said_beside(kind, spec))
    method = _made(spec, lambda: kind(**{**(preset or {}), **named}))
    if share is None or preset is not None:
        return method
    fitting = _within(spec, method, share)
    return fitting if fitting is method else _made(spec, lambda: dataclasses.replace(fitting, **named))


def _preset(kind: type[Method], spec: Spec) -> dict[str, Any] | None:
    """The values of the preset that a spec asks for, if it asks for one, checked as those that are typed."""
    if len(_said_beside(kind, spec)) == len(spec.parameters):
        return None
    name = str(spec.parameters[PRESET])
    if name in kind.presets:
        values: object = kind.presets[name]
        if not isinstance(values, Mapping):
            raise BenchError(f"preset {name} of {spec.plugin} must give values by the names of hyper-parameters, not {values!r}")
        return _fitting(kind, f"preset {name} of {spec.plugin}", values)
    close = get_close_matches(name, kind.presets, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise BenchError(f"{spec.plugin} has no preset {name!r}; {hint}it has: {', '.join(kind.presets) or 'none'}")


def scaled(kind: type[Method], spec: Spec, method: Method) -> dict[str, Any]:
    """What a budget changed in a method that `configure` made: hyper-parameters with the values that they would have without."""
    before, after = hyper_parameters(configure(kind, spec)), hyper_parameters(method)
    return {name: value for name, value in before.items() if value != after[name]}


def _within(spec: Spec, method: Method, share: float) -> Method:
    numbers = {name for name, value in vars(method).items() if isinstance(value, int | float)}
    if odd := [name for name in method.budgeted if name not in numbers]:
        raise BenchError(f"budgeted must name hyper-parameters that are numbers; {odd[0]!r} is none of {spec.plugin}")
    try:
        fitting = method.within(share)
    except ValueError as problem:
        raise BenchError(f"{spec} cannot keep to {100 * share:g} % of a retraining: {problem}") from problem
    if type(fitting) is not type(method):
        raise BenchError(f"within must return a {type(method).__name__}, not a {type(fitting).__name__}")
    return fitting


def _made(spec: Spec, make: Callable[[], Method]) -> Method:
    try:
        method = make()
    except (TypeError, ValueError) as problem:
        raise BenchError(f"{spec}: {problem}") from problem
    for name, domain in _annotations(type(method), Domain):
        value = getattr(method, name)
        if isinstance(value, int | float) and not domain.holds(value):
            raise BenchError(f"{spec.plugin}: {name} is {value}; it must be {domain}")
    return method


def domains(kind: type[Method]) -> dict[str, Domain]:
    """What hyper-parameters may be, of those that say it."""
    return dict(_annotations(kind, Domain))


def searches(kind: type[Method]) -> dict[str, Search]:
    """Where good values of hyper-parameters are sought, of those that say it."""
    return dict(_annotations(kind, Search))


def _annotations(kind: type[Method], wanted: type[_Said]) -> list[tuple[str, _Said]]:
    hints, names = get_type_hints(kind, include_extras=True), [field.name for field in dataclasses.fields(kind)]
    return [(name, each) for name in names for each in _said(hints[name]) if isinstance(each, wanted)]


def _said(hint: Any) -> list[Any]:
    """What annotations say beside the type, also of one of several: `Positive | None`."""
    said = list(getattr(hint, "__metadata__", ()))
    plain = get_args(hint)[0] if said else hint
    inside = [each for kind in get_args(plain) for each in _said(kind)] if get_origin(plain) in (Union, UnionType) else []
    return [*said, *inside]


def _said_beside(kind: type[Method], spec: Spec) -> dict[str, Any]:
    """The spec's hyper-parameters, without the name of a preset."""
    own = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in spec.parameters.items() if name != PRESET or name in own}


def _fitting(kind: type[Method], whose: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Hyper-parameters, checked by name and type."""
    hints = get_type_hints(kind)
    _check_decorated(kind, hints)
    fields = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    for name in values:
        if name not in fields:
            close = get_close_matches(name, fields, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise BenchError(f"{whose} has no hyper-parameter {name!r}; {hint}it has: {', '.join(fields) or 'none'}")
    return {name: _checked(whose, name, value, fields[name]) for name, value in values.items()}


def hyper_parameters(method: Method) -> dict[str, Any]:
    """All hyper-parameters with their values, defaults included; infinities and NaN, which JSON lacks, as text."""
    return {field.name: _for_json(getattr(method, field.name)) for field in dataclasses.fields(method)}


def _for_json(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_for_json(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _check_decorated(kind: type[Method], hints: Mapping[str, Any]) -> None:
    fields = {field.name for field in dataclasses.fields(kind)}
    lost = [name for name, hint in hints.items() if name not in fields and get_origin(hint) is not ClassVar]
    if lost:
        raise BenchError(f"{kind.__name__} declares {lost[0]} but is no dataclass: decorate it with @dataclass(frozen=True)")


def _checked(plugin: str, name: str, value: object, wanted: Any) -> object:
    try:
        return _converted(value, wanted)
    except (TypeError, ValueError):
        kind = wanted.__name__ if isinstance(wanted, type) and not get_args(wanted) else wanted
        raise BenchError(f"{plugin}: hyper-parameter {name} takes {kind}, not {_as_typed(value)}") from None


def _as_typed(value: object) -> str:
    """A value as one types it, or as Python has it where there is no way to."""
    try:
        return json.dumps(value, default=str)
    except TypeError:
        return repr(value)


def _converted(value: Any, wanted: Any) -> Any:
    """A value as the annotated type: whole numbers may stand for floats, and lists, as JSON has them, for tuples.

    Raises:
        TypeError: it does not fit.
    """
    origin, inner = get_origin(wanted), get_args(wanted)
    if wanted is float and type(value) is int:
        return float(value)
    if origin in (Union, UnionType):
        return _first_fitting(value, inner)
    if origin is Literal:
        return _require(value in inner, value)
    if wanted in (tuple, list) or origin in (tuple, list):
        _require(isinstance(value, list | tuple), value)
        kinds = inner[:1] * len(value) if origin is list or inner[1:] == (...,) else inner or (Any,) * len(value)
        return (wanted if origin is None else origin)(_converted(item, kind) for item, kind in zip(value, kinds, strict=True))
    return _require(wanted is Any or type(value) is (type(None) if wanted is None else wanted), value)


def _first_fitting(value: Any, kinds: tuple[Any, ...]) -> Any:
    for kind in kinds:
        with suppress(TypeError, ValueError):
            return _converted(value, kind)
    raise TypeError(value)


def _require(fits: bool, value: Any) -> Any:
    if not fits:
        raise TypeError(value)
    return value
