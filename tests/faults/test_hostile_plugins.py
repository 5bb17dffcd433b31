"""Every fault of a plugin is a row, and costs nobody else anything: all hostile plugins in two commands."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from bench.engine import compute, runs, unlearning
from bench.engine.failures import FailureLimit
from bench.engine.worker import process
from bench.store.records import Failed, Pending
from bench.store.runs import Run

LARGEST_LOG = 5 * 2**20
WORKERS, MOST_FAILURES = 3, 1  # users have more failures in a row before the rest is not tried: tests/bench/engine/test_runs.py


@dataclass(frozen=True)
class Hostile:
    """One plugin: its name, the body of its `unlearn`, and the reason that its row must give."""

    name: str
    body: str
    reason: str

    def source(self) -> str:
        """A plugin file."""
        body = "\n".join(f"        {line}" for line in self.body.strip().splitlines())
        return HEAD + f'\n\nclass Plugin(Method):\n    """{self.name}."""\n\n    def unlearn(self, model, data, trial):\n{body}\n'


HEAD = '''"""A hostile plugin."""
import ctypes
import gc
import json
import os
import random
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection

import numpy as np
import torch
from torch import nn

from bench import Method
from bench.models.stacked import stack


def connections():
    gc.unfreeze()
    return [item for item in gc.get_objects() if isinstance(item, Connection) and not item.closed]


def fork(work):
    if os.fork() == 0:
        work()
        os._exit(0)


def spin():
    while True:
        pass
'''

FAILING = (
    Hostile("raises", 'raise ValueError("no luck")', "ValueError: no luck"),
    Hostile("raises-system-exit", "sys.exit(0)", "ended (exit code 0)"),
    Hostile("raises-keyboard-interrupt", "raise KeyboardInterrupt", "worker process ended"),
    Hostile("recursion", "return self.unlearn(model, data, trial)", "RecursionError"),
    Hostile("endless-loop", "spin()", "killed after"),
    Hostile("sleeps", "time.sleep(10_000)", "of CPU time, the limit is"),
    Hostile(
        "ignores-signals-and-exceptions",
        """
for number in set(range(1, 32)) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True:
    try:
        spin()
    except BaseException:
        pass
""",
        "killed after",
    ),
    Hostile("children-spin", "for _ in range(4): fork(spin)\ntime.sleep(10_000)", "killed after"),
    Hostile("segmentation-fault", "ctypes.string_at(0)", "signal 11"),
    Hostile("exits", "os._exit(0)", "ended (exit code 0)"),
    Hostile("kills-itself", "os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
    Hostile("kills-its-group", "os.killpg(0, signal.SIGKILL)", "signal 9"),
    Hostile("memory-slowly", "kept = []\nwhile True:\n    kept.append(bytearray(50_000_000))", "memory"),
    Hostile("memory-at-once", "kept = torch.ones(10**10)", "memory"),
    Hostile("memory-of-children", "fork(lambda: (bytearray(2_000_000_000), time.sleep(10_000)))\ntime.sleep(10_000)", "emory"),
    Hostile("nan", "model.fc.weight.data.fill_(float('nan'))\nreturn model", "not finite"),
    Hostile("infinity", "model.fc.bias.data[0] = float('inf')\nreturn model", "not finite"),
    Hostile("overflows", "model.fc.weight.data.mul_(1e38); model.fc.bias.data.fill_(3e38)\nreturn model", "answers with numbers"),
    Hostile("wrong-shape", "model.fc = nn.Linear(model.fc.in_features, 7)\nreturn model", "not the task's network"),
    Hostile("missing-tensor", "model.fc.bias = None\nreturn model", "not the task's network"),
    Hostile("extra-tensor", "model.extra = nn.Linear(3, 3)\nreturn model", "not the task's network"),
    Hostile("another-class", "return nn.Sequential(nn.Flatten(), nn.Linear(3072, 4))", "not the task's network"),
    Hostile("two-models", "return stack([model, model])", "returned 2 models for 1 trials"),
    Hostile("no-model", "return None", "must return the model"),
    Hostile(
        "model-that-fails-when-read",
        """
class Trap(nn.Module):
    def named_parameters(self, *args, **kwargs):
        raise RuntimeError("trap")
return Trap()
""",
        "RuntimeError: trap",
    ),
    Hostile("long-reason", "raise ValueError('\\x1b[31m' + 'x' * 10**7)", "ValueError: "),
    Hostile("answers-nonsense", "for one in connections(): one.send_bytes(b'{')\ntime.sleep(10_000)", "nonsense"),
    Hostile("answers-a-list", "for one in connections(): one.send_bytes(b'[]')\ntime.sleep(10_000)", "nonsense"),
    Hostile("answers-at-length", "for one in connections(): one.send_bytes(bytes(2**28))\ntime.sleep(10_000)", "nonsense"),
    Hostile("pickles", "for one in connections(): one.send({'values': {}})\ntime.sleep(10_000)", "nonsense"),
    Hostile("hangs-up", "for one in connections(): one.close()\ntime.sleep(10_000)", "worker process"),
    Hostile("clears-modules", "sys.modules.clear()\nreturn model", "0/8 trials: "),
    Hostile("half-a-message", "for one in connections(): os.write(one.fileno(), b'\\0\\0\\1\\0abc')\nspin()", "killed after"),
    Hostile(
        "leaves-children",
        """
reads, writes = os.pipe()
stay = lambda: (os.write(writes, b"."), time.sleep(10_000))
fork(stay)
fork(lambda: (os.setsid(), fork(stay)))
code = "import os, time; os.write(1, b'.'); time.sleep(10_000)"
subprocess.Popen([sys.executable, "-c", code], stdout=writes, start_new_session=True)
for _ in range(3):
    os.read(reads, 1)
return model
""",
        "still there after unlearn has returned: process ",
    ),
    Hostile(
        "leaves-a-thread",
        "import threading\nthreading.Thread(target=threading.Event().wait, name='mine', daemon=True).start()\nreturn model",
        "still there after unlearn has returned: thread mine",
    ),
)

FINISHING = (
    Hostile("prints-megabytes", "for _ in range(50): print('x' * 10**6)\nos.write(2, b'y' * 10**6)\nreturn model", ""),
    Hostile(
        "changes-the-process",
        """
os.chdir("/")
torch.set_default_dtype(torch.float64)
torch.manual_seed(1); np.random.seed(1); random.seed(1)
torch.set_num_threads(7)
torch.set_grad_enabled(False)
os.environ.clear()
return model
""",
        "",
    ),
    Hostile("double-precision", "return model.double()", ""),
)


@dataclass(frozen=True)
class Campaign:
    """What one command with all hostile plugins came to."""

    rows: dict[str, dict]
    output: str
    store: Path
    left_behind: list[str]


@pytest.fixture(scope="module")
def campaign(run, filled, left_behind, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    folder = tmp_path_factory.mktemp("hostile")
    commands = {  # those that take memory have all the time that it takes
        "0.1s": ["noise-injection", *(plugin for plugin in (*FAILING, *FINISHING) if not plugin.name.startswith("memory"))],
        "100s": [plugin for plugin in FAILING if plugin.name.startswith("memory")],
    }
    rows: dict[str, dict] = {}
    output = ""
    with pytest.MonkeyPatch.context() as patch:  # nobody needs to wait as long as users do
        for place in (compute, unlearning):
            patch.setattr(place, "limit_seconds", lambda allowance, models=1: 10 * allowance * models)
        patch.setattr(process, "_GRACE", 0.5)
        patch.setattr(runs, "FailureLimit", partial(FailureLimit, MOST_FAILURES))
        for budget, plugins in commands.items():
            asked = [word for plugin in plugins for word in ("--plugin", _written(folder, plugin))]
            limits = ("--seed", "3", "--workers", WORKERS, "--budget", budget, "--memory-limit", "1GB")
            done = run(*asked, *limits, "--store", filled.path, "--json", code=2)
            rows = {row["method"]["name"]: row for row in json.loads(done.stdout)} | rows
            output += done.stdout + done.stderr
    return Campaign(rows, output, filled.path, [str(process) for process in left_behind()])


def _written(folder: Path, plugin: Hostile | str) -> str:
    if isinstance(plugin, str):
        return plugin
    (folder / f"{plugin.name}.py").write_text(plugin.source())
    return str(folder / f"{plugin.name}.py")


@pytest.mark.parametrize("plugin", FAILING, ids=lambda plugin: plugin.name)
def test_a_fault_is_a_row_with_its_reason(campaign: Campaign, plugin: Hostile) -> None:
    row = campaign.rows[plugin.name]
    assert plugin.reason in row["failure"]
    assert row["failure"].startswith("0/8 trials: ")
    assert len(row["failure"]) < 500
    assert "\x1b" not in row["failure"]


@pytest.mark.parametrize("plugin", FINISHING, ids=lambda plugin: plugin.name)
def test_bad_manners_change_nothing(campaign: Campaign, plugin: Hostile) -> None:
    """They return the original model, so that must be what is evaluated."""
    row = campaign.rows[plugin.name]
    assert not row["failure"]
    measures, original = row["scorecard"]["measures"], campaign.rows["original"]["scorecard"]["measures"]
    for name in ("retain_accuracy", "test_accuracy", "forget_accuracy"):
        assert measures[name]["value"] == original[name]["value"]


def test_the_honest_plugin_is_scored(campaign: Campaign) -> None:
    assert campaign.rows["noise-injection"]["scorecard"]["measures"]["final_score"]["value"] > 0


def test_nothing_is_left_behind(campaign: Campaign) -> None:
    assert campaign.left_behind == []


def test_logs_are_bounded(campaign: Campaign) -> None:
    for log in (campaign.store / "runs").glob("*/log.txt"):
        assert log.stat().st_size < LARGEST_LOG


def test_runs_stop_early(campaign: Campaign) -> None:
    """After the first failure; others may have begun beside it."""
    for plugin in FAILING:
        record = Run.read(campaign.store / "runs" / campaign.rows[plugin.name]["run"]).record
        states = Counter(type(chunk) for chunk in record.chunks)
        assert MOST_FAILURES <= states[Failed] < MOST_FAILURES + WORKERS
        assert states[Failed] + states[Pending] == 8


def test_no_traceback_reaches_the_terminal(campaign: Campaign) -> None:
    assert "Traceback" not in campaign.output
