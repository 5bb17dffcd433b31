"""The page of commands says what the commands say of themselves."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


@pytest.fixture(scope="module")
def commands() -> ModuleType:
    specification = importlib.util.spec_from_file_location("commands", FOLDER / "commands.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_page_and_help_agree(commands: ModuleType) -> None:
    written = (FOLDER / "commands.md").read_text(encoding="utf-8")
    assert written == commands.page(), "run `python docs/reference/commands.py`"


def test_what_a_section_has(commands: ModuleType) -> None:
    sections = {section.partition("\n")[0].strip("# "): section for section in commands.page().split("\n#")}
    assert "| `--device auto\\|cpu\\|cuda` | `auto` |" in sections["bench run"]
    assert "\n    bench export run RUN [OPTIONS]\n" in sections["bench export run"]
    for name in ("run", "reference build", "tasks memorise", "export challenge", "verify"):
        assert "| `--executor TEXT` | `local` |" in sections[f"bench {name}"]
