"""`bench`: finds commands by entry point, like every other plugin, and shows mistakes as one line."""

from __future__ import annotations

import errno
import io
import sys
from importlib.metadata import version

import click

from bench.cli import report
from bench.errors import BenchError, WorkerError, advice
from bench.lifetime import without_backends
from bench.registry import discovery, loading
from bench.registry.distributions import pass_over_unreadable

_FULL = (errno.ENOSPC, errno.EDQUOT)


class Commands(click.Group):
    """Commands are listed from package metadata; only the one that is called is imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands."""
        return [plugin.name for plugin in discovery.plugins(discovery.COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        return loading.load_command(discovery.find(discovery.COMMANDS, cmd_name, "command"))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List commands with the first line of their module's docstring."""
        with formatter.section("Commands"):
            formatter.write_dl([(plugin.name, summary) for plugin, summary in discovery.summaries(discovery.COMMANDS)])


@click.command(cls=Commands)
@click.version_option(version("unlearning-bench"), prog_name="bench")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:  # taken off the line by `main`, which tells commands through the context
    """Measure how well a machine-unlearning method forgets, under a time budget, and publish the result."""


def _in_words(problem: OSError) -> str:
    """A fault of the system, and what to do."""
    kept = "; what is finished is kept, the same command goes on from there"
    return "; ".join(filter(None, (str(problem), advice(problem)))) + (kept if problem.errno in _FULL else "")


def _write_what_can_be_written() -> None:
    """A character that the terminal, or whoever reads, has no code for is replaced: nothing that took minutes ends for a `±`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def main() -> None:
    """Entry of the `bench` command: mistakes that the user can mend end with one line and exit code 2.

    `--debug` may stand anywhere on the line.
    """
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    pass_over_unreadable()
    without_backends()
    _write_what_can_be_written()
    try:
        sys.exit(cli.main(arguments, prog_name="bench", standalone_mode=False, obj=debug) or 0)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.ClickException as problem:
        report.problem(problem, problem.format_message(), debug=debug)
    except (BenchError, WorkerError) as problem:
        report.problem(problem, debug=debug)
    except OSError as problem:
        report.problem(problem, _in_words(problem), debug=debug)
    except (KeyboardInterrupt, click.Abort):
        report.stopped()
    sys.exit(2)
