"""The code and the commands of the guide work as they are printed there."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import zipfile
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs" / "guide"


def _blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def test_the_first_method(bench, run, copied, tmp_path: Path) -> None:
    source, stackable = _blocks("first-method.md", "python")
    field = stackable.partition("\n")[2]
    assert field == "    stackable: ClassVar[bool] = True\n"
    source = source.replace("    batch_size: int = 64  # likewise\n", f"    batch_size: int = 64  # likewise\n{field}")
    source = source.replace("import dataclass\n", "import dataclass\nfrom typing import ClassVar\n")
    (tmp_path / "doubt.py").write_text(source)
    tested = bench("plugins", "test", "doubt.py", cwd=tmp_path).stdout
    assert "FAIL" not in tested
    assert "ok    stacked-equals-alone" in tested
    assert len(tested.splitlines()) == 17
    done = run("--plugin", "doubt.py", "--store", copied.path, cwd=tmp_path)
    assert "doubt" in done.stdout


def test_a_task_of_your_own(bench, tmp_path: Path) -> None:
    """It is right as it is printed, and runs from its file; without its digest the author is told that."""
    (source,) = (block for block in _blocks("datasets.md", "python") if "stripes.py" in block)
    (tmp_path / "stripes.py").write_text(source)
    assert "FAIL" not in bench("plugins", "test", "stripes.py", cwd=tmp_path).stdout
    assert "people" in bench("tasks", "check", "stripes.py", cwd=tmp_path).stdout
    store = ("--store", tmp_path / "store")
    done = bench("run", "--task", "stripes.py", "--plugin", "finetune", "--models", 8, *store, cwd=tmp_path)
    assert "stripes, 8 models" in done.stdout
    assert "--task stripes.py" in done.stdout
    (digest,) = re.findall(r'digest="(.*)"', source)
    (tmp_path / "new.py").write_text(source.replace(digest, ""))
    told = bench("plugins", "test", "new.py", cwd=tmp_path, code=1).stdout
    assert f"FAIL  digest: its data are not what its key says: their digest is {digest}, and the task says nothing" in told


def test_a_tasks_mistakes_end_every_command(bench, tmp_path: Path) -> None:
    (source,) = (block for block in _blocks("datasets.md", "python") if "stripes.py" in block)
    wrong = source.replace("~forgotten & (photo < 2)", "~forgotten & (photo != 2)").replace(")[identities]", ")[identities] + 1")
    (tmp_path / "wrong.py").write_text(wrong.replace("8 * label :", "8 * (label - 1) :"))
    lines = ["labels go from 1 to 4; of 4 groups they must go from 0 to 3", "68 rows are in both retain and test"]
    assert bench("tasks", "check", "wrong.py", cwd=tmp_path, code=1).stdout.splitlines() == lines
    for command in (("run", "--plugin", "scrub", "--task"), ("reference", "build", "--task"), ("tasks", "show")):
        told = bench(*command, "wrong.py", cwd=tmp_path, code=2).stderr
        assert told == f"bench: task stripes: {lines[0]} (and 1 more; `bench tasks check` lists them)\n"
    assert "task file" in bench("tasks", "show", "absent.py", cwd=tmp_path, code=2).stderr


def test_models_from_elsewhere(bench, copied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the task that trains in a moment, with 8 models: checkpoints and logits of the same models get the same numbers."""
    monkeypatch.chdir(tmp_path)
    (answers,) = _blocks("elsewhere.md", "python")
    (tmp_path / "answers.py").write_text(answers)
    made, weights, rows, logits = (
        block.replace("--checkpoints 16", "--checkpoints 8") for block in _blocks("elsewhere.md", "sh")
    )
    challenge, unzip = made.splitlines()
    store = ("--store", copied.path)
    _called(bench, challenge, "--task", "age-tiny", *store)
    assert unzip == "python -m zipfile -e mine/submission.zip models"
    with zipfile.ZipFile("mine/submission.zip") as archive:
        archive.extractall("models")
    _called(
        bench,
        weights.replace("models/*.pth", " ".join(map(str, sorted(Path("models").glob("*.pth"))))),
        *store,
        "--task",
        "age-tiny",
    )
    _called(bench, rows.replace("age-synthetic", "age-tiny"))
    runpy.run_path("answers.py")
    _called(bench, logits, "--task", "age-tiny", *store)
    found = {row["method"]["name"]: row for row in json.loads(bench("score", *store, "--json").stdout)}
    ours = {name: found[name]["scorecard"]["measures"] for name in ("my-method", "my-logits")}
    assert set(ours["my-method"]) == set(ours["my-logits"])
    for name in ("memory_left", "final_score", "retain_accuracy", "test_accuracy"):
        assert ours["my-method"][name]["value"] == pytest.approx(ours["my-logits"][name]["value"], abs=0.01)
    assert found["my-method"]["unranked"].startswith("self-reported")


def _called(bench, line: str, *options: object) -> None:
    """A command of a page, with further options."""
    name, *arguments = shlex.split(line)
    assert name == "bench"
    bench(*arguments, *options, cwd=Path.cwd())
