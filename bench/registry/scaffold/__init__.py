"""New plugin packages from templates: `bench plugins new`."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from bench.errors import BenchError
from bench.registry import discovery, sources
from bench.registry.syntax import parsed

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 100  # characters of a name, which is part of names of files
_LOOKED_FOR = {"conftest", "setup", "test", "tests"}  # by Python's own tests, builds and pytest
_COMMON = {
    "pyproject.toml": "pyproject.toml",
    "setup.cfg": "setup.cfg",
    "tox.ini": "tox.ini",
    "README.md": "README.md",
    "tests/test_{module}.py": "test_method.py",
    ".github/workflows/tests.yml": "tests.yml",
}


def make(name: str, template: str, folder: Path) -> Path:
    """Write a package for one method, from the template `method` or `function`; returns its folder.

    Raises:
        BenchError: the name is not fit for an entry point, is taken, would hide a module, or the folder is not empty.
    """
    if not _NAME.fullmatch(name):
        raise BenchError(f"{name!r} is no name for a method: use lower-case letters, digits and single hyphens, my-method say")
    taken = [plugin.distribution for plugin in discovery.installed(discovery.METHODS) if plugin.name == name]
    if taken:
        raise BenchError(f"the name {name!r} is taken by {taken[0]}; choose another")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BenchError(f"{folder} exists; remove it, or choose another folder with --out")
    module = name.replace("-", "_")
    words = {"name": name, "module": module, "title": module.title().replace("_", ""), "bench": _release()}
    if hidden := _hidden_by(module) or _confused_by(words["title"], template):
        raise BenchError(f"{name!r} is no name for a method: {hidden}; choose another, {name[:40]}-unlearning say")
    for path, source in {**_COMMON, "{module}.py": f"{template}.py"}.items():
        file = folder / path.format(module=module)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_rendered(source, words), encoding="utf-8")
    return folder


def _hidden_by(module: str) -> str:
    """What could no longer be imported beside a module of that name, or would be taken for something else."""
    if keyword.iskeyword(module):
        return f"{module} is a word of Python's, and cannot be imported"
    if module in sys.stdlib_module_names or module in _LOOKED_FOR:
        return f"a module {module} would be taken for one of Python's, or the other way round"
    if found := sources.source_file(module):
        return f"there is a module {module} already, {found}"
    return f"it has more than {LONGEST} characters" if len(module) > LONGEST else ""


def _confused_by(title: str, template: str) -> str:
    """What else a class of that name would be in the module."""
    tree = parsed(_rendered(f"{template}.py", {"name": "x", "module": "x", "title": "X", "bench": ""}))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if template == "method" and title in {*used, *dir(builtins), *keyword.kwlist} - {"X"}:
        return f"a class {title} would hide what the module needs under that name"
    return ""


def _rendered(source: str, words: Mapping[str, str]) -> str:
    return _environment().get_template(f"{source}.jinja").render(words)


def _environment() -> Environment:
    # Python and configuration files, not HTML: nothing is to be escaped. `name` is checked above.
    return Environment(  # noqa: S701
        loader=PackageLoader("bench.registry.scaffold"), undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )


def _release() -> str:
    """The series of this version, 0.1 say."""
    return ".".join(version("unlearning-bench").split(".")[:2])
