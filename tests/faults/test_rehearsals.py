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
'''


OTHER = "gave other models than were scored"


@pytest.fixture(scope="module")
def rows(bench, filled, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    folder: Path = tmp_path_factory.mktemp("plugins")
    (folder / "remembering.py").write_text(METHODS)
    plugins = [word for name in ("Honest", "Remembers") for word in ("--plugin", f"remembering.py:{name}")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compute, "starts_cold", lambda setting: True)
        told = bench(
            "run", "--task", "age-tiny", "--models", 8, *plugins, "--budget", "60s", "--store", filled.path, "--json", cwd=folder
        ).stdout
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
