"""What imports what: torch, which takes seconds, is left to the processes that compute; modules named in strings exist."""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bench

ROOT = Path(__file__).parents[2]
NO_MODULES = {"bench.task", "bench.commands", "bench.networks"}  # an audit event, and groups of entry points

COMPUTES = (  # with torch; all other modules must not need it
    "bench.engine.worker.arithmetic",
    "bench.engine.worker.examination",
    "bench.engine.worker.loop",
    "bench.engine.worker.method",
    "bench.engine.worker.preloaded",
    "bench.engine.worker.probe",
    "bench.engine.worker.server",
    "bench.engine.worker.trusted",
    "bench.export.checkpoints",
    "bench.export.submission",
    "bench.losses",
    "bench.models.autocast",
    "bench.models.build",
    "bench.models.layers",
    "bench.models.normalise",
    "bench.models.products",
    "bench.models.resnet18",
    "bench.models.resnet8",
    "bench.models.returned",
    "bench.models.stacked",
    "bench.models.training",
    "bench.models.unwrapped",
    "bench.registry.batches",
    "bench.registry.functions",
    "bench.splits",
    "bench.tasks.checkpoints",
    "bench.tasks.datasets.pictures",
    "bench.testing.checks",
    "bench.testing.networks",
    "bench.testing.observation",
    "bench.testing.real_trial",
    "bench.testing.subject",
    "bench.testing.toy_task",
    "bench.trial",
    "bench.weights",
)
CODE = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    if "torch" in sys.modules:
        sys.exit(f"{name} imports torch")
"""


def _modules() -> list[str]:
    return ["bench", *(module.name for module in pkgutil.walk_packages(bench.__path__, "bench."))]


def _imported(*names: str) -> str:
    """What a fresh process says when it imports them one after the other."""
    return subprocess.run([sys.executable, "-c", CODE, *names], capture_output=True, text=True, check=False).stderr.strip()


@pytest.mark.process
def test_modules_that_do_not_compute_need_no_torch() -> None:
    others = [name for name in _modules() if name not in COMPUTES]
    assert {"bench.registry.loading", "bench.tasks.variants", "bench.models.networks", "bench.engine.runs"} <= set(others)
    assert _imported(*others) == ""


@pytest.mark.process
def test_one_that_does_is_noticed() -> None:
    assert set(COMPUTES) <= set(_modules())
    assert _imported("bench.errors", "bench.weights") == "bench.weights imports torch"


def test_modules_that_are_named_in_strings_exist() -> None:
    """Fork servers pass over what they cannot import in silence, and templates are looked for when they are needed."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "bench").rglob("*.py")]
    strings = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    named = {text for text in strings if isinstance(text, str) and re.fullmatch(r"bench(\.\w+)+", text)} - NO_MODULES
    assert "bench.engine.worker.method" in named
    assert not [name for name in sorted(named) if importlib.util.find_spec(name) is None]
