"""Every check of the conformance kit is proven by a broken plugin that fails it, and no other."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from bench import registry
from bench.errors import BenchError
from bench.testing.checks import CHECKS
from bench.testing.outcome import Status
from bench.testing.subject import subject

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by path
from broken import BROKEN, HEAD, SCRUBS

NAMES = {check.name for check in CHECKS}


def _failed(spec: str) -> dict[str, str]:
    outcomes = [check.run(subject(spec)) for check in CHECKS]
    torch.set_default_dtype(torch.float32)
    return {outcome.check: outcome.reason for outcome in outcomes if outcome.status is Status.FAILED}


def test_every_check_has_a_broken_plugin() -> None:
    assert {check for check, _ in BROKEN.values()} == NAMES


@pytest.mark.parametrize("name", [*BROKEN, *SCRUBS])
def test_a_broken_plugin_fails_exactly_its_check(tmp_path: Path, name: str) -> None:
    check, source = {**BROKEN, **SCRUBS}[name]
    (tmp_path / f"{name}.py").write_text(HEAD + source)
    failed = _failed(str(tmp_path / f"{name}.py"))
    assert list(failed) == [check], failed


@pytest.mark.parametrize("name", sorted(plugin.name for plugin in registry.plugins(registry.METHODS)))
def test_what_is_shipped_conforms(name: str) -> None:
    if name in ("original", "retrain"):
        with pytest.raises(BenchError, match="is a control row"):
            subject(name)
    else:
        assert _failed(name) == {}
