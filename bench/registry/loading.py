"""Imports a plugin and takes what it registers; whatever goes wrong is one line that names it."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import linecache
import os
import sys
from collections.abc import Callable, Iterable
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from bench import hookspecs
from bench.errors import BenchError, described, one_line
from bench.method import Method
from bench.registry import excerpts
from bench.registry.discovery import Plugin
from bench.registry.syntax import parsed

if TYPE_CHECKING:
    import click

STRICT = "BENCH_STRICT"  # environment variable
EXCERPT = "__bench_excerpt__"  # of a module, and its method: why not all of its file was executed
FUNCTION = "unlearning"  # of the challenge, if a file's name says no other
_NETWORK_KEYWORDS = {"classes", "size"}


def load_method(plugin: Plugin) -> type[Method]:
    """Import the plugin and return the method that it registers."""
    module = _imported(plugin)
    candidates = _asked_for(plugin, module, "register_methods")
    if candidates is None:
        own = [item for item in _defined_by(module) if _is_method(item)]
        candidates = own or [vars(module)[FUNCTION]] * (FUNCTION in vars(module))
    if len(candidates) == 1 and not (_is_method(candidates[0]) or _can_be_called(candidates[0])):
        what = f"class {candidates[0].__name__}" if isinstance(candidates[0], type) else type(candidates[0]).__name__
        raise BenchError(f"plugin {plugin.label}: expected a subclass of bench.Method, or a function, found the {what}")
    found: Any = only(plugin, candidates, lambda item: True)
    method: type[Method] = found if _is_method(found) else _adapted(plugin, found)
    if hasattr(module, EXCERPT):
        setattr(method, EXCERPT, getattr(module, EXCERPT))
    return method


def remark(method: object) -> str:
    """What a user should know of how the method was loaded; "" if nothing."""
    return str(getattr(method, EXCERPT, ""))


def _asked_for(plugin: Plugin, module: ModuleType, hook: str) -> list[Any] | None:
    """What a package registers, or what a file does or has under the name that was given; None: whatever it defines."""
    if plugin.distribution or (hasattr(module, hook) and not plugin.attribute):
        return _registered_by(plugin, module, hook)
    if not plugin.attribute:
        return None
    if not hasattr(module, plugin.attribute):
        raise BenchError(f"{plugin.module} has no {plugin.attribute}")
    return [getattr(module, plugin.attribute)]


def _defined_by(module: ModuleType) -> list[Any]:
    return [item for item in vars(module).values() if getattr(item, "__module__", "") == module.__name__]


def load_network(plugin: Plugin) -> Callable[..., Any]:
    """Import the plugin and return what makes its network: a class, or a function.

    Raises:
        BenchError: it cannot be called with `classes` and `size`.
    """
    module = _imported(plugin)
    candidates = _asked_for(plugin, module, "register_networks")
    if candidates is None:
        candidates = [item for item in _defined_by(module) if is_network_class(item)]
    made_by: Callable[..., Any] = only(plugin, candidates, callable)
    if not takes_classes_and_size(made_by):
        raise BenchError(f"plugin {plugin.label} is no network: it must be possible to call it as NETWORK(classes=10, size=32)")
    return made_by


def holds_network(plugin: Plugin) -> bool:
    """Whether what a file is asked for is a network, and no method.

    Raises:
        BenchError: it cannot be imported.
    """
    module = _imported(plugin)
    if plugin.attribute:
        named = getattr(module, plugin.attribute, None)
        return is_network_class(named) or (
            inspect.isfunction(named) and set(inspect.signature(named).parameters) >= _NETWORK_KEYWORDS
        )
    own = _defined_by(module)
    if hasattr(module, "register_networks") or any(_is_method(item) for item in own) or FUNCTION in vars(module):
        return hasattr(module, "register_networks") and not hasattr(module, "register_methods")
    return any(is_network_class(item) for item in own)


def is_network_class(item: object) -> bool:
    """Whether something is a class of networks."""
    from torch import nn

    return isinstance(item, type) and issubclass(item, nn.Module)


def takes_classes_and_size(made_by: Callable[..., Any]) -> bool:
    """Whether something can be called with these two keywords and nothing else, as far as it says."""
    try:
        inspect.signature(made_by).bind(classes=10, size=32)
    except TypeError:
        return False
    except ValueError:  # it does not say
        return True
    return True


def _adapted(plugin: Plugin, function: Callable[..., Any]) -> type[Method]:
    from bench.registry.functions import method_of

    try:
        return method_of(function)
    except BenchError as problem:
        raise BenchError(f"plugin {plugin.label}: {problem}") from None


def load_executor(plugin: Plugin) -> Callable[..., Any]:
    """Import the plugin and return what makes its executor."""
    factory: Callable[..., Any] = only(plugin, registered(plugin, "register_executors"), callable)
    return factory


def load_command(plugin: Plugin) -> click.Command:
    """Import the plugin and return the command that it adds."""
    import click

    group = click.Group()
    _call(plugin, _imported(plugin), "register_commands", cli=group)
    command: click.Command = only(plugin, group.commands.values(), lambda item: item.name == plugin.name)
    return command


def _imported(plugin: Plugin) -> ModuleType:
    try:
        if not plugin.is_file:
            return importlib.import_module(plugin.module)
        name = f"bench_file_{plugin.file.stem}" if plugin.file else ""
        spec = importlib.util.spec_from_file_location(name, plugin.module, loader=SourceFileLoader(name, plugin.module))
        if spec is None or spec.loader is None:
            raise ImportError(f"{plugin.module} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        if plugin.text is None:
            spec.loader.exec_module(module)
        else:
            _execute(plugin, plugin.text, module)
    except (Exception, SystemExit) as problem:
        raise blame(plugin, "fails to import", problem) from problem
    return module


def _execute(plugin: Plugin, text: bytes, module: ModuleType) -> None:
    """Run a file as it was when it was read; tracebacks and `inspect` quote that, too.

    Of one that fails, or that runs a driver, only what its function needs is run: see `excerpts`.
    """
    path, clean = plugin.module, dict(vars(module))
    lines = importlib.util.decode_source(text).splitlines(keepends=True)
    linecache.cache[path] = (len(text), None, lines, path)  # without a time, so that nobody looks whether the file is newer
    notebook = path.endswith(".ipynb")
    code = compile(text, path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if notebook else 0, dont_inherit=True)
    part, why = _part(text, plugin.attribute or FUNCTION)
    why = "it is a notebook" if notebook else why
    if not (part and why):
        try:
            exec(code, vars(module))  # noqa: S102
        except (Exception, SystemExit) as problem:
            if part is None:
                raise
            why = f"alone it fails: {described(problem)}"
        else:
            return
    if part.absent:
        raise BenchError(f"{why}; its imports, definitions and plain assignments alone do not say what {part.absent} is")
    vars(module).clear()
    vars(module).update(clean)
    exec(compile(part.tree, path, "exec", dont_inherit=True), vars(module))  # noqa: S102
    setattr(module, EXCERPT, one_line(f"of its file only what it needs is executed, as {why}"))


def _part(text: bytes, function: str) -> tuple[excerpts.Excerpt | None, str]:
    """What a function needs of its file, if it can be told, and why no more than that should be executed; "" if all may be."""
    try:
        tree = parsed(text)
        return excerpts.excerpt(tree, function), "it runs a driver" if excerpts.drives(tree, function) else ""
    except RecursionError:  # of a sum with a thousand terms, say
        return None, ""


def registered(plugin: Plugin, hook: str) -> list[Any]:
    """Import a plugin and call its hook; returns what it registers."""
    return _registered_by(plugin, _imported(plugin), hook)


def _registered_by(plugin: Plugin, module: ModuleType, hook: str) -> list[Any]:
    found: list[Any] = []
    _call(plugin, module, hook, register=found.append)
    if not found and hasattr(module, hook) and not hasattr(getattr(module, hook), f"{hookspecs.PROJECT}_impl"):
        raise BenchError(f"plugin {plugin.label}: decorate {hook} with @hookimpl (from bench import hookimpl)")
    return found


def _call(plugin: Plugin, module: ModuleType, hook: str, **arguments: object) -> None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module)
        manager.check_pending()
        getattr(manager.hook, hook)(**arguments)
    except pluggy.PluginValidationError as problem:
        raise blame(plugin, "is made for another version of bench (pip install --upgrade unlearning-bench)", problem) from problem
    except Exception as problem:
        raise blame(plugin, f"fails in {hook}", problem) from problem


def blame(plugin: Plugin, what: str, problem: BaseException) -> BaseException:
    """One line that names the plugin; the error itself if BENCH_STRICT is set."""
    if strict():
        return problem
    return BenchError(f"plugin {plugin.label} {what}: {described(problem)}")


def strict() -> bool:
    """Whether the environment variable BENCH_STRICT asks for the tracebacks of plugins."""
    return os.environ.get(STRICT, "0") not in ("", "0")


def _can_be_called(item: object) -> bool:
    """Functions, and what is called like one: a partial call, a method of an object, an object."""
    return callable(item) and not isinstance(item, type)


def _is_method(item: object) -> bool:
    return isinstance(item, type) and issubclass(item, Method) and item.__name__ not in ("Method", "Control")


def only(plugin: Plugin, found: Iterable[Any], fits: Callable[[Any], bool]) -> Any:
    """The one thing that a plugin registers.

    Raises:
        BenchError: it registers none, several, or something else.
    """
    items = list(found)
    if len(items) == 1 and fits(items[0]):
        return items[0]
    names = ", ".join(str(getattr(item, "name", None) or getattr(item, "__name__", item)) for item in items) or "nothing"
    hint = "; say which with FILE.py:CLASS" if len(items) > 1 and not plugin.distribution else ""
    raise BenchError(f"plugin {plugin.label} must define exactly one thing for the name {plugin.name!r}; found: {names}{hint}")
