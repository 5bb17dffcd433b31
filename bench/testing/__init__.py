"""The conformance kit for authors of methods.

In a test file of a plugin package:

    from bench.testing import conformance

    test_my_method = conformance("my-method")

Every check is then a test of its own. `bench plugins test NAME` and `pytest --conformance NAME` run the same checks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def conformance(spec: str) -> Callable[..., None]:
    """A test, once per check, of a method given as to `bench run --plugin`: a name, `name[k=v]`, or a file."""
    import pytest

    from bench.testing.checks import CHECKS

    def test(check: Any) -> None:
        demand(spec, check)

    parametrized: Callable[..., None] = pytest.mark.parametrize("check", CHECKS, ids=lambda check: str(check.name))(test)
    return parametrized


def demand(spec: str, check: Any) -> None:
    """Apply one check within pytest."""
    import pytest

    from bench.testing.outcome import Status
    from bench.testing.subject import subject

    outcome = check.run(subject(spec))
    if outcome.status is Status.SKIPPED:
        pytest.skip(outcome.reason)
    if outcome.status is Status.FAILED:
        pytest.fail(outcome.reason, pytrace=False)
