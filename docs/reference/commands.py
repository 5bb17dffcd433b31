"""Writes commands.md, beside this file, from what the installed commands say of themselves; a test compares the two.

python docs/reference/commands.py
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import click

from bench.registry import discovery, loading

DISTRIBUTION = "unlearning-bench"
PAGE = Path(__file__).parent / "commands.md"
TOP = f"""\
# Commands

Every command that comes with `{DISTRIBUTION}`, with its options. `bench COMMAND --help` says the same. This page is written by
[commands.py](commands.py).

`--debug`, anywhere on the line, shows the traceback of an error. A mistake that the user can mend ends with one line and exit
code 2.
"""


def page() -> str:
    """The page as it should be."""
    names = sorted(entry.name for entry in distribution(DISTRIBUTION).entry_points.select(group=discovery.COMMANDS))
    sections = [section for name in names for section in _sections(f"bench {name}", _command(name))]
    return "\n".join([TOP, *sections])


def _command(name: str) -> click.Command:
    return loading.load_command(discovery.find(discovery.COMMANDS, name, "command"))


def _sections(name: str, command: click.Command) -> Iterator[str]:
    """A section for a command, and one for each of its subcommands."""
    depth = "#" * len(name.split())
    yield f"{depth} {name}\n\n{_described(command)}\n"
    if isinstance(command, click.Group):
        if command.invoke_without_command:
            yield from _usage(name, command)
        for part in sorted(command.commands):
            yield from _sections(f"{name} {part}", command.commands[part])
    else:
        yield from _usage(name, command)


def _described(command: click.Command) -> str:
    return (command.help or "").strip().replace("\n    ", "\n")


def _usage(name: str, command: click.Command) -> Iterator[str]:
    arguments = [item for item in command.params if isinstance(item, click.Argument)]
    options = [item for item in command.params if isinstance(item, click.Option)]
    asked = [f"{_names(item)}{_value(item)}" for item in options if item.required]
    words = [name, *asked, *filter(None, map(_argument, arguments)), *["[OPTIONS]"] * any(not item.required for item in options)]
    yield f"    {' '.join(words)}\n"
    lines = [
        f"| `{_escaped(_names(item) + _value(item))}` | {_default(item)} | {_escaped(item.help or '')} |" for item in options
    ]
    if lines:
        yield "\n".join(["| option | default | meaning |", "|---|---|---|", *lines, ""])


def _argument(argument: click.Argument) -> str:
    """An argument as it is typed; "" if it has no name to show."""
    if argument.metavar is not None:
        return argument.metavar
    name = (argument.name or "").upper()
    return f"{name}..." if argument.nargs < 0 else name


def _names(option: click.Option) -> str:
    return ", ".join(option.opts)


def _value(option: click.Option) -> str:
    """What follows the option's name, with a space in front; "" for a flag."""
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return f" {'|'.join(option.type.choices)}"
    kinds = {"integer": "INTEGER", "integer range": "INTEGER", "file": "FILE", "directory": "FOLDER", "path": "PATH"}
    return f" {option.metavar or kinds.get(option.type.name, 'TEXT')}"


def _default(option: click.Option) -> str:
    """The default, if the help shows one."""
    if option.required:
        return "required"
    return f"`{option.default}`" if option.show_default else ""


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
