"""The conformance kit for authors of methods and networks.

In a test file of a plugin package:

    from bench.testing import conformance

    test_my_method = conformance("my-method")

Every check is then a test of its own. `bench plugins test NAME` and `pytest --conformance NAME` run the same checks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def conformance(spec: str) -> Callable[..., None]:
    """A test, once per check, of a method given as to `bench run --plugin`, or of a network given as to `--model`."""
    import pytest

    from bench.testing.kit import kit_of

    def test(check: Any) -> None:
        demand(spec, check)

    checks = kit_of(spec).checks
    parametrized: Callable[..., None] = pytest.mark.parametrize("check", checks, ids=lambda check: str(check.name))(test)
    return parametrized


def demand(spec: str, check: Any) -> None:
    """Apply one check within pytest."""
    import pytest

    from bench.testing.kit import kit_of
    from bench.testing.outcome import Status

    outcome = check.run(kit_of(spec).subject(spec))
    if outcome.status is Status.SKIPPED:
        pytest.skip(outcome.reason)
    if outcome.status is Status.FAILED:
        pytest.fail(outcome.reason, pytrace=False)
