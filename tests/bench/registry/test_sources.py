"""What identifies a plugin's source: an edit of anything that it runs, and of nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.registry import sources
from bench.registry.sources import imported, of_file, of_module, of_package, source_file

FILES = {
    "__init__.py": "",
    "method.py": "from . import helper\nfrom .other import thing\nif TYPE_CHECKING:\n    from . import typing_only\n",
    "helper.py": "def helps():\n    from theirs.deep import deepest\n",
    "other.py": "thing = 1\n",
    "unused.py": "",
    "typing_only.py": "",
    "deep/__init__.py": "",
    "deep/deepest.py": "",
    "weights.bin": "1234",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that is called `theirs`."""
    for name, text in FILES.items():
        path = tmp_path / "theirs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "theirs"


@pytest.mark.parametrize("name", FILES)
def test_a_module_is_itself_and_what_it_imports(package: Path, name: str) -> None:
    before = of_module("theirs.method")
    (package / name).write_text(FILES[name] + "# changed\n")
    assert (of_module("theirs.method") == before) == (name in ("unused.py", "typing_only.py", "weights.bin"))


@pytest.mark.parametrize("name", FILES)
def test_a_package_is_all_of_its_files(package: Path, name: str) -> None:
    before = of_package("theirs.method")
    (package / name).write_text(FILES[name] + "# changed\n")
    assert of_package("theirs.method") != before


NEIGHBOURS = {
    "helper.py": "from second import rate\n",
    "second.py": "rate = 1\n",
    "folder/__init__.py": "",
    "folder/data.bin": "1",
    "unused.py": "",
    "typing_only.py": "",
}
MINE = b"import helper, folder.part\nimport torch\nimport mine\nif TYPE_CHECKING:\n    import typing_only\n"


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_a_file_is_itself_and_the_neighbours_that_it_imports(tmp_path: Path, name: str) -> None:
    for each, text in NEIGHBOURS.items():
        (tmp_path / each).parent.mkdir(exist_ok=True)
        (tmp_path / each).write_text(text)
    before = of_file(tmp_path / "mine.py", MINE)
    (tmp_path / name).write_text(NEIGHBOURS[name] + "# changed\n")
    assert (of_file(tmp_path / "mine.py", MINE) == before) == (name in ("unused.py", "typing_only.py"))


def test_of_a_file_its_text_is_what_was_read(tmp_path: Path) -> None:
    """It may have been edited since, and need be no Python."""
    (tmp_path / "mine.py").write_text("import mine\n")
    before = of_file(tmp_path / "mine.py", b"import mine\n")
    (tmp_path / "mine.py").write_text("edited")
    assert of_file(tmp_path / "mine.py", b"import mine\n") == before
    assert of_file(tmp_path / "mine.py", b"no python") != before


def test_what_python_compiles_is_no_source(package: Path) -> None:
    before = of_package("theirs.method")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "method.pyc").write_bytes(b"1")
    assert of_package("theirs.method") == before


def test_what_cannot_be_read_is_left_out_and_said(package: Path) -> None:
    before = of_package("theirs.method")
    (package / ".#method.py").symlink_to("somebody@somewhere.1234")
    found = of_package("theirs.method")
    assert found.digest == before.digest
    (remark,) = found.remarks
    assert remark == f"{package / '.#method.py'} cannot be read (No such file or directory): whether it changes, nobody sees"


def test_a_large_package_is_told_by_sizes_and_times(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LARGEST", 2**20)
    small = of_package("theirs.method")
    (package / "large.bin").write_bytes(bytes(2**20))
    large = of_package("theirs.method")
    assert large.digest != small.digest
    assert large.remarks == (f"{package} has more than 1 MB: sizes and times of its files tell whether it has changed",)
    os.utime(package / "large.bin", ns=(0, 0))
    assert of_package("theirs.method").digest != large.digest


def test_a_module_that_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "alone_here.py").write_text("a = 1\n")
    (tmp_path / "beside_it.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    before = of_package("alone_here")
    (tmp_path / "beside_it.py").write_text("# changed\n")
    assert of_package("alone_here") == before
    (tmp_path / "alone_here.py").write_text("a = 2\n")
    assert of_package("alone_here") != before
    assert of_package("no_such_package.at_all") == of_package("no_such_package_either")


def test_what_is_imported() -> None:
    code = "import theirs.a, json\nfrom ..b import c\nfrom json import dumps\nfrom . import d\n"
    assert list(imported(code, "theirs.deep", {"theirs"})) == ["theirs.a", "theirs.b", "theirs.deep"]


def test_files_are_found_without_importing(package: Path) -> None:
    (package / "__init__.py").write_text("raise RuntimeError")
    assert source_file("theirs.deep.deepest") == package / "deep" / "deepest.py"
    assert source_file("theirs.nothing") is None
    assert source_file("no_such_package.at_all") is None
