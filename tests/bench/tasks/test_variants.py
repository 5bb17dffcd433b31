"""One task in several forms, and what a plugin may register as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.tasks import memorisation
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


KEYS = {  # which references in stores, and the one that comes with the package, are found by
    "age-synthetic": "9e4f085b95dc6f7c38585c89e00d256404659a8b7a75a57c4a0c8f8c20d45477",
    'age-synthetic[model="resnet18"]': "04e701dcdfccca40c99676697227b340b87e67313f5242d3a40ef5c5ec602a3f",
}
NET = "from torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self, classes, size):\n        super().__init__()\n"


@pytest.mark.parametrize("name", KEYS)
def test_keys_stay_what_they_are(name: str) -> None:
    assert load_task(name).key == KEYS[name]


def test_the_key_has_the_source_of_a_network_that_is_none_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where it lies: whoever has the same file has the same task."""
    monkeypatch.chdir(tmp_path)
    sources = {"one/net.py": NET, "two/net.py": NET, "three/net.py": f"{NET}        self.head = None\n"}
    for path, source in sources.items():
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(source)
    one, two, three = (load_task(f'age-synthetic[model="{path}:Net"]') for path in sources)
    assert one.key == two.key != three.key
    assert (one.name, one.network) == ('age-synthetic[model="one/net.py:Net"]', "Net")
    assert load_task(one.name).key == one.key
    assert len({memorisation._path(task) for task in (one, two, three)}) == 2


def test_a_task_and_a_dataset_name_an_installed_network(install) -> None:
    head = "from dataclasses import replace\nfrom bench import hookimpl\nfrom bench.tasks.age_synthetic import age_synthetic\n"
    task = '\n\n@hookimpl\ndef register_tasks(register):\n    register(replace(age_synthetic(), name="own", network="my-net"))\n'
    install("third-task", "own", "third_task", head + task, "bench.tasks")
    with pytest.raises(BenchError, match="unknown network 'my-net'"):
        load_task("own")
    hook = "\n\n@hookimpl\ndef register_networks(register):\n    register(Net)\n"
    install("third-net", "my-net", "third_net", "from bench import hookimpl\n" + NET + hook, "bench.networks")
    own = load_task("own")
    assert (own.name, own.network, own.own_network.plugin.distribution) == ("own", "my-net", "third-net")
    assert load_task('own[model="my-net"]').name == "own"
    assert load_task('own[model="resnet8"]').name == 'own[model="resnet8"]'
    assert own.key != load_task('own[model="resnet8"]').key


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
