"""Stand-alone scripts: a method with the modules that it needs, as one readable file."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from bench.errors import BenchError
from bench.method import Control, Method
from bench.registry import discovery, loading, specs
from bench.registry.sources import needed

RUNTIME = "bench.export.submission"
FACADE = '''"""What plugins import from bench."""

from bench.errors import BenchError
from bench.method import Control, Method


def hookimpl(function):
    return function
'''


def challenge_script(plugin: discovery.Plugin, spec: specs.Spec) -> str:
    """A script with the challenge's `unlearning` function that runs the method, and needs torch and numpy only.

    Raises:
        BenchError: the method cannot be loaded, is a control row, is such a function already, or has no source.
    """
    kind = loading.load_method(plugin)
    method = specs.configure(kind, spec)
    if isinstance(method, Control):
        raise BenchError(f"{plugin.name} is a control row: there is nothing to submit")
    if hasattr(kind, "function"):
        raise BenchError(f"{plugin.name} has the challenge's signature already: submit its file")
    sources = _sources_of(plugin, kind)
    environment = Environment(  # noqa: S701 - Python, not HTML
        loader=PackageLoader("bench.export"), undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    return environment.get_template("submission.py.jinja").render(
        spec=str(spec),
        module=_module_of(plugin, kind),
        kind=kind.__qualname__,
        parameters={field.name: getattr(method, field.name) for field in dataclasses.fields(method)},
        runtime=RUNTIME,
        sources={name: _quoted(source) for name, source in sorted(sources.items())},
    )


def _module_of(plugin: discovery.Plugin, kind: type[Method]) -> str:
    return kind.__module__ if plugin.distribution else Path(plugin.module).stem


def _sources_of(plugin: discovery.Plugin, kind: type[Method]) -> dict[str, str]:
    """The method's module, what it and the runtime import from its package and from bench, and the packages that hold these."""
    module = _module_of(plugin, kind)

    def read(name: str) -> tuple[str, bool]:
        if name == module and plugin.text is not None:
            return importlib.util.decode_source(plugin.text), False
        return _source(name)

    return needed([RUNTIME, module], read, {"bench": FACADE})


def _source(name: str) -> tuple[str, bool]:
    """A module's text, and whether it is a package."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise BenchError(f"module {name} has no Python source that could be copied")
    return Path(spec.origin).read_text(encoding="utf-8"), spec.submodule_search_locations is not None


def _quoted(source: str) -> str:
    """A Python literal, on lines of its own if that is possible."""
    plain = "'''" not in source and not source.endswith(("'", "\\"))
    return f"r'''{source}'''" if plain else repr(source)
