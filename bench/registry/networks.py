"""Networks by name: ours, installed ones, and those in files, which alone are loaded and need torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.models.networks import LARGE, NETWORKS, recipe_for, shipped_network
from bench.models.recipe import Recipe
from bench.registry import discovery, loading
from bench.registry.discovery import Plugin

if TYPE_CHECKING:
    from torch import nn

    from bench.models.build import Blueprint


@dataclass(frozen=True)
class OwnNetwork:
    """Where a network comes from that does not come with bench."""

    plugin: Plugin
    source: str  # hash of the plugin's source
    stackable: bool


@dataclass(frozen=True)
class Found:
    """A network that somebody named."""

    name: str  # ours, with its version; else that of the entry point, or of the class in a file
    recipe: Recipe
    own: OwnNetwork | None  # None: it comes with bench


def find(text: str) -> Found:
    """The network that `resnet18`, the name of an installed one, `my_net.py` or `my_net.py:Net` stands for.

    Raises:
        BenchError: there is none, or it cannot be loaded.
    """
    if name := shipped_network(text):
        return Found(name, recipe_for(name), None)
    return own_network(discovery.in_file(text, "network") or discovery.find(discovery.NETWORKS, text, "network", list(NETWORKS)))


def own_network(plugin: Plugin) -> Found:
    """Import a plugin, and see what its network says of itself.

    Raises:
        BenchError: it cannot be loaded, or says what cannot be understood.
    """
    made_by = loading.load_network(plugin)
    recipe: Recipe = _said(plugin, made_by, "recipe", LARGE)
    stackable: bool = _said(plugin, made_by, "stackable", False)
    name = plugin.name if plugin.distribution else plugin.attribute or getattr(made_by, "__name__", plugin.name)
    return Found(name, recipe, OwnNetwork(plugin, plugin.source_hash(), stackable))


def blueprint_of(network: str, own: OwnNetwork | None, classes: int, size: int) -> Blueprint:
    """How a network is made for so many classes and pictures of so many pixels a side."""
    import torch

    from bench.models.build import Blueprint, blueprint

    if own is None:
        return blueprint(network, classes)
    make = partial(_made, own.plugin, loading.load_network(own.plugin), classes, size)
    return Blueprint(make, own.stackable, torch.contiguous_format)


def _made(plugin: Plugin, made_by: Callable[..., Any], classes: int, size: int) -> nn.Module:
    from torch import nn
    from torch.nn.parameter import is_lazy

    try:
        network = made_by(classes=classes, size=size)
    except (Exception, SystemExit) as problem:
        raise loading.blame(plugin, f"makes no network for {classes} classes and {size} pixels", problem) from problem
    if not isinstance(network, nn.Module):
        raise BenchError(f"plugin {plugin.label} makes a {type(network).__name__}, not a torch.nn.Module")
    if lazy := [name for name, tensor in (*network.named_parameters(), *network.named_buffers()) if is_lazy(tensor)]:
        raise BenchError(f"plugin {plugin.label}: {lazy[0]} has no shape yet: give its layer the number of inputs")
    return network.train()


def _said(plugin: Plugin, made_by: object, name: str, default: Any) -> Any:
    value = getattr(made_by, name, default)
    if type(value) is not type(default):
        kind = "True or False" if isinstance(default, bool) else f"a {type(default).__name__}"
        raise BenchError(f"plugin {plugin.label}: {name} must be {kind}, not {value!r}")
    return value
