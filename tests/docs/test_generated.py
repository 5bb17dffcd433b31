"""Pages that are written from what commands and metrics say of themselves say nothing else."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
Writer = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def writer() -> Writer:
    """The script that writes a page."""

    def load(name: str) -> ModuleType:
        specification = importlib.util.spec_from_file_location(f"page_of_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return module

    return load


@pytest.mark.parametrize("name", ["commands", "methods", "metrics"])
def test_page_and_program_agree(writer: Writer, name: str) -> None:
    written = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert written == writer(name).page(), f"run `python docs/reference/{name}.py`"


def test_what_the_section_of_a_command_has(writer: Writer) -> None:
    sections = {section.partition("\n")[0].strip("# "): section for section in writer("commands").page().split("\n#")}
    assert "| `--precision float32\\|tf32\\|bf16` | `float32` |" in sections["bench run"]
    assert "\n    bench export run RUN [OPTIONS]\n" in sections["bench export run"]
    for name in ("run", "reference build", "tasks memorise", "export challenge", "verify"):
        assert "| `--executor TEXT` | `local` |" in sections[f"bench {name}"]


def test_what_the_section_of_a_metric_has(writer: Writer) -> None:
    sections = {section.partition("\n")[0]: section for section in writer("metrics").page().split("\n## ")}
    assert "| `p_value` | how often exchanged models" in sections["distinguishability"]
    assert "| evidence: p-value |" in sections["distinguishability"]
    assert all("\nSource: " in text and "\nPitfalls: " in text for name, text in sections.items() if name != "# Metrics")


def test_what_the_section_of_a_method_has(writer: Writer) -> None:
    sections = {section.partition("\n")[0]: section for section in writer("methods").page().split("\n## ")}
    assert "| `temperature` | `4.0` | above 0 | search |" in sections["scrub"]
    assert "[Towards Unbounded Machine Unlearning](https://arxiv.org/abs/2302.09880), NeurIPS 2023." in sections["scrub"]
    assert "Settings by name: `paper`" in sections["scrub"]
    assert all("\nSource: " in text and ", [" in text for name, text in sections.items() if name != "# Methods")
