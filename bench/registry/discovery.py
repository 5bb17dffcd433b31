"""Finds plugins by entry point or file.

Listing reads package metadata and source text only: nothing is imported, so a broken plugin costs one row and a slow one
no time.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from bench.errors import BenchError, one_line
from bench.registry import distributions, notebooks, sources
from bench.registry.distributions import Entry, Unreadable
from bench.registry.paths import expanded
from bench.registry.sources import Source, source_file
from bench.registry.syntax import parsed

METHODS, TASKS, METRICS = "bench", "bench.tasks", "bench.metrics"
NETWORKS = "bench.networks"
EXECUTORS, COMMANDS = "bench.executors", "bench.commands"
KINDS = {
    METHODS: "method",
    TASKS: "task",
    NETWORKS: "network",
    METRICS: "metric",
    EXECUTORS: "executor",
    COMMANDS: "command",
}
DISABLED = "BENCH_PLUGINS_DISABLED"  # environment variable
FILES = (".py", ".ipynb")
RUN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")  # of a run's folder: a method's name, a hyphen, and a hash
_LONGEST_NAME = 200 - len("-0123456789ab")
_SHIPPED = "bench_plugins."


@dataclass(frozen=True)
class Plugin:
    """Where a plugin comes from, known without importing it."""

    name: str
    module: str  # importable name, or a file's path
    distribution: str  # "" for a file
    version: str
    attribute: str = ""  # the class to take from a file; "": the only one
    text: bytes | None = field(default=None, repr=False, compare=False)  # of a file, read once: it may be edited meanwhile

    @property
    def is_file(self) -> bool:
        """Whether it is a file, or a notebook, that nobody has installed."""
        return self.module.endswith(FILES)

    @property
    def label(self) -> str:
        """Its name, and where it comes from."""
        return f"{self.name} ({self.distribution or self.module})"

    @property
    def file(self) -> Path | None:
        """The source file, if it can be found without importing anything."""
        return Path(self.module) if self.is_file else source_file(self.module)

    def summary(self) -> str:
        """First line of the module's docstring, or why there is none; fit to be shown on a terminal."""
        if self.file is None:
            return f"(broken: no module {self.module})"
        try:
            return one_line((ast.get_docstring(parsed(self._read(self.file))) or "").partition("\n")[0])
        except (SyntaxError, ValueError, OSError) as problem:
            return one_line(f"(broken: {type(problem).__name__}: {problem})")

    def source_hash(self) -> str:
        """SHA-256 of what `source` is of."""
        return self.source().digest

    def source(self) -> Source:
        """A file with its neighbours; of a shipped method the module and what that imports; else all files of the package."""
        if self.is_file:
            path = Path(self.module)
            return sources.of_file(path, self._read(path))
        return sources.of_module(self.module) if self.module.startswith(_SHIPPED) else sources.of_package(self.module)

    def _read(self, path: Path) -> bytes:
        return path.read_bytes() if self.text is None else self.text


def disabled() -> frozenset[str]:
    """Names that the environment variable BENCH_PLUGINS_DISABLED, `a,b`, takes out of use."""
    return frozenset(name.strip() for name in os.environ.get(DISABLED, "").split(",")) - {""}


def installed(group: str) -> list[Plugin]:
    """All plugins of an entry-point group, by name; a name that two distributions claim comes twice."""
    found, _ = distributions.entries([group])
    return sorted(map(_plugin, found[group]), key=lambda plugin: (plugin.name, plugin.distribution))


def unreadable() -> Sequence[Unreadable]:
    """Packages whose metadata are damaged: their plugins, if they have any, are not among the installed ones."""
    return distributions.entries(list(KINDS))[1]


def plugins(group: str) -> list[Plugin]:
    """Those that are not disabled."""
    return [plugin for plugin in installed(group) if plugin.name not in disabled()]


def find(group: str, name: str, noun: str, others: Sequence[str] = ()) -> Plugin:
    """The plugin of that name; `others` are names of the kind that are no plugins, and may have been meant.

    Raises:
        BenchError: there is none, and close names are suggested; or two distributions claim it.
    """
    if name in disabled():
        raise BenchError(f"{noun} {name!r} is disabled by {DISABLED}")
    return choose(plugins(group), name, noun, others)


def choose(known: Sequence[Plugin], name: str, noun: str, others: Sequence[str] = ()) -> Plugin:
    """`find` among plugins that were listed before: listing takes 40 ms."""
    claims = [plugin for plugin in known if plugin.name == name]
    if len(claims) > 1:
        both = " and ".join(plugin.distribution for plugin in claims)
        raise BenchError(f"two packages claim the {noun} {name!r}: {both}; uninstall one of them")
    if claims:
        return claims[0]
    names = list(dict.fromkeys([*others, *(plugin.name for plugin in known)]))
    close = get_close_matches(name, names, 3, 0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(names)}"
    raise BenchError(f"unknown {noun} {name!r}; {hint}")


def find_method(name: str) -> Plugin:
    """The method of that entry-point name, or in that file or notebook: `scrub`, `my_method.py`, `my_method.py:MyMethod`.

    What a file's name is followed by may also be a function in the challenge's signature: `submission.py:unlearning`.

    Raises:
        BenchError: there is none, or its name cannot be that of a run.
    """
    return _with_fit_name(in_file(name, "plugin") or find(METHODS, name, "plugin"))


def find_task(name: str) -> Plugin:
    """The task of that entry-point name, or the one in that file: `age-synthetic`, `my_task.py`."""
    return in_file(name, "task") or find(TASKS, name, "task")


def is_task(name: str) -> bool:
    """Whether a name is that of a task, or of a file that registers one; a method's comes first."""
    file = in_file(name, "plugin")
    if file:
        return b"def register_tasks(" in (file.text or b"")
    return name not in {plugin.name for plugin in plugins(METHODS)} and name in {plugin.name for plugin in plugins(TASKS)}


def in_file(name: str, noun: str) -> Plugin | None:
    """What a file holds that is named as `my_file.py` or `my_file.py:Thing`, read now; None: it is no file that is named.

    Raises:
        BenchError: the file is not there, or cannot be read.
    """
    path, attribute = _parts(name)
    if not path:
        return None
    file = expanded(path).absolute()
    if not file.is_file():
        raise BenchError(f"{noun} file {file} does not exist")
    try:
        text = file.read_bytes()
        text = text if path.endswith(".py") else notebooks.code_of(text)
    except OSError as problem:
        raise BenchError(f"{noun} file {file} cannot be read: {problem.strerror}") from None
    except ValueError as problem:
        raise BenchError(f"{noun} file {file} is no notebook: {problem}") from None
    name = f"{file.stem}.{attribute}" if attribute else file.stem
    return Plugin(name=name, module=str(file), distribution="", version="", attribute=attribute, text=text)


def _parts(name: str) -> tuple[str, str]:
    """A file, "" if it is none, and what to take from it."""
    for suffix in FILES:
        path, colon, attribute = name.partition(f"{suffix}:")
        if colon or name.endswith(suffix):
            return (f"{path}{suffix}", attribute) if colon else (name, "")
    return "", ""


def _with_fit_name(plugin: Plugin) -> Plugin:
    """A plugin after which runs can be called, here and wherever they are sent."""
    if RUN_NAME.fullmatch(plugin.name) and len(plugin.name) <= _LONGEST_NAME:
        return plugin
    what = f"the entry point of {plugin.distribution}" if plugin.distribution else "the file, or what it defines"
    raise BenchError(
        f"a run cannot be called {plugin.name[:60]!r}: rename {what}, with letters a to z, digits, _, . and - alone,"
        f" {_LONGEST_NAME} at most, the first a letter, a digit or _"
    )


def _plugin(entry: Entry) -> Plugin:
    return Plugin(name=entry.name, module=entry.module, distribution=entry.distribution, version=entry.version)


def summaries(group: str) -> Iterator[tuple[Plugin, str]]:
    """Every plugin of a group with its one-line summary."""
    return ((plugin, plugin.summary()) for plugin in plugins(group))
