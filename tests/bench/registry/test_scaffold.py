"""New packages have names that hide nothing, and are made of files that Python can read."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.registry import scaffold


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("random", "a module random would be taken"),
        ("types", "a module types would be taken"),
        ("test", "a module test would be taken"),
        ("tests", "a module tests would be taken"),
        ("conftest", "a module conftest would be taken"),
        ("setup", "a module setup would be taken"),
        ("torch", "there is a module torch already"),
        ("click", "there is a module click already"),
        ("bench", "there is a module bench already"),
        ("bench-plugins", "there is a module bench_plugins already"),
        ("msgspec", "there is a module msgspec already"),
        ("class", "class is a word of Python's"),
        ("lambda", "lambda is a word of Python's"),
        ("none", "a class None would hide"),
        ("exception", "a class Exception would hide"),
        ("method", "a class Method would hide"),
        ("class-var", "a class ClassVar would hide"),
        ("s-g-d", "a class SGD would hide"),
        ("a" * 101, "it has more than 100 characters"),
    ],
)
def test_names_that_would_hide_something_are_refused(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(BenchError, match=f"^'{name}' is no name for a method: {reason}.*; choose another, .*-unlearning say$"):
        scaffold.make(name, "method", tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_a_function_has_no_class_that_could_hide_anything(tmp_path: Path) -> None:
    assert (scaffold.make("class-var", "function", tmp_path / "made") / "class_var.py").is_file()


@pytest.mark.parametrize("template", ["method", "function"])
@pytest.mark.parametrize("name", ["my-method", "unlearning", "match", "x", "random-unlearning", "a2-b3"])
def test_other_names_are_taken(tmp_path: Path, name: str, template: str) -> None:
    made = scaffold.make(name, template, tmp_path / "made")
    module = name.replace("-", "_")
    for file in (made / f"{module}.py", made / "tests" / f"test_{module}.py"):
        ast.parse(file.read_text())
