"""What records may look like: every field a stranger could fill has a type, a size and a pattern."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

_MANY = 100_000  # models, or items of a list
Json = dict[str, Any]


def run_problem(record: Mapping[str, Any]) -> str:
    """What is wrong with a run's record; "" if nothing is."""
    return _problem("run", record) or _chunk_problem(record)


def reference_problem(record: Mapping[str, Any]) -> str:
    """What is wrong with a reference's record; "" if nothing is."""
    return _problem("reference", record)


def _problem(kind: str, record: Mapping[str, Any]) -> str:
    from jsonschema.exceptions import best_match

    error = best_match(_validator(kind).iter_errors(record))
    return f"{error.json_path}: {error.message[:200]}" if error else ""


def _chunk_problem(record: Mapping[str, Any]) -> str:
    """Chunks hold every trial once; a control row has none."""
    trials = sorted(index for chunk in record["chunks"] for index in chunk["trials"])
    wanted = [] if record["method"]["control"] else list(range(record["models"]))
    return "" if trials == wanted else "its chunks do not hold every trial once"


@cache
def _validator(kind: str) -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator({"run": _run, "reference": _reference}[kind]())


def _object(required: Json, optional: Json | None = None) -> Json:
    """An object with these fields; others, which another version may add, are not looked at."""
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


def _line(longest: int = 1000) -> Json:
    return {"type": "string", "maxLength": longest, "pattern": r"\A[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z"}


def _whole(lowest: int = 0, highest: int = 2**63) -> Json:
    return {"type": "integer", "minimum": lowest, "maximum": highest}


def _list(items: Json, longest: int = _MANY) -> Json:
    return {"type": "array", "items": items, "maxItems": longest}


def _file(name: str) -> Json:
    return {"type": "string", "pattern": rf"\A{name}\Z", "maxLength": 100}


_SECONDS: Json = {"type": "number", "minimum": 0, "maximum": 1e9}
_TRUTH: Json = {"type": "boolean"}
_HASH = _file("[0-9a-f]{64}")
_PHASES: Json = {"type": "object", "additionalProperties": _SECONDS, "maxProperties": 20}
_LINES: Json = {"type": "object", "additionalProperties": _line(), "maxProperties": 100}


def _run() -> Json:
    method = _object(
        {
            "name": {**_line(200), "minLength": 1},
            "spec": _line(10_000),
            "hyper_parameters": {"type": "object", "maxProperties": 1000},
            "source_hash": _HASH,
            "control": _TRUTH,
            "reference_models": _list({"anyOf": [{"type": "null"}, _whole()]}),
        },
        {
            "distribution": _line(200),
            "version": _line(200),
            "summary": _line(),
            "documentation": {"type": "string", "maxLength": 100_000},
            "sources": _LINES,
            "stackable": _TRUTH,
            "uses_clock": _TRUTH,
        },
    )
    memory = {"peak_memory": _whole(), "peak_host_memory": _whole()}
    chunk = _object(
        {"trials": {**_list(_whole(0, _MANY)), "minItems": 1}},
        {
            "file": _file(r"outputs-[0-9]{4,}\.npz"),
            "sha256": _HASH,
            "failure": _line(),
            "kind": _line(20),
            "finished": _whole(0, _MANY),
            "phases": _PHASES,
            "wall_seconds": _SECONDS,
            **memory,
        },
    )
    timed = {"trial": _whole(), "seconds": _SECONDS, "phases": _PHASES}
    solo = {
        **_object({}, {**timed, "killed": _line(), "failure": _line(), **memory}),
        "dependentRequired": {"seconds": ["trial"]},
    }
    return _object(
        {
            "method": method,
            "task": _object(
                {"name": _line(200), "key": _HASH},
                {"groups": _list(_line(200), 1000), "forget_set": _line(), "remarks": _list(_line(), 100)},
            ),
            "reference_id": _file("[0-9a-f]{16}"),
            "models": _whole(1, _MANY),
            "budget": _line(50),
            "seed": _whole(0, 2**256),
            "device": _object({"kind": {**_line(200), "minLength": 1}}, {"processor": _line()}),
            "retraining_seconds": _SECONDS,
            "allowance_seconds": _SECONDS,
            "chunks": _list({**chunk, "dependentRequired": {"file": ["sha256"]}}),
            "solo": _list(solo, 100),
        },
        {
            "created": _line(50),
            "run": _line(300),
            "environment": _LINES,
            "variants": _list(_whole(0, _MANY)),
            "stack_size": _whole(1, _MANY),
            "backed_off": _TRUTH,
            "attempt": _whole(),
        },
    )


def _reference() -> Json:
    name = r"\A(labels\.npz|original\.(npz|safetensors)|retrained-[0-9]{4,}-[0-9]{4,}\.npz)\Z"
    files = {"type": "object", "patternProperties": {name: _HASH}, "additionalProperties": False, "maxProperties": _MANY}
    return _object(
        {
            "files": files,
            "yardsticks": {"type": "object", "additionalProperties": {**_SECONDS, "exclusiveMinimum": 0}, "maxProperties": 1000},
            "baselines": {"type": "object", "additionalProperties": {"type": "object"}, "maxProperties": 1000},
            "stack_size": _whole(1, _MANY),
        },
        {
            "task": _object({"name": _line(200), "key": _HASH}),
            "device": _line(200),
            "environment": _LINES,
        },
    )
