"""Finds plugins by entry point or file, and loads the one that is asked for.

Listing reads package metadata and source text only: nothing is imported, so a broken plugin costs one row and a slow one
no time.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from bench import hookspecs
from bench.errors import BenchError
from bench.method import Method

if TYPE_CHECKING:
    import click

    from bench.datasets.dataset import Dataset
    from bench.metrics.metric import Metric
    from bench.tasks.task import Task

METHODS, TASKS, METRICS, COMMANDS = "bench", "bench.tasks", "bench.metrics", "bench.commands"
KINDS = {METHODS: "method", TASKS: "task", METRICS: "metric", COMMANDS: "command"}
DISABLED, STRICT = "BENCH_PLUGINS_DISABLED", "BENCH_STRICT"  # environment variables


@dataclass(frozen=True)
class Plugin:
    """Where a plugin comes from, known without importing it."""

    name: str
    module: str  # importable name, or a file's path
    distribution: str  # "" for a file
    version: str
    attribute: str = ""  # the class to take from a file; "": the only one

    @property
    def file(self) -> Path | None:
        """The source file, if it can be found without importing anything."""
        return Path(self.module) if self.module.endswith(".py") else _source_file(self.module)

    def summary(self) -> str:
        """First line of the module's docstring, or why there is none."""
        if self.file is None:
            return f"(broken: no module {self.module})"
        try:
            return (ast.get_docstring(ast.parse(self.file.read_bytes())) or "").partition("\n")[0]
        except (SyntaxError, ValueError, OSError) as problem:
            return f"(broken: {type(problem).__name__}: {problem})"

    def source_hash(self) -> str:
        """SHA-256 of the plugin's file, or of all Python files of its top-level package."""
        digest = hashlib.sha256()
        for path in self._sources():
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()

    def _sources(self) -> list[Path]:
        if self.module.endswith(".py"):
            return [Path(self.module)]
        package = _source_file(self.module.partition(".")[0])
        if package is None or package.name != "__init__.py":
            return [path for path in (package or self.file,) if path]
        return sorted(package.parent.rglob("*.py"))


def disabled() -> frozenset[str]:
    """Names that the environment variable BENCH_PLUGINS_DISABLED, `a,b`, takes out of use."""
    return frozenset(name.strip() for name in os.environ.get(DISABLED, "").split(",")) - {""}


def installed(group: str) -> list[Plugin]:
    """All plugins of an entry-point group, by name; a name that two distributions claim comes twice."""
    found = dict.fromkeys(_plugin(entry) for entry in entry_points(group=group))
    return sorted(found, key=lambda plugin: (plugin.name, plugin.distribution))


def plugins(group: str) -> list[Plugin]:
    """Those that are not disabled."""
    return [plugin for plugin in installed(group) if plugin.name not in disabled()]


def find(group: str, name: str, noun: str) -> Plugin:
    """The plugin of that name.

    Raises:
        BenchError: there is none, and close names are suggested; or two distributions claim it.
    """
    if name in disabled():
        raise BenchError(f"{noun} {name!r} is disabled by {DISABLED}")
    return choose(plugins(group), name, noun)


def choose(known: Sequence[Plugin], name: str, noun: str) -> Plugin:
    """`find` among plugins that were listed before: listing takes 40 ms."""
    claims = [plugin for plugin in known if plugin.name == name]
    if len(claims) > 1:
        both = " and ".join(plugin.distribution for plugin in claims)
        raise BenchError(f"two packages claim the {noun} {name!r}: {both}; uninstall one of them")
    if claims:
        return claims[0]
    names = list(dict.fromkeys(plugin.name for plugin in known))
    close = get_close_matches(name, names, 3, 0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(names)}"
    raise BenchError(f"unknown {noun} {name!r}; {hint}")


def find_method(name: str) -> Plugin:
    """The method of that entry-point name, or in that file: `scrub`, `my_method.py`, `my_method.py:MyMethod`.

    What a file's name is followed by may also be a function in the challenge's signature: `submission.py:unlearning`.
    """
    path, _, attribute = name.partition(".py:")
    if not (attribute or name.endswith(".py")):
        return find(METHODS, name, "plugin")
    file = Path(f"{path}.py" if attribute else path).absolute()
    if not file.is_file():
        raise BenchError(f"plugin file {file} does not exist")
    name = f"{file.stem}.{attribute}" if attribute else file.stem
    return Plugin(name=name, module=str(file), distribution="", version="", attribute=attribute)


def load_method(plugin: Plugin) -> type[Method]:
    """Import the plugin and return the method that it registers."""
    module = _import(plugin)
    if plugin.distribution or (hasattr(module, "register_methods") and not plugin.attribute):
        candidates = _registered(plugin, module, "register_methods")
    elif plugin.attribute:
        if not hasattr(module, plugin.attribute):
            raise BenchError(f"{plugin.module} has no {plugin.attribute}")
        candidates = [getattr(module, plugin.attribute)]
    else:
        own = [item for item in vars(module).values() if getattr(item, "__module__", "") == module.__name__]
        candidates = [item for item in own if _is_method(item)] or [item for item in own if _is_function(item)]
    found: Any = _only(plugin, candidates, lambda item: _is_method(item) or inspect.isfunction(item))
    method: type[Method] = _adapted(plugin, found) if inspect.isfunction(found) else found
    return method


def _adapted(plugin: Plugin, function: Callable[..., Any]) -> type[Method]:
    from bench.functions import method_of

    try:
        return method_of(function)
    except BenchError as problem:
        raise BenchError(f"plugin {_label(plugin)}: {problem}") from None


def load_task(text: str) -> Task:
    """The task that `name` or `name[forget="random:100",model="resnet18",size=64]` stands for.

    Raises:
        BenchError: there is none, or its data are not prepared.
    """
    from bench import specs
    from bench.tasks import variants

    spec = specs.parse(text, "task")
    return variants.make(registered_task(spec.plugin), spec.parameters)


def registered_task(name: str) -> Task | Dataset:
    """What a plugin registered under that name."""
    return _load_task(find(TASKS, name, "task"))


def _load_task(plugin: Plugin) -> Task | Dataset:
    from bench.datasets.dataset import Dataset
    from bench.tasks.task import Task

    sys.audit("bench.task", plugin.name)
    tasks = _registered(plugin, _import(plugin), "register_tasks")
    task: Task | Dataset = _only(plugin, tasks, lambda item: isinstance(item, Task | Dataset) and item.name == plugin.name)
    return task


def load_metric(plugin: Plugin) -> Metric:
    """Import the plugin and return the metric that it registers."""
    from bench.metrics.metric import Metric, check_metric

    found = _registered(plugin, _import(plugin), "register_metrics")
    metric: type[Metric] = _only(plugin, found, lambda item: isinstance(item, type) and issubclass(item, Metric))
    try:
        made = metric()
        check_metric(made)
    except (Exception, SystemExit) as problem:
        raise _blame(plugin, "is no metric", problem) from problem
    return made


def load_command(plugin: Plugin) -> click.Command:
    """Import the plugin and return the command that it adds."""
    import click

    group = click.Group()
    _call(plugin, _import(plugin), "register_commands", cli=group)
    command: click.Command = _only(plugin, group.commands.values(), lambda item: item.name == plugin.name)
    return command


def load(group: str, plugin: Plugin) -> object:
    """Import a plugin of any group and return what it registers."""
    loaders: dict[str, Callable[[Plugin], object]] = {
        METHODS: load_method,
        TASKS: _load_task,
        METRICS: load_metric,
        COMMANDS: load_command,
    }
    return loaders[group](plugin)


def _plugin(entry: EntryPoint) -> Plugin:
    distribution = entry.dist
    return Plugin(
        name=entry.name,
        module=entry.module,
        distribution=distribution.name if distribution else "?",
        version=distribution.version if distribution else "?",
    )


def _source_file(module: str) -> Path | None:
    """The file of a module, without importing its parents: `find_spec` on the full name would."""
    top, *rest = module.split(".")
    try:
        spec: ModuleSpec | None = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or not rest:
        return Path(spec.origin) if spec and spec.origin else None
    stems = (Path(folder, *rest) for folder in spec.submodule_search_locations or ())
    files = (file for stem in stems for file in (stem.with_suffix(".py"), stem / "__init__.py"))
    return next((file for file in files if file.is_file()), None)


def _import(plugin: Plugin) -> ModuleType:
    try:
        if not plugin.module.endswith(".py"):
            return importlib.import_module(plugin.module)
        spec = importlib.util.spec_from_file_location(f"bench_file_{plugin.file.stem}" if plugin.file else "", plugin.module)
        if spec is None or spec.loader is None:
            raise ImportError(f"{plugin.module} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as problem:
        raise _blame(plugin, "fails to import", problem) from problem
    return module


def _registered(plugin: Plugin, module: ModuleType, hook: str) -> list[Any]:
    found: list[Any] = []
    _call(plugin, module, hook, register=found.append)
    if not found and hasattr(module, hook) and not hasattr(getattr(module, hook), f"{hookspecs.PROJECT}_impl"):
        raise BenchError(f"plugin {_label(plugin)}: decorate {hook} with @hookimpl (from bench import hookimpl)")
    return found


def _call(plugin: Plugin, module: ModuleType, hook: str, **arguments: object) -> None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module)
        manager.check_pending()
        getattr(manager.hook, hook)(**arguments)
    except pluggy.PluginValidationError as problem:
        raise _blame(
            plugin, "is made for another version of bench (pip install --upgrade unlearning-bench)", problem
        ) from problem
    except Exception as problem:
        raise _blame(plugin, f"fails in {hook}", problem) from problem


def _blame(plugin: Plugin, what: str, problem: BaseException) -> BaseException:
    """One line that names the plugin; the error itself if BENCH_STRICT is set."""
    if strict():
        return problem
    return BenchError(f"plugin {_label(plugin)} {what}: {type(problem).__name__}: {problem}")


def strict() -> bool:
    """Whether the environment variable BENCH_STRICT asks for the tracebacks of plugins."""
    return os.environ.get(STRICT, "0") not in ("", "0")


def _is_function(item: object) -> bool:
    return inspect.isfunction(item) and item.__name__ == "unlearning"


def _is_method(item: object) -> bool:
    return isinstance(item, type) and issubclass(item, Method) and item.__name__ not in ("Method", "Control")


def _only(plugin: Plugin, found: Iterable[Any], fits: Callable[[Any], bool]) -> Any:
    items = list(found)
    if len(items) == 1 and fits(items[0]):
        return items[0]
    names = ", ".join(str(getattr(item, "name", None) or getattr(item, "__name__", item)) for item in items) or "nothing"
    hint = "; say which with FILE.py:CLASS" if len(items) > 1 and not plugin.distribution else ""
    raise BenchError(f"plugin {_label(plugin)} must define exactly one thing for the name {plugin.name!r}; found: {names}{hint}")


def _label(plugin: Plugin) -> str:
    return f"{plugin.name} ({plugin.distribution or plugin.module})"


def summaries(group: str) -> Iterator[tuple[Plugin, str]]:
    """Every plugin of a group with its one-line summary."""
    return ((plugin, plugin.summary()) for plugin in plugins(group))
