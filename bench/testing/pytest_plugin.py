"""The pytest plugin: `pytest --conformance my-method` adds every check as a test."""

from __future__ import annotations

from typing import Any

import pytest


class ConformanceItem(pytest.Item):
    """One check of one plugin."""

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
    group = parser.getgroup("bench", "conformance of unlearning methods and networks")
    group.addoption("--conformance", action="append", default=[], metavar="SPEC", help="Test a plugin, as `bench plugins test`.")


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the checks of the plugins that were asked for."""
    for spec in config.getoption("conformance"):
        from bench.testing.kit import kit_of

        name, checks = "conformance of {}[{}]".format, kit_of(spec).checks
        items += [ConformanceItem.from_parent(session, name=name(spec, check.name), spec=spec, check=check) for check in checks]
