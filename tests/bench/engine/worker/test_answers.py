"""What a process answers may come from a plugin: whatever does not fit is one line that names the field."""

from __future__ import annotations

import pytest

from bench.engine.worker.answers import Changed, Description, Devices, Nothing, PeakMemory
from bench.engine.worker.process import Reply
from bench.errors import LONGEST, WorkerError
from bench.store.fields import R

HONEST = {
    "stackable": "true",
    "uses_clock": "false",
    "control": "false",
    "hyper_parameters": '{"rate": 0.1, "steps": [1, 2], "name": "a"}',
    "scaled": '{"rate": 0.2}',
    "variants": "[0, 0, 2]",
    "reference_models": "[null, 3]",
    "documentation": '"Source: nobody."',
    "sources": '{"rate": "the paper"}',
}
DEEP = "[" * 100_000 + "]" * 100_000


def written(fields: dict[str, str]) -> bytes:
    """JSON by hand: a plugin is not held to what an encoder would write."""
    return ("{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}").encode()


def refused(values: bytes, kind: type[R]) -> str:
    with pytest.raises(WorkerError) as caught:
        Reply(values, {}).read(kind)
    told = str(caught.value)
    assert told.isprintable()
    assert len(told) <= LONGEST + 3
    assert told.startswith("the process answered nonsense: ")
    return told


def test_an_honest_answer_is_read_as_it_was_given() -> None:
    found = Reply(written({**HONEST, "another version's": "1"}), {}).read(Description)
    assert found == Description(
        stackable=True,
        uses_clock=False,
        control=False,
        hyper_parameters={"rate": 0.1, "steps": [1, 2], "name": "a"},
        scaled={"rate": 0.2},
        variants=[0, 0, 2],
        reference_models=[None, 3],
        documentation="Source: nobody.",
        sources={"rate": "the paper"},
    )


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("stackable", '"yes"', "$.stackable"),
        ("stackable", "1", "$.stackable"),
        ("uses_clock", "null", "$.uses_clock"),
        ("control", "[]", "$.control"),
        ("hyper_parameters", "[]", "$.hyper_parameters"),
        ("hyper_parameters", '{"rate": 1e999}', "$.hyper_parameters[...]"),
        ("hyper_parameters", f'{{"rate": {"9" * 5000}}}', "$.hyper_parameters[...]"),
        ("variants", "3", "$.variants"),
        ("variants", "[0, 1.0, 2]", "$.variants[1]"),
        ("variants", '[0, "1", 2]', "$.variants[1]"),
        ("variants", "[0, true, 2]", "$.variants[1]"),
        ("variants", "[0, -1, 2]", "$.variants[1]"),
        ("variants", f"[0, {'9' * 5000}, 2]", "$.variants[1]"),
        ("reference_models", "[null, 1.5]", "$.reference_models[1]"),
        ("documentation", "7", "$.documentation"),
        ("documentation", "null", "$.documentation"),
        ("sources", '{"rate": 1}', "$.sources[...]"),
    ],
)
def test_a_field_of_another_type_is_named(field: str, value: str, place: str) -> None:
    assert refused(written({**HONEST, field: value}), Description).endswith(f" - at `{place}`")


@pytest.mark.parametrize("field", HONEST)
def test_a_missing_field_is_named(field: str) -> None:
    fields = {name: value for name, value in HONEST.items() if name != field}
    assert f"missing required field `{field}`" in refused(written(fields), Description)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('{"rate": NaN}', "JSON is malformed"),
        ('{"rate": -Infinity}', "JSON is malformed"),
        (r'{"name": "\ud800"}', "JSON is malformed"),  # half a character
        (f'{{"sizes": {DEEP}}}', "recursion"),
        ("{", "JSON is malformed"),
    ],
    ids=["NaN", "Infinity", "surrogate", "deep", "open"],
)
def test_what_is_no_json(value: str, reason: str) -> None:
    assert reason in refused(written({**HONEST, "hyper_parameters": value}), Description)


@pytest.mark.parametrize("values", [b"", b"{", b"[]", b"null", b'"words"', b"\xff\xfe", DEEP.encode()])
@pytest.mark.parametrize("kind", [Nothing, Devices, Description, PeakMemory, Changed])
def test_what_is_no_object(values: bytes, kind: type[R]) -> None:
    refused(values, kind)


@pytest.mark.parametrize(
    ("values", "kind", "place"),
    [
        (b'{"bytes": 1.5}', PeakMemory, "$.bytes"),
        (b'{"changed": "everything"}', Changed, "$.changed"),
        (b'{"gpus": null, "environment": {}}', Devices, "$.gpus"),
        (b'{"gpus": [], "environment": {"torch": 2}}', Devices, "$.environment[...]"),
    ],
)
def test_other_answers_are_checked_too(values: bytes, kind: type[R], place: str) -> None:
    assert refused(values, kind).endswith(f" - at `{place}`")
