"""A method is looked at in a process of its own, and what that says is checked before anything is planned."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace, TracebackType
from typing import Any

import msgspec
import pytest

from bench.budget import Budget
from bench.engine import requests
from bench.engine.requests import Request, describe
from bench.engine.worker.answers import Description
from bench.engine.worker.process import Reply
from bench.errors import BenchError, WorkerError
from bench.registry.discovery import Plugin
from bench.registry.specs import Spec

REQUEST = Request(Plugin("mine", "mine", "mine", "1.0"), Spec("mine", {}), models=3, budget=Budget.parse("20%"), seed=0)
HONEST = {
    "stackable": True,
    "uses_clock": False,
    "control": False,
    "scaled": {},
    "hyper_parameters": {},
    "variants": [0, 0, 2],
    "reference_models": [],
    "documentation": "",
    "sources": {},
}


class Child:
    """A process that answers what it was given, or raises it."""

    def __init__(self, answer: bytes | WorkerError) -> None:
        self.answer = answer
        self.open = False

    def __enter__(self) -> Child:
        self.open = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.open = False

    def ask(self, operation: str, **arguments: Any) -> Reply:
        assert self.open
        assert (operation, arguments["models"]) == ("describe", REQUEST.models)
        if isinstance(self.answer, WorkerError):
            raise self.answer
        return Reply(self.answer, {})


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes | WorkerError], Description]:
    """What is made of the answer of a process that is started as the session says."""

    def ask(answer: bytes | WorkerError, *, stackable: bool = True) -> Description:
        asked = ["the setting", REQUEST.plugin, REQUEST.spec, 0.2, 10**9, ("/store",)]  # and neither data nor weights
        children = []

        def start(*arguments: object) -> Child:
            assert list(arguments) == asked
            children.append(Child(answer))
            return children[-1]

        monkeypatch.setattr(requests, "start_method", start)
        try:
            session = SimpleNamespace(setting="the setting", memory_limit=10**9, closed=("/store",), stackable=stackable)
            return describe(session, REQUEST)
        finally:
            assert [child.open for child in children] == [False]

    return ask


def answer(**changes: object) -> bytes:
    return msgspec.json.encode({**HONEST, **changes})


def test_no_method_stacks_a_network_that_cannot_be_stacked(described) -> None:
    assert not described(answer(), stackable=False).stackable


def test_an_honest_description(described) -> None:
    description = described(answer())
    assert description.stackable
    assert description.variants == [0, 0, 2]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stackable": "yes"}, "plugin mine: the process answered nonsense: Expected `bool`, got `str` - at `$.stackable`"),
        ({"variants": [0, 0]}, "plugin mine: 2 variants for 3 trials"),
        ({"variants": [0] * 4}, "plugin mine: 4 variants for 3 trials"),
    ],
)
def test_nonsense_is_one_line_that_names_the_plugin(described, changes: dict[str, object], told: str) -> None:
    with pytest.raises(BenchError) as caught:
        described(answer(**changes))
    assert str(caught.value) == told


def test_why_it_does_not_load_is_told_in_its_own_words(described) -> None:
    problem = WorkerError("plugin mine (mine) fails to import: ValueError: no", traceback="Traceback ...")
    with pytest.raises(BenchError) as caught:
        described(problem)
    assert str(caught.value) == str(problem)
    with pytest.raises(BenchError, match=r"^plugin mine: the worker process died"):
        described(WorkerError("the worker process died (signal 9)", kind="died"))


@pytest.mark.parametrize("models", [[None] * 3, [3, 4, 5], [9, 9, 9]])
def test_control_rows_stand_for_models_that_no_row_is_compared_with(described, models: list[int | None]) -> None:
    assert described(answer(control=True, reference_models=models)).reference_models == models


@pytest.mark.parametrize("models", [[], [None] * 2, [3, 4], [3, 4, None], [2, 3, 4], [0, 1, 2]])
def test_control_rows_that_name_other_models(described, models: list[int | None]) -> None:
    with pytest.raises(BenchError, match=r"control row mine must name 3 models: .* from index 3 on"):
        described(answer(control=True, reference_models=models))
