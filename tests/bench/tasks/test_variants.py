"""One task in several forms, and what a plugin may register as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.tasks.variants import load_task, registered_task


def test_variants_are_other_tasks_by_their_key() -> None:
    own, forget, model, both = (
        load_task(f"age-synthetic{options}")
        for options in ("", '[forget="random:100"]', '[model="resnet18"]', '[model="resnet18-v1",forget="random:100"]')
    )
    assert len({task.key for task in (own, forget, model, both)}) == 4
    assert both.name == 'age-synthetic[forget="random:100",model="resnet18"]'
    assert load_task(both.name).key == both.key
    assert own.name == load_task('age-synthetic[model="resnet8",size=32]').name == "age-synthetic"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("[colour=3]", "has no option 'colour'; it has: forget, model, size"),
        ("[forget=3]", "forget takes str, not 3"),
        ('[model="resnet88"]', "did you mean resnet8-v1"),
        ("[size=64]", "have 32 pixels a side"),
        ("[size=", "task 'age-synthetic\\[size=' is not understood at character 20"),
        ('[forget="memorised:10"]', "`bench tasks memorise age-synthetic` does it"),
    ],
)
def test_options_that_do_not_fit(options: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    with pytest.raises(BenchError, match=said):
        load_task(f"age-synthetic{options}")


def test_a_plugin_registers_a_task_of_its_own_name(install) -> None:
    head = "from dataclasses import replace\nfrom bench import hookimpl\nfrom bench.tasks.age_synthetic import age_synthetic\n"
    hook = "\n@hookimpl\ndef register_tasks(register):\n    register({})\n"
    sources = {"own": 'replace(age_synthetic(), name="own")', "other": "age_synthetic()", "none": '"own"'}
    for name, registered in sources.items():
        install(f"third-{name}", name, f"third_{name}", head + hook.format(registered), group="bench.tasks")
    assert registered_task("own").name == load_task("own").name == "own"
    for name, found in (("other", "age-synthetic"), ("none", "own")):
        with pytest.raises(BenchError, match=f"must define exactly one thing for the name '{name}'; found: {found}"):
            registered_task(name)
