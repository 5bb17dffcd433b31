"""Networks that do not come with bench, from the command line to results: tried with two of torchvision's, trained one by one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from bench.store.runs import Run

NETS = '''"""Networks of torchvision."""
from bench.tasks.task import Recipe
from torchvision.models import VisionTransformer, mobilenet_v3_small

SHORT = Recipe(epochs=1, batch_size=64, learning_rate=1e-3, weight_decay=1e-4, warmup=0.1)


def mobilenet(classes, size):
    """MobileNetV3, with dropout."""
    return mobilenet_v3_small(num_classes=classes)


class Transformer(VisionTransformer):
    """A small vision transformer, with dropout."""

    recipe = SHORT

    def __init__(self, classes, size):
        super().__init__(size, size // 4, 1, 2, 16, 32, dropout=0.1, num_classes=classes)


mobilenet.recipe = SHORT
'''
STATEFUL = """
from torch import nn


class Net(nn.Module):
    def __init__(self, classes, size):
        super().__init__()
        self.head, self.steps = nn.Linear(3 * size**2, classes), 0

    def forward(self, images):
        self.steps += self.training
        return self.head(images.flatten(1)) * (1 + self.steps)
"""
OFFSET = '''
from bench import Method
from bench.weights import parameters


class Fresh(Method):
    """Begins anew, and looks at what it is given. Source: a test, 2026."""

    stackable = True
    in_place = False

    def unlearn(self, model, data, trial):
        assert not trial.stacked
        assert trial.network == type(model).__name__ == "Transformer"
        assert all(view.shape[0] == 1 for view in parameters(model).values())
        fresh = trial.fresh_model()
        assert type(fresh) is type(model)
        return fresh
'''


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("nets") / "nets.py"
    file.write_text(NETS)
    return file


def references(store: Path) -> dict[str, Path]:
    """Folders of references, by the task's name."""
    found = store.glob("references/*/cpu/reference.json")
    return {json.loads(path.read_text())["task"]["name"]: path.parent for path in found}


@pytest.mark.parametrize("name", ["mobilenet", pytest.param("Transformer", marks=pytest.mark.slow)])
def test_networks_of_torchvision_have_references_of_their_own(bench, nets: Path, tmp_path: Path, name: str) -> None:
    """Trained one by one; dropout draws from each model's seed, so that nothing depends on what a process did before."""
    model = ("--model", f"{nets}:{name}")
    made = {}
    for workers, models in ((1, 2), (2, 1)):
        store = tmp_path / f"{workers}"
        task = ("--task", "age-tiny", "--store", store)
        bench("reference", "build", *task, *model, "--models", models, "--workers", workers)
        bench("reference", "build", *task, "--models", 1)
        found = references(store)
        assert set(found) == {"age-tiny", f'age-tiny[model="{nets}:{name}"]'}
        made[workers] = found[f'age-tiny[model="{nets}:{name}"]']
    assert (made[1] / "retrained-0000-0000.npz").read_bytes() == (made[2] / "retrained-0000-0000.npz").read_bytes()
    weights = [load_file(folder / "original.safetensors") for folder in made.values()]
    assert all(np.array_equal(array, weights[1][key]) for key, array in weights[0].items())
    shown = bench("reference", "show", "--task", "age-tiny", *model, "--store", tmp_path / "1").stdout
    assert "2 retrained models (trained here), stacks of 1" in shown


def test_a_method_is_handed_plain_networks_and_the_run_says_which_task_it_is_of(bench, nets: Path, tmp_path: Path) -> None:
    method = tmp_path / "fresh.py"
    method.write_text(OFFSET)
    asked = ("--task", "age-tiny", "--model", f"{nets}:Transformer", "--models", 8, "--budget", "100s", "--store", tmp_path / "s")
    said = json.loads(bench("run", "--plugin", method, *asked, "--json").stdout)
    (row,) = [row for row in said if row["method"]["name"] == "fresh"]
    record = Run.read(tmp_path / "s" / "runs" / row["run"]).record
    assert record.complete
    assert not record.method.stackable
    assert record.task.name == f'age-tiny[model="{nets}:Transformer"]'
    assert [len(chunk.trials) for chunk in record.chunks] == [1] * 8
    again = bench("verify", row["run"], "--rerun", 1, "--store", tmp_path / "s").stdout
    assert "bit for bit the stored outputs" in again


def test_what_a_network_does_not_keep_is_said_before_anything_is_trained(bench, tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(STATEFUL)
    asked = ("--task", "age-tiny", "--plugin", "scrub", "--models", 8, "--store", tmp_path / "s")
    said = bench("run", *asked, "--model", f"{file}:Net", code=2).stderr.splitlines()[-1]
    assert said.startswith(f"bench: network net.Net ({file}): it keeps something beside its parameters and buffers")
    assert not list(tmp_path.glob("s/references/*/cpu/*.npz"))


def test_a_method_that_needs_other_layers_is_refused_before_anything_is_trained(bench, tmp_path: Path) -> None:
    file = tmp_path / "flat.py"
    file.write_text(STATEFUL.replace("self.steps += self.training", "").replace(" * (1 + self.steps)", ""))
    asked = ("--task", "age-tiny", "--plugin", "kookmin", "--models", 8, "--store", tmp_path / "s")
    done = bench("run", *asked, "--model", f"{file}:Net", code=2)
    said = [line for line in done.stderr.splitlines() if line.startswith("bench:")]
    assert said == ["bench: kookmin needs a convolution, which network Net has not"]
    assert not list(tmp_path.rglob("*.npz"))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("resnet", "unknown network 'resnet'; did you mean resnet8-v1 or resnet18-v1?"),
        ("absent.py:Net", "absent.py does not exist"),
        ("{nets}:Net", "nets.py has no Net"),
        ("{nets}:SHORT", "must define exactly one thing for the name 'nets.SHORT'"),
    ],
)
def test_a_network_that_is_none_is_one_line(bench, nets: Path, tmp_path: Path, model: str, said: str) -> None:
    asked = ("--task", "age-tiny", "--plugin", "scrub", "--store", tmp_path)
    done = bench("run", *asked, "--model", model.format(nets=nets), code=2)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("bench:")]
    assert said in line


@pytest.mark.slow  # their parts: tests/bench/registry/test_networks.py, tests/bench/testing
def test_installed_networks_are_listed_checked_and_tested(installed, nets: Path, distribute, tmp_path: Path, monkeypatch) -> None:
    hook = "\n\nfrom bench import hookimpl\n\n\n@hookimpl\ndef register_networks(register):\n    register(Transformer)\n"
    distribute(tmp_path, "third-nets", "small-vit", "third_nets", NETS + hook, "bench.networks")
    broken = NETS + hook.replace("Transformer", "3")
    distribute(tmp_path, "third-broken", "broken-net", "third_broken", broken, "bench.networks")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    listed = {row["name"]: row for row in json.loads(installed("plugins", "--check", "--json", code=1).stdout)}
    assert (listed["small-vit"]["kind"], listed["small-vit"]["status"]) == ("network", "ok")
    assert "must define exactly one thing for the name 'broken-net'; found: 3" in listed["broken-net"]["status"]
    lines = installed("plugins", "test", "small-vit").stdout.splitlines()
    assert {line.split()[0] for line in lines} == {"ok", "skip"}
    assert "skip  stacked-equals-alone: not stackable" in lines
    assert "did you mean small-vit?" in installed("plugins", "test", "small-vid", code=2).stderr
