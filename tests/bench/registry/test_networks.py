"""Networks are found by name, in packages and in files; what is wrong with one is a line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.errors import BenchError
from bench.models.networks import LARGE, NETWORKS, recipe_for
from bench.registry.networks import blueprint_of, find
from bench.tasks.task import Recipe

NET = '''"""A network of one layer."""
from bench import hookimpl
from bench.tasks.task import Recipe
from torch import nn


class Net(nn.Module):
    recipe = Recipe(epochs=3, batch_size=16, learning_rate=1e-2, weight_decay=0.0, warmup=0.0)
    stackable = True

    def __init__(self, classes, size):
        super().__init__()
        self.head = nn.Linear(3 * size**2, classes)

    def forward(self, images):
        return self.head(images.flatten(1))
'''
REGISTERS = "\n\n@hookimpl\ndef register_networks(register):\n    register({})\n"
FUNCTION = """from torch import nn


def small(classes, size):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * size**2, classes))
"""


@pytest.mark.parametrize("name", ["resnet8", "resnet18", "resnet18-challenge"])
def test_ours_with_and_without_version(name: str) -> None:
    assert find(name) == find(f"{name}-v1")
    assert (find(name).name, find(name).recipe, find(name).own) == (f"{name}-v1", recipe_for(f"{name}-v1"), None)


def test_a_class_in_a_file_says_how_it_is_trained(tmp_path: Path) -> None:
    (tmp_path / "my_net.py").write_text(NET)
    alone, named = find(str(tmp_path / "my_net.py")), find(f"{tmp_path / 'my_net.py'}:Net")
    assert (alone.name, named.name) == ("Net", "Net")
    assert alone.own.source == named.own.source
    assert named.recipe == Recipe(epochs=3, batch_size=16, learning_rate=1e-2, weight_decay=0.0, warmup=0.0)
    assert named.own.stackable
    net = blueprint_of(named.name, named.own, 7, 16).initialised(1)
    assert net(torch.rand(2, 3, 16, 16)).shape == (2, 7)
    assert net.training


def test_a_function_in_a_file_is_trained_as_usual(tmp_path: Path) -> None:
    (tmp_path / "my_net.py").write_text(FUNCTION)
    found = find(f"{tmp_path / 'my_net.py'}:small")
    assert (found.name, found.recipe, found.own.stackable) == ("small", LARGE, False)
    assert blueprint_of(found.name, found.own, 3, 8).build()(torch.rand(2, 3, 8, 8)).shape == (2, 3)


def test_an_installed_one_has_its_entry_points_name(install) -> None:
    install("third-nets", "my-net", "third_nets", NET + REGISTERS.format("Net"), "bench.networks")
    found = find("my-net")
    assert (found.name, found.own.plugin.distribution, found.own.plugin.version) == ("my-net", "third-nets", "1.0")


def test_a_file_is_what_it_was_when_it_was_read(tmp_path: Path) -> None:
    """Of a file that is edited meanwhile the network stays that of the key."""
    file = tmp_path / "my_net.py"
    file.write_text(NET)
    before = find(str(file))
    file.write_text(NET.replace("3 * size**2, classes", "3 * size**2, classes, bias=False"))
    assert find(str(file)).own.source != before.own.source
    assert blueprint_of("Net", before.own, 3, 8).build().head.bias is not None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet-18", "unknown network 'resnet-18'; did you mean resnet18-v1"),
        ("my-ned", "did you mean my-net?"),
        ("vit", f"there are: {', '.join(NETWORKS)}, my-net"),
        ("absent.py:Net", "network file .*absent.py does not exist"),
    ],
)
def test_unknown_names(name: str, said: str, install) -> None:
    install("third-nets", "my-net", "third_nets", NET + REGISTERS.format("Net"), "bench.networks")
    with pytest.raises(BenchError, match=said):
        find(name)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise ValueError('no')", "fails to import: ValueError: no"),
        ("raise SystemExit(3)", "fails to import: SystemExit: 3"),
        ("def (:", "fails to import: SyntaxError"),
        ("", "has no Net"),
        ("Net = 3", "must define exactly one thing .* found: 3"),
        ("def Net(num_classes): pass", r"is no network: it must be possible to call it as NETWORK\(classes=10, size=32\)"),
        ("def Net(classes, size, width): pass", "is no network"),
        ("def Net(classes, size): pass\nNet.recipe = 3", "recipe must be a Recipe, not 3"),
        ("def Net(classes, size): pass\nNet.stackable = 'no'", "stackable must be True or False, not 'no'"),
    ],
)
def test_what_is_wrong_with_a_file_is_a_line_that_names_it(source: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "my_net.py").write_text(source)
    with pytest.raises(BenchError, match=f"(?s)my_net.*{said}"):
        find(f"{tmp_path / 'my_net.py'}:Net")


def test_a_file_with_several_has_to_be_told_which(tmp_path: Path) -> None:
    (tmp_path / "my_net.py").write_text(NET + "\n\nclass Other(Net):\n    pass\n")
    with pytest.raises(BenchError, match=r"found: Net, Other; say which with FILE\.py:CLASS"):
        find(str(tmp_path / "my_net.py"))


def test_a_hook_without_its_mark_is_told(tmp_path: Path) -> None:
    (tmp_path / "my_net.py").write_text(NET + REGISTERS.format("Net").replace("@hookimpl\n", ""))
    with pytest.raises(BenchError, match="decorate register_networks with @hookimpl"):
        find(str(tmp_path / "my_net.py"))
