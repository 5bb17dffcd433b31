"""Methods that are rehearsed before they are timed: who keeps what it saw then gains nothing, and who is honest loses nothing.

A processor needs no rehearsal; here it is treated as a device that does.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.engine import compute

METHODS = '''"""Plugins that know when they have been called before."""
import copy
import threading
from functools import cached_property
from pathlib import Path

from torch.optim import SGD

from bench import Method
from bench.losses import cross_entropy, step

KEPT = []


def train(model, split):
    optimizer = SGD(model.parameters(), 1e-3, momentum=0.9)
    for images, labels in split.batches(16):
        step(optimizer, cross_entropy(model(images), labels))
    return model


class Honest(Method):
    """An epoch; it needs the folder for itself. Source: https://example.org"""

    def unlearn(self, model, data, trial):
        if list(Path.cwd().iterdir()):
            raise RuntimeError("somebody was here")
        Path("checkpoint").write_text("mine")
        return train(model, data.retain)


class Remembers(Method):
    """An epoch, but what it has done once it does not do again. Source: https://example.org"""

    def unlearn(self, model, data, trial):
        if not KEPT:
            KEPT.append(copy.deepcopy(train(model, data.retain).state_dict()))
        model.load_state_dict(KEPT[0])
        return model


class Caches(Method):
    """An epoch; it remembers the model that it has met. Source: https://example.org"""

    @cached_property
    def met(self):
        return []

    def unlearn(self, model, data, trial):
        if self.met:
            raise RuntimeError("this method was used before")
        self.met.append(model)
        return train(model, data.retain)


class Lingers(Method):
    """A thread waits for what comes after the rehearsal, which fails. Source: https://example.org"""

    def unlearn(self, model, data, trial):
        statistics = [values for name, values in model.named_buffers() if name.endswith("running_mean")]
        if not any(values.any() for values in statistics):  # nobody has trained this
            threading.Thread(target=threading.Event().wait, daemon=True, name="Lingerer").start()
            raise ValueError("no luck")
        return train(model, data.retain)
'''


OTHER = "gave other models than were scored"
FAILED = 2  # one of them does


@pytest.fixture(scope="module")
def rows(bench, filled, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    folder: Path = tmp_path_factory.mktemp("plugins")
    (folder / "remembering.py").write_text(METHODS)
    plugins = [word for name in ("Honest", "Remembers", "Caches", "Lingers") for word in ("--plugin", f"remembering.py:{name}")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compute, "starts_cold", lambda setting: True)
        where = "--task", "age-tiny", "--store", filled.path
        told = bench("run", *where, "--models", 8, *plugins, "--budget", "60s", "--json", cwd=folder, code=FAILED).stdout
    return {row["method"]["name"]: row for row in json.loads(told)}


def test_the_honest_are_timed_as_they_were_scored(rows) -> None:
    """Bit for bit: a rehearsal leaves no trace in what follows it."""
    row = rows["remembering.Honest"]
    assert row["failure"] == ""
    assert OTHER not in row["scorecard"]["flags"].get("timed differently", "")
    assert row["scorecard"]["measures"]["runtime"]["value"] > 0


def test_who_keeps_what_it_saw_has_the_wrong_model(rows) -> None:
    row = rows["remembering.Remembers"]
    assert OTHER in row["scorecard"]["flags"]["timed differently"]


def test_what_a_method_has_kept_in_itself_is_gone(rows) -> None:
    """As in every other trial it is made anew."""
    row = rows["remembering.Caches"]
    assert row["failure"] == ""
    assert OTHER not in row["scorecard"]["flags"].get("timed differently", "")


def test_a_thread_of_a_rehearsal_that_fails_is_found(rows) -> None:
    assert "still there after unlearn has returned: thread Lingerer" in rows["remembering.Lingers"]["failure"]
