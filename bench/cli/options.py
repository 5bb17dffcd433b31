"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

store = click.option(
    "--store",
    type=click.Path(path_type=Path),
    envvar="BENCH_STORE",
    default=Path("bench-results"),
    show_default=True,
    help="Folder of results; $BENCH_STORE if set.",
)
task = click.option("--task", default="age-synthetic", show_default=True, help="Task, as listed by `bench tasks`.")
device = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where models are computed."
)
workers = click.option("--workers", type=click.IntRange(min=1), help="Worker processes.  [default: one per core, or one per GPU]")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
