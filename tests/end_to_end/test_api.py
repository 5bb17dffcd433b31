"""`import bench` in a script without a guard, from standard input, and interrupted: the commands' results, nobody left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

CODE = """
import bench

results = bench.run("finetune", "scrub", task="age-tiny", models=8, store={store!r})
print(results["scrub"].scorecard.measures["final_score"].value)
print(results.frame()["method"].tolist())
"""
SLOW = """
from bench import Method


class Slow(Method):
    \"\"\"Never ends. Source: a test, 2026.\"\"\"

    def unlearn(self, model, data, trial):
        import threading

        open({mark!r}, "w").close()
        threading.Event().wait()
"""


SEES = """
import os
from bench import Method


class Sees(Method):
    \"\"\"Tells how its children find modules. Source: a test, 2026.\"\"\"

    def unlearn(self, model, data, trial):
        with open({seen!r}, "w") as file:
            file.write(str(os.environ.get("PYTHONSAFEPATH")))
        return model
"""


@pytest.mark.parametrize("way", ["standard input", "script"])
def test_no_guard_is_needed(filled, tmp_path: Path, way: str) -> None:
    code = CODE.format(store=str(filled.path))
    (tmp_path / "script.py").write_text(code)
    command, given = ([sys.executable, "-"], code) if way == "standard input" else ([sys.executable, "script.py"], None)
    done = subprocess.run(command, input=given, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    value, methods = done.stdout.splitlines()
    measures = filled.rows["scrub"]["scorecard"]["measures"]
    assert float(value) == measures["final_score"]["value"]
    assert methods == "['finetune', 'scrub', 'original']"


def test_files_that_are_called_like_modules_are_nobodys_business(installed, filled, tmp_path: Path) -> None:
    """In the folder where a command is called: children start as `python -c`, which looks there first."""
    for name in ("torch.py", "random.py", "socket.py", "bench/__init__.py", "multiprocessing/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\nraise RuntimeError")
    (tmp_path / "sees.py").write_text(SEES.format(seen=str(tmp_path / "seen")))
    where = ("--task", "age-tiny", "--models", 8, "--store", filled.path)
    installed("run", "--plugin", "sees.py", *where, cwd=tmp_path)
    assert not (tmp_path / "imported").exists()
    assert (tmp_path / "seen").read_text() == "None"


def test_the_command_says_the_same(filled, bench) -> None:
    (row,) = json.loads(bench("score", "scrub", "--store", filled.path, "--json").stdout)
    code = f"import bench; print(bench.load({str(filled.path)!r}).frame().set_index('method')['final_score']['scrub'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == row["scorecard"]["measures"]["final_score"]["value"]


def test_an_interrupted_call_leaves_no_process_behind(filled, tmp_path: Path, until, ended) -> None:
    mark = tmp_path / "running"
    (tmp_path / "slow.py").write_text(SLOW.format(mark=str(mark)))
    code = f"import bench; bench.run('slow.py', task='age-tiny', models=8, store={str(filled.path)!r}, budget='600s')"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    until(lambda: mark.exists() or process.poll() is not None)
    family = psutil.Process(process.pid).children(recursive=True)
    assert any(child.is_running() for child in family)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate()
    assert "KeyboardInterrupt" in said
    ended(family)
