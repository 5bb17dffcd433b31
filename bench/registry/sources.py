"""The source of a plugin without importing it: where modules lie, what they import, and what identifies them."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TypeVar

from bench.registry.syntax import parsed

Text = TypeVar("Text", str, bytes)
LARGEST = 50 * 2**20  # bytes of a package of which contents are read
_COMPILED = ("__pycache__",)


@dataclass(frozen=True)
class Source:
    """What identifies a plugin's source, and what a user should know of that."""

    digest: str  # SHA-256
    remarks: tuple[str, ...] = ()


def source_file(module: str) -> Path | None:
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


def imported(source: str | bytes, package: str, roots: set[str]) -> Iterator[str]:
    """Modules below these roots that a module in a package imports when it runs, also within functions."""
    for node in _running(parsed(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in roots)
        elif isinstance(node, ast.ImportFrom):
            below = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(below, package) if node.level else below
            if base.partition(".")[0] in roots:
                yield base
                inner = [f"{base}.{alias.name}" for alias in node.names]
                yield from (name for name in inner if base != "bench" and source_file(name))


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below `if TYPE_CHECKING:`, in order. Nesting may be deeper than functions can call each other."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        waiting += reversed(list(ast.iter_child_nodes(node)))


def needed(modules: Sequence[str], read: Callable[[str], tuple[Text, bool] | None], known: Mapping[str, Text]) -> dict[str, Text]:
    """Texts of modules, of what they import below their top-level packages, and of the packages that hold these, by name.

    `read` answers a module's text and whether it is a package, or None if it has none; those that are `known` are not read.
    """
    found, waiting = dict(known), list(modules)
    roots = {name.partition(".")[0] for name in modules}
    while waiting:
        name = waiting.pop()
        if name in found or name.partition(".")[0] not in roots or not (answer := read(name)):
            continue
        found[name], package = answer
        waiting += imported(found[name], name if package else name.rpartition(".")[0], roots)
        waiting += [name.rpartition(".")[0]] if "." in name else []
    return found


def of_file(path: Path, text: bytes) -> Source:
    """Of a file, whose text has been read, and of its neighbours: what it imports that lies in its folder, and what these do.

    Of a neighbour that is a package all files count.
    """
    modules, packages = _neighbours(path, text)
    files = [(file.relative_to(path.parent).as_posix(), file) for package in packages for file in sorted(_files(package))]
    return _hashed(files, Path.read_bytes, [(path.name, text), *sorted(modules.items())])


def _neighbours(path: Path, text: bytes) -> tuple[dict[str, bytes], list[Path]]:
    """Texts of modules by the names of their files, and folders of packages."""
    modules: dict[str, bytes] = {}
    packages: set[Path] = set()
    waiting = [text]
    while waiting:
        for name in _imported_first(waiting.pop()):
            file, package = path.parent / f"{name}.py", path.parent / name
            if (package / "__init__.py").is_file():
                packages.add(package)
            elif file.is_file() and file.name not in {path.name, *modules}:
                modules[file.name] = file.read_bytes()
                waiting.append(modules[file.name])
    return modules, sorted(packages)


def _imported_first(text: bytes) -> set[str]:
    """First parts of the names of modules that a text imports; none of one that is no Python."""
    try:
        nodes = list(_running(parsed(text)))
    except (SyntaxError, ValueError):
        return set()
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parts = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in whole | parts}


def of_module(module: str) -> Source:
    """Of a module, and of what it imports from its own top-level package."""
    return Source(_digest(sorted(needed([module], _read, {}).items())))


def _read(module: str) -> tuple[bytes, bool] | None:
    file = source_file(module)
    return (file.read_bytes(), file.name == "__init__.py") if file else None


def of_package(module: str) -> Source:
    """Of all files of the top-level package of a module, compiled ones and data included, or of that one file.

    Of a package beyond 50 MB, sizes and times of files are taken for their contents.
    """
    package = source_file(module.partition(".")[0])
    if package is None or package.name != "__init__.py":
        found = package or source_file(module)
        return _hashed([(found.name, found)] if found else [], Path.read_bytes)
    files = sorted(_files(package.parent))
    named = [(file.relative_to(package.parent).as_posix(), file) for file in files]
    if sum(_size(file) for file in files) <= LARGEST:
        return _hashed(named, Path.read_bytes)
    remark = f"{package.parent} has more than {LARGEST >> 20} MB: sizes and times of its files tell whether it has changed"
    source = _hashed(named, _size_and_time)
    return Source(source.digest, (remark, *source.remarks))


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _COMPILED]
        yield from (Path(parent, name) for name in names)


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def _size_and_time(file: Path) -> bytes:
    found = file.stat()
    return f"{found.st_size} {found.st_mtime_ns}".encode()


def _hashed(
    files: Sequence[tuple[str, Path]], content: Callable[[Path], bytes], known: Sequence[tuple[str, bytes]] = ()
) -> Source:
    """Of what is known already, and of files; those that cannot be read, links to nowhere say, are left out."""
    contents, remarks = list(known), []
    for name, file in files:
        try:
            if file.exists() and not file.is_file():
                raise OSError(0, "it is no file")
            contents.append((name, content(file)))
        except OSError as problem:
            remarks.append(f"{file} cannot be read ({problem.strerror}): whether it changes, nobody sees")
    return Source(_digest(contents), tuple(remarks))


def _digest(contents: Iterable[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for name, text in contents:
        digest.update(name.encode(errors="surrogateescape") + b"\0" + text + b"\0")
    return digest.hexdigest()
