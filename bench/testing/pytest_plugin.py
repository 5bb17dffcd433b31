"""The pytest plugin: `pytest --conformance my-method` adds every check as a test."""

from __future__ import annotations

from typing import Any

import pytest


class ConformanceItem(pytest.Item):
    """One check of one method."""

    def __init__(self, *, spec: str, check: Any, **rest: Any) -> None:
        super().__init__(**rest)
        self.spec, self.check = spec, check

    def runtest(self) -> None:
        """Apply it."""
        from bench.testing import demand

        demand(self.spec, self.check)

    def reportinfo(self) -> tuple[str, None, str]:
        """Where a reader finds it."""
        return "conformance", None, self.name


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--conformance SPEC`."""
    group = parser.getgroup("bench", "conformance of unlearning methods")
    group.addoption("--conformance", action="append", default=[], metavar="SPEC", help="Test a method, as `bench plugins test`.")


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the checks of the methods that were asked for."""
    for spec in config.getoption("conformance"):
        from bench.testing.checks import CHECKS

        name = "conformance of {}[{}]".format
        items += [ConformanceItem.from_parent(session, name=name(spec, check.name), spec=spec, check=check) for check in CHECKS]
