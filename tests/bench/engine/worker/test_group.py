"""Control groups, in a tree of plain files as the kernel keeps them: the tests' machine may have none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bench.engine.worker import group as groups
from bench.engine.worker.group import ControlGroup, own_place

FILES = {"cpu.stat": "usage_usec 1500000\nuser_usec 1400000\n", "cgroup.kill": "", "cgroup.procs": ""}
NOBODY = 2**22 + 1  # more than any process's number


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which new folders come with the kernel's files, and go with them while nobody is in them."""
    mkdir, rmdir = Path.mkdir, Path.rmdir

    def made(folder: Path, *arguments: object, **options: object) -> None:
        mkdir(folder, *arguments, **options)
        if folder.parent == tmp_path:
            for name, content in FILES.items():
                (folder / name).write_text(content)

    def removed(folder: Path) -> None:
        if folder.parent != tmp_path:
            rmdir(folder)
        elif (folder / "cgroup.procs").read_text() and not (folder / "cgroup.kill").read_text():
            raise OSError(16, "Device or resource busy")
        else:
            shutil.rmtree(folder)

    monkeypatch.setattr(Path, "mkdir", made)
    monkeypatch.setattr(Path, "rmdir", removed)
    return tmp_path


def test_a_child_is_put_into_a_group_of_its_own(tree: Path) -> None:
    group = ControlGroup.within(tree, 123)
    assert group
    (folder,) = tree.iterdir()
    assert folder.name.startswith(f"bench-{os.getpid()}-")
    assert group.members() == {123}
    assert group.cpu_seconds() == 1.5
    assert group.memory() is None
    (folder / "memory.stat").write_text("anon 1000\nfile 50\nshmem 300\n")
    assert group.memory() == 1300
    group.close()
    assert not list(tree.iterdir())


def test_two_children_have_two(tree: Path) -> None:
    assert ControlGroup.within(tree, 123)
    assert ControlGroup.within(tree, 124)
    assert len(list(tree.iterdir())) == 2


def test_closing_ends_its_members_first(tree: Path) -> None:
    group = ControlGroup.within(tree, 123)
    assert group
    (folder,) = tree.iterdir()
    with pytest.raises(OSError, match="busy"):
        folder.rmdir()
    group.kill()
    assert (folder / "cgroup.kill").read_text() == "1"
    group.close()
    assert not folder.exists()


@pytest.mark.parametrize("lacking", FILES)
def test_a_tree_that_lacks_something_has_none(tree: Path, monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    """An old kernel cannot kill, say."""
    monkeypatch.delitem(FILES, lacking)
    assert ControlGroup.within(tree, 123) is None


def test_a_tree_that_nobody_may_write_to_has_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert ControlGroup.within(tmp_path / "not there", 123) is None
    assert ControlGroup.within(tmp_path / "file", 123) is None


def test_whether_groups_can_be_made_is_known(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, may in (("", True), ("/not there", False)):
        files = {"/proc/self/mounts": f"cgroup2 {tree} cgroup2 rw 0 0", "/proc/self/cgroup": f"0::{place}"}
        monkeypatch.setattr(groups, "text_of", files.__getitem__)
        assert ControlGroup.can_be_made() is may
    assert not list(tree.iterdir())
    monkeypatch.setattr(groups, "text_of", lambda path: "")
    assert not ControlGroup.can_be_made()


def test_groups_of_commands_that_were_killed_are_removed(tree: Path) -> None:
    for owner in (NOBODY, os.getpid()):
        (tree / f"bench-{owner}-0").mkdir()
    (tree / "bench-mark").mkdir()
    assert ControlGroup.within(tree, 123)
    assert not (tree / f"bench-{NOBODY}-0").exists()
    assert {path.name for path in tree.iterdir()} >= {f"bench-{os.getpid()}-0", "bench-mark"}


@pytest.mark.parametrize(
    ("mounts", "memberships", "place"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0", "0::/a/b\n", "/sys/fs/cgroup/a/b"),
        ("cgroup /c/cpu cgroup rw 0 0\ncgroup2 /c/unified cgroup2 rw 0 0", "4:memory:/x\n0::/\n", "/c/unified"),
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0", "0::/../../outside\n", None),
        ("cgroup /c/cpu cgroup rw 0 0", "4:memory:/x\n", None),
        ("", "", None),
    ],
)
def test_where_groups_are_made(mounts: str, memberships: str, place: str | None) -> None:
    assert own_place(mounts, memberships) == (place and Path(place))
