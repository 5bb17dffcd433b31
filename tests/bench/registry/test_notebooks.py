"""A function in a notebook, with all that only IPython understands around it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.registry import discovery, loading
from bench.registry.notebooks import code_of
from bench.registry.specs import Spec, configure
from bench.testing.toy_task import distance, toy_task

FUNCTION = """def unlearning(net, retain_loader, forget_loader, val_loader):
    with torch.no_grad():
        net.fc.weight.mul_(RATE)
    return net"""


def _notebook(*cells: str, kind: str = "code") -> bytes:
    made = [{"cell_type": kind, "source": cell.splitlines(keepends=True), "outputs": []} for cell in cells]
    return json.dumps({"cells": [{"cell_type": "markdown", "source": "# Unlearning"}, *made], "nbformat": 4}).encode()


def test_a_function_in_a_notebook_is_run(tmp_path: Path) -> None:
    cells = [
        "!pip install tqdm",
        "import asyncio\nawait asyncio.sleep(0)",
        "%matplotlib inline\nimport torch, tqdm_that_nobody_has",
        "RATE = 0.5",
        FUNCTION,
    ]
    (tmp_path / "submission.ipynb").write_bytes(_notebook(*cells, "unlearning(*get_dataset(64))", "display(RATE)"))
    for name in ("submission.ipynb:unlearning", "submission.ipynb"):
        plugin = discovery.find_method(str(tmp_path / name))
        method = configure(loading.load_method(plugin), Spec(plugin.name, {}))
        assert loading.remark(method) == "of its file only what it needs is executed, as it is a notebook"
        assert distance(toy_task().unlearn(method, 1), toy_task().original()) > 0
    assert plugin.summary() == ""
    assert plugin.source_hash() == discovery.find_method(str(tmp_path / "submission.ipynb")).source_hash()


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("a = 1", "a = 1"),
        ("%time a = 1\nb = 2", "pass\nb = 2"),
        ("if a:\n    !ls\nb = 2", "if a:\n    pass\nb = 2"),
        ("files = !ls\nb = 2", "pass\nb = 2"),
        ("torch.nn?\nb = 2", "pass\nb = 2"),
        ("!pip install a \\\n  b \\\n  c\nd = 1", "pass\n\n\nd = 1"),
        ("files = !ls \\\n  -l", "pass\n"),
        ("%%time\na = 1", "\na = 1"),
        ("%%bash\nls\nrm x", "\n\n"),
        ("%%writefile x.py\na = 1", "\n"),
        ("a = (5\n% 3)", "a = (5\n% 3)"),
        ('a = """\n!b\n"""', 'a = """\n!b\n"""'),
        ("", ""),
    ],
)
def test_what_only_ipython_understands_is_skipped(cell: str, code: str) -> None:
    assert code_of(_notebook(cell)) == f"{code}\n".encode()
    assert code_of(_notebook(cell, kind="raw")) == b"\n"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"3", b'{"cells": 3}', b'{"cells": [3]}', b"\xff", b"[" * 100_000])
def test_what_is_no_notebook_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "submission.ipynb").write_bytes(content)
    with pytest.raises(BenchError, match=r"submission\.ipynb is no notebook: it has no cells"):
        discovery.find_method(str(tmp_path / "submission.ipynb:unlearning"))
