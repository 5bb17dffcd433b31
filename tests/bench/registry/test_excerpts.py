"""Submissions as they were published: what their function needs is executed, and no driver."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.registry import discovery, loading
from bench.registry.excerpts import drives, excerpt
from bench.registry.specs import Spec, configure
from bench.testing.toy_task import distance, toy_task

FUNCTION = """
def unlearning(net, retain_loader, forget_loader, val_loader):
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    for sample in retain_loader:
        inputs, targets = sample["image"].to(DEVICE), sample["age_group"].to(DEVICE)
        optimizer.zero_grad()
        helper(net(inputs), targets).backward()
        optimizer.step()
"""
HEAD = """
import os, subprocess
import requests_that_nobody_has
import torch
from torch import nn
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MOCK: bool = False
torch.manual_seed(128)
if MOCK:
    os.makedirs("mock")
    RATE = 1.0
else:
    RATE = float(os.getenv("NO_SUCH_RATE", "0.01"))
if DEVICE != "cuda9":
    raise RuntimeError("add an accelerator")
def helper(logits, labels):
    return nn.functional.cross_entropy(logits, labels)
"""
DRIVER = """
if os.path.exists("/nowhere/empty.txt"):
    subprocess.run("touch submission.zip", shell=True)
else:
    os.makedirs("checkpoints")
    net = torch.load("original.pth")
    for i in range(512):
        unlearning(net, retain_loader, forget_loader, validation_loader)
        torch.save(net.state_dict(), f"checkpoints/{i}.pth")
"""


WITHOUT_GPU = HEAD.partition("if DEVICE")[0]


def _method(tmp_path: Path, text: str):
    (tmp_path / "submission.py").write_text(text)
    plugin = discovery.find_method(str(tmp_path / "submission.py:unlearning"))
    return configure(loading.load_method(plugin), Spec(plugin.name, {}))


@pytest.mark.parametrize("text", [HEAD + FUNCTION + DRIVER, HEAD + FUNCTION, WITHOUT_GPU.replace("import requests", "#")
    + "def helper(a, b):\n    return nn.functional.cross_entropy(a, b)\n" + FUNCTION + DRIVER])  # fmt: skip
def test_submissions_run_without_their_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    method = _method(tmp_path, text)
    assert loading.remark(method).startswith("of its file only what it needs is executed, as ")
    assert distance(toy_task().unlearn(method, 1), toy_task().original()) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["submission.py"]


def test_a_file_of_definitions_is_executed_as_it_is(tmp_path: Path) -> None:
    text = (
        "import torch\nseen = []\nseen.append(1)\nDEVICE, RATE = 'cpu', 0.1\nhelper = torch.nn.functional.cross_entropy\n"
        + FUNCTION
    )
    method = _method(tmp_path, text)
    assert loading.remark(method) == ""
    assert type(method).function.__globals__["seen"] == [1]


def test_a_file_too_deep_to_be_looked_at_is_executed_as_it_is(tmp_path: Path) -> None:
    text = f"import torch\nDEVICE, RATE = 'cpu', {' + '.join(['0.00001'] * 1500)}\nhelper = torch.nn.functional.cross_entropy\n"
    assert loading.remark(_method(tmp_path, text + FUNCTION)) == ""


def test_what_it_needs_and_nobody_has_is_told(tmp_path: Path) -> None:
    needed = FUNCTION.replace("helper(", "requests_that_nobody_has.loss(")
    with pytest.raises(BenchError, match=r"fails to import: ModuleNotFoundError: No module named 'requests_that_nobody_has'$"):
        _method(tmp_path, HEAD + needed)
    with pytest.raises(BenchError, match="alone do not say what RATE is"):
        _method(tmp_path, HEAD.replace('float(os.getenv("NO_SUCH_RATE", "0.01"))', "torch.load('rate.pt')") + FUNCTION + DRIVER)


SETTINGS = """
CFG = {"rates": []}
CFG.update(rate=0.01)
CFG["rates"].append(0.5)
os.environ.update(X="1")
sys.path.append("/nowhere")
"""


def test_collections_have_what_was_put_into_them(tmp_path: Path) -> None:
    needed = FUNCTION.replace("helper(", "(lambda *given: CFG['rate'] * CFG['rates'][0] * helper(*given))(")
    unlearned = toy_task().unlearn(_method(tmp_path, HEAD + SETTINGS + needed + DRIVER), 1)
    assert distance(unlearned, toy_task().original()) > 0
    unknown = SETTINGS.replace("rate=0.01", "torch.load('settings.pt')")
    with pytest.raises(BenchError, match="alone do not say what CFG is"):
        _method(tmp_path, HEAD + unknown + needed + DRIVER)


def test_a_function_need_not_be_written_with_def(tmp_path: Path) -> None:
    named = FUNCTION.replace("def unlearning(", "def mine(") + "unlearning = functools.partial(mine)\n"
    by_lambda = (
        FUNCTION.replace("def unlearning(", "def mine(")
        + "unlearning = lambda net, retain, forget, val: mine(net, retain, forget, val)\n"
    )
    for text in (named, by_lambda):
        method = _method(tmp_path, "import functools\n" + HEAD + text + DRIVER)
        assert loading.remark(method).startswith("of its file only what it needs is executed, as ")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("3 * RATE", True),
        ("torch.device('cpu')", True),
        ("[math.sqrt(x) for x in range(3)]", True),
        ("torch.ones(3).mul(2).tolist()", True),
        ("os.path.join('a', 'b')", True),
        ("os.environ.get('HOME', '').upper()", True),
        ("Path('a') / 'b'", True),
        ("transforms.Compose([transforms.ToTensor()])", True),
        ("resnet18(weights=None)", True),
        ("lambda path: torch.load(path)", True),
        ("np.random.default_rng(0)", True),
        ("resnet18(weights='DEFAULT')", False),
        ("resnet18(pretrained=True)", False),
        ("torch.load('x.pt')", False),
        ("torch.hub.load('a', 'b')", False),
        ("np.load('x.npy')", False),
        ("np.loadtxt('x.csv')", False),
        ("open('x').read()", False),
        ("list(map(open, ['x']))", False),
        ("Path('a').read_text()", False),
        ("Path('a').mkdir()", False),
        ("os.listdir('.')", False),
        ("os.system('ls')", False),
        ("subprocess.run('ls')", False),
        ("pd.read_csv('x.csv')", False),
        ("requests.get('x')", False),
        ("CIFAR10('.', download=True)", False),
        ("read_image('x.png')", False),
        ("helper(1)", False),
        ("unknown(1)", False),
        ("getattr(os, 'system')('ls')", False),
        ("[each for each in [torch.load]][0]('x')", False),
        ("(x := 3)", False),
    ],
)
def test_plain_assignments(value: str, plain: bool) -> None:
    head = (
        "import math, os, subprocess, requests, torch\nimport numpy as np\nimport pandas as pd\nfrom pathlib import Path\n"
        "from torchvision import transforms\nfrom torchvision.io import read_image\nfrom torchvision.models import resnet18\n"
        "from torchvision.datasets import CIFAR10\nRATE = 1\ndef helper(x): ...\n"
    )
    tree = ast.parse(f"{head}NEEDED = {value}\ndef unlearning(): return NEEDED\n")
    found = excerpt(tree, "unlearning")
    assert found
    assert (found.absent == "") == plain
    assert ("NEEDED =" in ast.unparse(found.tree)) == plain


def test_only_what_the_function_leads_to_is_in_an_excerpt() -> None:
    text = """
from __future__ import annotations
import os, torch
import pandas
try:
    import fast as quick
except ImportError:
    quick = None
class Unused(pandas.DataFrame): ...
def first(): return second()
def second(): return quick, torch.nn
def unlearning(net): return first()
unlearning.rate = 3
"""
    found = excerpt(ast.parse(text), "unlearning")
    assert found
    shown = ast.unparse(found.tree)
    assert ("pandas" in shown, "fast" in shown, "unlearning.rate" in shown, "__future__" in shown) == (False, True, True, True)


def test_what_is_no_function_has_no_excerpt() -> None:
    assert excerpt(ast.parse("class unlearning: ..."), "unlearning") is None
    assert excerpt(ast.parse("unlearning = 3"), "unlearning") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unlearning(1)", True),
        ("if a:\n    for i in b:\n        x = unlearning(1)", True),
        ("import torch as t\nt.save(1, 'x')", True),
        ("import subprocess\nsubprocess.run('zip')", True),
        ("def main():\n    def inner():\n        unlearning(1)\n    inner()\nmain()", True),
        ("def first():\n    second()\ndef second():\n    import torch\n    unlearning(1)\nx = first()", True),
        ("def first():\n    first()\nfirst()", False),
        ("def run():\n    unlearning(1)", False),
        ("if __name__ == '__main__':\n    unlearning(1)", False),
        ("import torch\ntorch.manual_seed(1)", False),
        ("save = lambda: unlearning(1)", False),
    ],
)
def test_a_driver_is_seen_before_anything_is_executed(text: str, expected: bool) -> None:
    assert drives(ast.parse(text), "unlearning") == expected
