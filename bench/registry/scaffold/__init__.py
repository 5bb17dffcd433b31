"""New plugin packages from templates: `bench plugins new`."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from bench.errors import BenchError
from bench.registry import discovery

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
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
        BenchError: the name is not fit for an entry point, is taken, or the folder is not empty.
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
    for path, source in {**_COMMON, "{module}.py": f"{template}.py"}.items():
        file = folder / path.format(module=module)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_environment().get_template(f"{source}.jinja").render(words), encoding="utf-8")
    return folder


def _environment() -> Environment:
    # Python and configuration files, not HTML: nothing is to be escaped. `name` is checked above.
    return Environment(  # noqa: S701
        loader=PackageLoader("bench.registry.scaffold"), undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )


def _release() -> str:
    """The series of this version, 0.1 say."""
    return ".".join(version("unlearning-bench").split(".")[:2])
