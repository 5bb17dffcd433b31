"""List, check, show, test and start plugins."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import options
from bench.hookspecs import hookimpl
from bench.method import Paper
from bench.registry import discovery, specs

if TYPE_CHECKING:
    from bench.testing.outcome import Outcome


@dataclass(frozen=True)
class Listed:
    """One row."""

    name: str
    kind: str
    distribution: str
    version: str
    status: str
    summary: str


@click.group(invoke_without_command=True)
@click.option("--check", is_flag=True, help="Import each, in a process of its own, and show what fails.")
@options.as_json
@click.pass_context
def plugins(ctx: click.Context, check: bool, as_json: bool) -> None:
    """List installed methods, tasks, networks, metrics, executors and commands; without --check none is imported."""
    if ctx.invoked_subcommand:
        return
    problems = _problems() if check else {}
    rows = [row for group in discovery.KINDS for row in _rows(group, problems)] + _skipped()
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        _print_rows(rows)
    if any(problems.values()):
        raise click.exceptions.Exit(1)


def _rows(group: str, problems: dict[tuple[str, str, str], str]) -> list[Listed]:
    found = discovery.installed(group)
    claims = Counter(plugin.name for plugin in found)
    kind, rows = discovery.KINDS[group], []
    for plugin in found:
        summary, status = plugin.summary(), "ok" if problems else ""
        if plugin.name in discovery.disabled():
            status = f"disabled by {discovery.DISABLED}"
        elif problems.get((group, plugin.name, plugin.distribution)):
            status = problems[group, plugin.name, plugin.distribution]
            summary = "" if summary.startswith("(broken: ") else summary
        elif claims[plugin.name] > 1:
            others = [other.distribution for other in found if other.name == plugin.name and other != plugin]
            status = f"name also claimed by {', '.join(others)}"
        elif summary.startswith("(broken: "):
            summary, status = "", summary[1:-1]
        rows.append(Listed(plugin.name, kind, plugin.distribution, plugin.version, status, summary))
    return rows


def _skipped() -> list[Listed]:
    """Packages that cannot be read, whether they have plugins or not: nobody can tell."""
    return [
        Listed(each.distribution, "package", each.distribution, "", f"skipped: {each.reason}; mend or uninstall it", "")
        for each in discovery.unreadable()
    ]


def _problems() -> dict[tuple[str, str, str], str]:
    from bench.engine.inspection import inspect_all

    return {(item.group, item.plugin.name, item.plugin.distribution): item.problem for item in inspect_all()}


def _print_rows(rows: Sequence[Listed]) -> None:
    columns = ("name", "kind", "distribution", "version")
    widths = [max(len(getattr(row, column)) for row in rows) for column in columns]
    for row in rows:
        cells = [getattr(row, column).ljust(width) for column, width in zip(columns, widths, strict=True)]
        status = f"[{row.status}]" if row.status not in ("", "ok") else row.status
        click.echo("  ".join([*cells, *([status] if status else []), row.summary]).rstrip())


@plugins.command()
@click.argument("name", shell_complete=options.complete(discovery.METHODS))
@options.as_json
def show(name: str, as_json: bool) -> None:
    """Explain a method: its docstring, hyper-parameters with defaults and where they come from, and what it declares."""
    from bench.registry import documentation, loading

    plugin = discovery.find_method(name)
    method = loading.load_method(plugin)
    fields, declared = documentation.hyper_parameters(method), documentation.flags(method)
    text = inspect.getdoc(method) or "(no docstring)"
    if as_json:
        about = {"name": plugin.name, "distribution": plugin.distribution, "version": plugin.version, "documentation": text}
        parameters = [asdict(field) for field in fields]
        more = {
            "paper": {**asdict(method.paper), "bibtex": method.paper.bibtex} if isinstance(method.paper, Paper) else None,
            "reconstruction": method.reconstruction,
            "cost": method.cost,
            "needs": method.needs,
        }
        said = {**about, **more, "hyper_parameters": parameters, "presets": dict(method.presets), "declares": declared}
        click.echo(json.dumps(said, indent=1, default=str))
        return
    click.echo(f"{plugin.name}  {plugin.distribution or plugin.module} {plugin.version}\n\n{text}\n")
    if isinstance(method.paper, Paper):
        click.echo("".join(f"  {line}\n" for line in _paper(method.paper)))
    if method.reconstruction:
        click.echo(f"  reconstruction: {method.reconstruction}\n")
    width = max((len(f"{field.name} = {field.default!r}") for field in fields), default=0)
    for field in fields:
        may_be = f"[{field.domain}]" if field.domain else ""
        click.echo(f"  {f'{field.name} = {field.default!r}'.ljust(width)}  {f'{may_be}  {field.source}'.strip()}".rstrip())
    for preset in method.presets:
        click.echo(f"\nsetting by name: {plugin.name}[preset={preset}]")
    click.echo("\ndeclares: " + ", ".join(f"{flag} = {value}" for flag, value in declared.items()))
    if isinstance(method.paper, Paper):
        click.echo(f"\n{method.paper.bibtex}")


def _paper(paper: Paper) -> list[str]:
    """Lines of a bibliography."""
    published = " ".join(part for part in (paper.venue, str(paper.year)) if part)
    return [paper.title, f"{paper.authors}. {published}", *(address for address in (paper.url, paper.code) if address)]


@plugins.command()
@click.argument("name", shell_complete=options.complete(discovery.METHODS, discovery.NETWORKS))
@options.as_json
def test(name: str, as_json: bool) -> None:
    """Run the conformance kit on a method or network, installed or in a file, in ten seconds; exit code 1 if a check fails.

    Of a task it is looked whether it can be trained on.
    """
    outcomes = []
    for outcome in _outcomes(name, remarks=not as_json):
        outcomes.append(outcome)
        if not as_json:
            click.echo(_line(outcome))
    if as_json:
        click.echo(json.dumps([{**asdict(outcome), "status": outcome.status.value} for outcome in outcomes], indent=1))
    failed = [outcome.check for outcome in outcomes if outcome.status.value == "FAIL"]
    if failed:
        raise click.exceptions.Exit(1)


def _outcomes(name: str, *, remarks: bool) -> Iterator[Outcome]:
    from bench.engine.inspection import demand_that_it_can_be_imported

    demand_that_it_can_be_imported(specs.parse(name).plugin)
    if discovery.is_task(specs.parse(name).plugin):
        from bench.testing.task_checks import outcomes

        return outcomes(name)
    from bench.registry import loading
    from bench.testing.kit import kit_of

    kit = kit_of(name)
    tested = kit.subject(name)
    if remarks and (remark := loading.remark(getattr(tested, "method", None))):
        click.echo(f"note  {remark}")
    return (check.run(tested) for check in kit.checks)


def _line(outcome: Outcome) -> str:
    reason = f": {' '.join(outcome.reason.split())}" if outcome.reason else ""
    return f"{outcome.status.value.ljust(4)}  {outcome.check}{reason}"


@plugins.command()
@click.argument("name")
@click.option("--template", type=click.Choice(["method", "function"]), default="method", show_default=True)
@click.option("--out", type=options.UserPath(), help="Folder to make.  [default: ./NAME]")
def new(name: str, template: str, out: Path | None) -> None:
    """Make an installable package for a method, which passes its own tests as it is."""
    from bench.registry.scaffold import make

    folder = make(name, template, out or Path(name))
    click.echo(f"made {folder}\nnext:  pip install --editable {folder} && bench plugins test {name} && bench run --plugin {name}")


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `bench plugins`."""
    cli.add_command(plugins)
