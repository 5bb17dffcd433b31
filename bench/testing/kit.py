"""Which checks a plugin is tested by: it may be a method or a network, installed or in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import BenchError
from bench.models.networks import NETWORKS, shipped_network
from bench.registry import discovery, loading, specs


@dataclass(frozen=True)
class Kit:
    """The checks of a kind of plugin, and what loads one for them."""

    checks: Sequence[Any]
    subject: Callable[[str], Any]


def kit_of(spec: str) -> Kit:
    """The kit for what is named as to `bench run --plugin` or `--model`.

    Raises:
        BenchError: nothing is.
    """
    if is_network(specs.parse(spec).plugin):
        from bench.testing.networks import NETWORK_CHECKS, network_subject

        return Kit(NETWORK_CHECKS, network_subject)
    from bench.testing.checks import CHECKS
    from bench.testing.subject import subject

    return Kit(CHECKS, subject)


def is_network(name: str) -> bool:
    """Whether that is the name of a network, or of a file with one; of one that cannot be imported the kit of methods says why.

    Raises:
        BenchError: it is neither the name of a method nor of a network.
    """
    if file := discovery.in_file(name, "plugin"):
        try:
            return loading.holds_network(file)
        except BenchError:
            return False
    known = [*NETWORKS, *(plugin.name for plugin in discovery.plugins(discovery.NETWORKS))]
    methods = [plugin.name for plugin in discovery.installed(discovery.METHODS)]
    if name not in methods and (name in known or shipped_network(name)):
        return True
    if name not in methods:
        discovery.find(discovery.METHODS, name, "plugin", known)
    return False
