"""What of a file one of its functions needs, found in the syntax tree: submissions to the challenge end with a driver.

Such a driver writes hundreds of checkpoints, and what prepares it wants a GPU, or libraries that the function never uses. An
excerpt has imports, functions, classes and plain assignments alone, and of these what the function leads to.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

_DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_LATER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)  # what is in them is not called where they stand
_NEVER_PLAIN = (ast.Yield, ast.YieldFrom, ast.Await, ast.NamedExpr)
_BUILTINS = {  # that compute
    *("abs", "bool", "bytes", "complex", "dict", "divmod", "enumerate", "float", "frozenset", "int", "len", "list", "map", "max"),
    *("min", "object", "pow", "range", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip"),
}
_FORBIDDEN = {"open", "exec", "eval", "compile", "input", "print", "getattr", "globals", "__import__"}
_LIBRARIES = {  # of Python's own those that compute
    *(
        "collections",
        "copy",
        "dataclasses",
        "datetime",
        "decimal",
        "enum",
        "fractions",
        "functools",
        "itertools",
        "logging",
        "math",
    ),
    *("numbers", "numpy", "operator", "pathlib", "random", "re", "statistics", "string", "time", "torch", "torchvision", "types"),
    *("typing", "warnings"),
}
_OF_OS = {"os.path.join", "os.path.basename", "os.path.dirname", "os.getenv", "os.environ.get", "os.cpu_count"}
_TOUCHES = re.compile(  # files, the network or other processes, by a part of what is called
    r"(load|save|open|read|write|dump|download|mkdir|touch|unlink|remove|rename|rm|glob|iterdir|listdir|walk|exists|stat|is_file|is_dir)(_.*|s|txt|z"
    r"|z_compressed|url.*|dir|tree)?|from_?file|to_?file|memmap|genfromtxt|hub|io|datasets|package|cpp_extension|multiprocessing"
    r"|distributed|jit|_.*|basicConfig|FileHandler"
)
_CHANGES = {  # methods of Python's collections that change them
    *(
        "add",
        "append",
        "appendleft",
        "clear",
        "difference_update",
        "discard",
        "extend",
        "extendleft",
        "insert",
        "intersection_update",
    ),
    *("move_to_end", "pop", "popitem", "popleft", "remove", "reverse", "setdefault", "sort", "update"),
}
_NO_WEIGHTS = ("None", "False")  # of torchvision's networks
_DRIVES = {"torch.save", "os.system", "shutil.make_archive"}


@dataclass(frozen=True)
class Excerpt:
    """What is to be executed of a file."""

    tree: ast.Module
    absent: str  # a name that it needs and that other statements make; "" if there is none


def drives(tree: ast.Module, function: str) -> bool:
    """Whether importing a file calls the function, writes checkpoints or starts programs; but for a main guard.

    It may do so in functions of its own.
    """
    origins = _origins(tree.body)
    own = {node.name: node for node in _statements(tree.body) if isinstance(node, _DEFINED[:2])}
    waiting, seen = _calls(_at_once(tree), origins), set[str]()
    while waiting:
        if any(name == function or name in _DRIVES or name.startswith("subprocess.") for name in waiting):
            return True
        seen |= waiting
        waiting = set[str]().union(*(_calls(ast.walk(own[name]), origins) for name in waiting if name in own)) - seen
    return False


def _calls(nodes: Iterable[ast.AST], origins: Mapping[str, str]) -> set[str]:
    return {_dotted(node.func, origins) for node in nodes if isinstance(node, ast.Call)}


def excerpt(tree: ast.Module, function: str) -> Excerpt | None:
    """What of a file a function needs; None if the file does not define it."""
    tree = _Apart().visit(tree)
    origins = _origins(tree.body)
    body = [kept for statement in tree.body if (kept := _kept(statement, origins))]
    if not any(function in _bound(statement) and _can_be_called(statement) for statement in body):
        return None
    needed, waiting = set[str](), {function, "*", "annotations"}  # of `from __future__ import annotations`
    while waiting:
        needed |= waiting
        chosen = [statement for statement in body if needed & _bound(statement)]
        waiting = {node.id for statement in chosen for node in ast.walk(statement) if isinstance(node, ast.Name)} - needed
    chosen = [statement for statement in body if needed & _bound(statement)]
    executed = {id(each) for each in _statements(body)}
    left_out = [each for each in _statements(tree.body) if id(each) not in executed and not isinstance(each, ast.If | ast.Try)]
    absent = sorted(name for name in needed & set().union(*map(_bound, left_out)) if _is_global(name, chosen))
    return Excerpt(ast.Module(chosen, []), absent[0] if absent else "")


class _Apart(ast.NodeTransformer):
    """Makes one statement of each name that is imported, since of several one may be needed and another missing."""

    def _each(self, node: ast.Import | ast.ImportFrom) -> list[ast.AST]:
        twins = [copy.copy(node) for _ in node.names]
        for twin, alias in zip(twins, node.names, strict=True):
            twin.names = [alias]
        return list(twins)

    visit_Import = visit_ImportFrom = _each  # noqa: N815 - names that ast calls


def _can_be_called(statement: ast.stmt) -> bool:
    """Whether it may define what is called as a function is: one that is written, imported, or made by other means."""
    return not isinstance(statement, ast.ClassDef) and not isinstance(getattr(statement, "value", None), ast.Constant)


def _is_global(name: str, statements: Sequence[ast.stmt]) -> bool:
    """Whether a function reads a name that it does not set itself."""
    functions = (*_DEFINED[:2], ast.Lambda)
    for function in (node for statement in statements for node in ast.walk(statement) if isinstance(node, functions)):
        uses = [node for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == name]
        arguments = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
        if uses and name not in arguments and not any(isinstance(node.ctx, ast.Store) for node in uses):
            return True
    return False


def _kept(statement: ast.stmt, origins: Mapping[str, str]) -> ast.stmt | None:
    """A statement that may be executed, or what of its branches may; None if nothing is."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return statement
        case ast.Assign() | ast.AugAssign() | ast.AnnAssign():
            return statement if _plain(statement, origins) else None
        case ast.Expr() if _changed(statement):
            return statement if _plain(statement, origins) else None
        case ast.If() if _plain(statement.test, origins):
            return ast.copy_location(
                ast.If(statement.test, _branch(statement.body, origins), _branch(statement.orelse, origins)), statement
            )
        case ast.Try():
            handlers = [
                ast.copy_location(ast.ExceptHandler(each.type, each.name, _branch(each.body, origins)), each)
                for each in statement.handlers
            ]
            body, other, end = (_branch(part, origins) for part in (statement.body, statement.orelse, statement.finalbody))
            return ast.copy_location(ast.Try(body, handlers, other, end), statement)
    return None


def _branch(body: Sequence[ast.stmt], origins: Mapping[str, str]) -> list[ast.stmt]:
    kept = [each for statement in body if (each := _kept(statement, origins))]
    return kept or [ast.copy_location(ast.Pass(), statement) for statement in body[:1]]


def _plain(node: ast.AST, origins: Mapping[str, str]) -> bool:
    """Whether evaluating it only computes: it calls Python's own, torch's and numpy's functions, none that reads or writes."""
    if isinstance(node, ast.Lambda):
        return True
    if isinstance(node, ast.Name) and node.id in _FORBIDDEN and node.id not in origins:
        return False
    if isinstance(node, _NEVER_PLAIN) or (isinstance(node, ast.Call) and not _computes(node, origins)):
        return False
    return all(_plain(child, origins) for child in ast.iter_child_nodes(node))


def _computes(call: ast.Call, origins: Mapping[str, str]) -> bool:
    name = _dotted(call.func, origins)
    parts = name.split(".")
    if name in _OF_OS or (name in _BUILTINS and name not in origins):
        return True
    downloads = [
        each for each in call.keywords if each.arg in ("weights", "pretrained") and ast.unparse(each.value) not in _NO_WEIGHTS
    ]
    if downloads or any(_TOUCHES.fullmatch(part) for part in parts[1:]):
        return False
    return parts[0] in _LIBRARIES or (len(parts) > 1 and parts[0] not in origins)  # or the method of a plain value


def _dotted(node: ast.expr, origins: Mapping[str, str]) -> str:
    """What is called, with the module that its first part comes from; "" for the value of an expression."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    first = origins.get(node.id, node.id) if isinstance(node, ast.Name) else ""
    return ".".join([first, *reversed(parts)])


def _origins(body: Sequence[ast.stmt]) -> dict[str, str]:
    """What names stand for that are imported or defined: a dotted name, or "own." and the name."""
    found: dict[str, str] = {}
    for node in _statements(body):
        if isinstance(node, ast.Import):
            found |= {each.asname: each.name for each in node.names if each.asname}
            found |= {(top := each.name.partition(".")[0]): top for each in node.names if not each.asname}
        elif isinstance(node, ast.ImportFrom):
            found |= {each.asname or each.name: f"{node.module or ''}.{each.name}" for each in node.names}
        elif isinstance(node, _DEFINED):
            found[node.name] = node.name
    return found


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module, with those in branches, without those in functions and classes."""
    for statement in body:
        yield statement
        if not isinstance(statement, _LATER):
            for name in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(statement, name, []))
            for handler in getattr(statement, "handlers", []):
                yield from _statements(handler.body)


def _at_once(node: ast.AST) -> Iterator[ast.AST]:
    """What is evaluated when a module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "__name__" in {each.id for each in ast.walk(child.test) if isinstance(each, ast.Name)}:
            continue
        if not isinstance(child, _LATER):
            yield child
            yield from _at_once(child)


def _bound(statement: ast.stmt) -> set[str]:
    """Names that a statement gives a meaning to, or changes."""
    found: set[str] = set()
    for node in _statements([statement]):
        if isinstance(node, _IMPORTS):
            found |= {(each.asname or each.name).partition(".")[0] for each in node.names}
        elif isinstance(node, _DEFINED):
            found.add(node.name)
        elif isinstance(node, ast.Expr):
            found |= _changed(node)
        else:
            targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
            found |= {each.id for target in targets if target for each in ast.walk(target) if isinstance(each, ast.Name)}
    return found


def _changed(statement: ast.Expr) -> set[str]:
    """The name of a collection that a call changes, as `CFG.update(lr=0.1)` does; none if it does not."""
    call = statement.value
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _CHANGES):
        return set()
    place = call.func.value
    while isinstance(place, ast.Subscript):
        place = place.value
    return {place.id} if isinstance(place, ast.Name) else set()
