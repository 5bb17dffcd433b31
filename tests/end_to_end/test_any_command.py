"""Whatever is written behind `bench`: an answer, or one line that says what is wrong; never a traceback."""

from __future__ import annotations

import os
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pytest

from bench.cli.main import cli
from bench.engine.worker.process import Worker
from bench.errors import BenchError, WorkerError
from bench.scoring.calibration import Population

STRANGE = [
    "",
    " ",
    "-",
    "--",
    "~",
    "-1",
    "0",
    "1",
    "8",
    "9" * 30,
    "1e999",
    "nan",
    "٢",
    "1_0",
    "a" * 5000,
    "\udce4",
    "ü ä",
    "a\nb",
]
STRANGE += [
    "../..",
    "/",
    "/dev/null",
    "x:y=z",
    "x:",
    ":",
    "x:y",
    "=",
    "%",
    "*",
    "{",
    "é.py:é",
    "a.py:b:c",
    "\x1b[31m",
    "0x10",
    "1.5",
]
WORDS = {
    "text": ["finetune", "scrub:epochs=3", "scrub:epochs=x", "finetune:nothing=1", "no-such-one", "retrain", "original"],
    "task": ["age-tiny", "age-tiny:forget=random:3", "age-none", "people", "cifar10"],
    "forget": ["random:3", "identities:1", "group:0", "group:99", "memorised:4", "random:100000", "file:rows.txt"],
    "model": ["resnet8", "resnet18", "resnet9000", "plugin.py:Net"],
    "budget": ["20%", "20", "3s", "0%", "-3s", "020%", "inf", "%", "20 %", "1e400s"],
    "memory_limit": ["4GB", "0GB", "4", "4XB", "1e3MB", "٤GB"],
    "executor": ["local", "remote"],
    "device": ["auto", "cpu", "cuda", "cuda:1", "cuda:x", "tpu", "NVIDIA H200", "Some GPU"],
    "only": ["forgetting", "mia", "flags", "none-such"],
    "name": ["mine", "random", "Net", "age-tiny", "finetune", "plugin.py", "forgetting", "..", "ü", "class", "a/b"],
}
SAME = {"plugins": "text", "runs": "run", "run": "run", "imports": "file", "more": "file", "metrics": "only", "files": "file"}
SAME |= {"budget_sweep": "budget"}

PLUGIN = """from bench import Method


class Plugin(Method):
    def unlearn(self, *_):
        pass
"""


@dataclass
class Grammar:
    """Draws command lines from the commands that there are."""

    random: random.Random
    words: dict[str, list[str]]
    commands: list[tuple[list[str], list[click.Parameter]]]

    def line(self) -> list[str]:
        """A command, some of its options, and what may or may not fit them."""
        draw = self.random
        path, parameters = draw.choice(self.commands)
        line = list(path) if draw.random() < 0.97 else [*path[:-1], draw.choice(STRANGE)]
        for parameter in parameters:
            if draw.random() < (0.9 if parameter.required else 0.25):
                line += self._given(parameter)
        if draw.random() < 0.1:
            line.insert(draw.randrange(len(line) + 1), draw.choice([*STRANGE, "--debug", "--json", "--help", "--nonsense"]))
        return line

    def _given(self, parameter: click.Parameter) -> list[str]:
        if isinstance(parameter, click.Argument):
            return [self._value(parameter) for _ in range(1 if parameter.nargs == 1 else self.random.randrange(4))]
        name = self.random.choice(parameter.opts)
        if getattr(parameter, "is_flag", False):
            return [name]
        value = self._value(parameter)
        return [f"{name}={value}"] if name.startswith("--") and self.random.random() < 0.5 else [name, value]

    def _value(self, parameter: click.Parameter) -> str:
        draw, kind = self.random, parameter.type
        if draw.random() < 0.25:
            return draw.choice(STRANGE)
        if isinstance(kind, click.Choice):
            return draw.choice(list(kind.choices))
        if isinstance(kind, click.types.IntParamType | click.FloatRange):
            return draw.choice(["0", "1", "8", "9", "16", "64", "100000"])
        name = parameter.name or ""
        name = SAME.get(name, name)
        return draw.choice(self.words.get(name, self.words["file"] if isinstance(kind, click.Path) else self.words["text"]))


def commands_of(group: click.Group, context: click.Context, path: list[str]) -> Iterator[tuple[list[str], list[click.Parameter]]]:
    """Every command with its parameters; a group that can be called without one, too."""
    if group.invoke_without_command:
        yield path, group.params
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands_of(command, click.Context(command, parent=context), [*path, name])
        else:
            yield [*path, name], command.params


@pytest.fixture
def place(tmp_path: Path, copied) -> Path:
    """A folder with a store, which is what commands look into, and files of all kinds."""
    assert copied.path == tmp_path / "store"
    (tmp_path / "empty").mkdir()
    (tmp_path / "nothing").touch()
    (tmp_path / "rows.txt").write_text("1\n2\nx\n")
    (tmp_path / "photos.csv").write_text("path,age\nno.png,3\n")
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4" + bytes(40))
    (tmp_path / "broken.json").write_text('{"a": ')
    (tmp_path / "store.json").write_text('{"schema_version": 99}')
    np.savez(tmp_path / "logits.npz", forget=np.zeros((8, 2, 3), np.float32))
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("../run.json", "{}")
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "raises.py").write_text("raise ValueError('no\\nluck')\n")
    (tmp_path / "wrong.py").write_text("def (:\n")
    (tmp_path / "binary.py").write_bytes(bytes(range(256)))
    (tmp_path / "submission.ipynb").write_text('{"cells": [{"cell_type": "code", "source": 3}]}')
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.fixture
def nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long ends at once, as on a machine that cannot do it."""

    def no_process(*_: object, **__: object) -> None:
        raise WorkerError("no worker process can be started: too many of them")

    def not_today(*_: object, **__: object) -> None:
        raise BenchError("that takes too long")

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Worker, "__init__", no_process)
    monkeypatch.setattr(Population, "draw", not_today)
    monkeypatch.setattr("http.server.ThreadingHTTPServer.serve_forever", stopped)
    monkeypatch.setattr("bench.testing.kit.kit_of", not_today)
    monkeypatch.setattr("bench_leaderboard.site.build_site", not_today)
    monkeypatch.setattr("bench.scoring.scorer.Scorer.prepare", not_today)
    monkeypatch.setattr("bench.scoring.scorer.Scorer.recomputed", not_today)
    monkeypatch.setattr("bench.scoring.scorer.Scorer._score", not_today)


@pytest.mark.parametrize("calls", [200, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("nothing_is_computed")
def test_any_command_line_ends_in_an_answer_or_in_one_line(
    bench, place: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    monkeypatch.setenv("BENCH_DATA", str(place / "data"))
    monkeypatch.setenv("BENCH_STORE", "store")
    files = [path.name for path in place.iterdir()] + ["missing", "data", "empty/new"]
    runs = [path.name for path in (place / "store" / "runs").iterdir()] + ["finetune", "scrub"]
    words = {**WORDS, "file": files, "run": [*runs, *files], "store": ["store"] * 5 + files}
    words["text"] = [*WORDS["text"], *(name for name in files if name.endswith((".py", ".ipynb"))), "plugin.py:Plugin"]
    grammar = Grammar(random.Random(calls), words, list(commands_of(cli, click.Context(cli), [])))
    for _ in range(calls):
        line = grammar.line()
        _ends_well(bench, line, place)


def _ends_well(bench: Callable[..., object], line: list[str], place: Path) -> None:
    try:
        done = bench(*line, code=None, cwd=place)
    except BaseException as problem:
        raise AssertionError(f"{line} ended in {type(problem).__name__}: {problem}") from problem
    assert done.returncode in (0, 1, 2), line
    told = done.stderr.strip().splitlines()
    if "--debug" not in line:
        assert "Traceback" not in done.stderr + done.stdout, line
    if done.returncode == 2:
        assert told, line
        assert re.match(r"bench: (?!.*\[Errno)\S", told[-1]), (line, told)  # what the system says is not yet what to do
