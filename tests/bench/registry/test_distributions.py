"""Packages whose metadata are damaged are passed over, and said why; what else is installed is found."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.registry import discovery, distributions

METADATA = b"Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n"
OURS = b"[bench]\nodd = odd_module\n"
Odd = Callable[..., None]

DAMAGED = {
    "a line without a value, in a group of others": (
        METADATA,
        b"[console_scripts]\nfoo bar\n",
        "entry_points.txt is not as packages",
    ),
    "not UTF-8": (METADATA, b"[bench]\nodd\xff = odd_module\n", "entry_points.txt is not UTF-8"),
    "no module": (METADATA, b"[bench]\nodd =\n", "odd of bench names no module: ''"),
    "not a module": (METADATA, b"[bench]\nodd = !!!\n", "odd of bench names no module: '!!!'"),
    "a name that moves the cursor": (METADATA, b"[bench]\nodd\x1b[2J = odd_module\n", "the name of an entry point of bench"),
    "no METADATA": (None, OURS, "METADATA "),
    "METADATA is empty": (b"", OURS, "METADATA "),
    "METADATA without a name": (b"Version: 1.0\n", OURS, "METADATA "),
    "METADATA without a version": (b"Name: odd\n", OURS, "METADATA "),
    "METADATA not UTF-8": (b"Name: \xff\xfe\nVersion: 1.0\n", OURS, "METADATA is not UTF-8"),
    "a name of two lines": (b"Name: odd\x1b[31m\nVersion: 1.0\n", OURS, "METADATA is missing, or its name cannot be shown"),
}


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Odd:
    """Puts a distribution into a folder of its own, which comes first in the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(metadata: bytes | None, entry_points: bytes, folder: str = "odd-1.0.dist-info", at: Path = tmp_path) -> None:
        (at / folder).mkdir(parents=True)
        (at / folder / "entry_points.txt").write_bytes(entry_points)
        if metadata is not None:
            (at / folder / "METADATA").write_bytes(metadata)

    return put


@pytest.mark.parametrize(("metadata", "entry_points", "reason"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_one_costs_itself_only(odd: Odd, metadata: bytes | None, entry_points: bytes, reason: str) -> None:
    odd(metadata, entry_points)
    (unreadable,) = discovery.unreadable()
    assert unreadable.distribution == "odd-1.0"
    assert unreadable.reason.startswith(reason)
    names = {plugin.name for plugin in discovery.installed(discovery.METHODS)}
    assert "scrub" in names
    assert not [name for name in names if name.startswith("odd")]


def test_a_folder_whose_name_moves_the_cursor_is_shown_without(odd: Odd) -> None:
    odd(None, OURS, folder="od\x1b[2Jd-1.0.dist-info")
    assert [each.distribution for each in discovery.unreadable()] == ["od[2Jd-1.0"]


def test_metadata_matter_only_where_there_is_a_plugin(odd: Odd) -> None:
    odd(None, b"[console_scripts]\nodd = odd_module:main\n")
    assert not discovery.unreadable()


def test_of_two_in_the_path_the_first_counts(odd: Odd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd(METADATA, OURS)
    odd(METADATA.replace(b"1.0", b"2.0"), OURS, folder="odd-2.0.dist-info", at=tmp_path / "later")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "later")])
    assert [plugin.version for plugin in discovery.installed(discovery.METHODS) if plugin.name == "odd"] == ["1.0"]


def test_whoever_looks_for_extensions_finds_none_in_them(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    odd(METADATA, b"[torch.backends]\nfoo bar\n")
    monkeypatch.setattr(importlib.metadata.Distribution, "entry_points", importlib.metadata.Distribution.entry_points)
    distributions.pass_over_unreadable()
    assert not importlib.metadata.entry_points(group="torch.backends").names
    assert "scrub" in importlib.metadata.entry_points(group="bench").names


def test_one_of_another_finder_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere(importlib.metadata.Distribution):
        def __init__(self, metadata: str) -> None:
            self._files = {"METADATA": metadata, "entry_points.txt": OURS.decode()}

        def read_text(self, filename: str) -> str | None:
            return self._files.get(filename)

        def locate_file(self, path: object) -> Path:
            return Path(str(path))

    found = [Elsewhere(METADATA.decode()), Elsewhere("")]
    monkeypatch.setattr(distributions, "distributions", lambda: iter(found))
    entries, unreadable = distributions.entries(["bench"])
    assert [entry.distribution for entry in entries["bench"]] == ["odd"]
    assert [each.distribution for each in unreadable] == ["unnamed"]


def test_what_changes_is_read_again(odd: Odd, tmp_path: Path) -> None:
    """Without a new process: notebooks stay open for days."""

    def found() -> list[tuple[str, str]]:
        return [(each.name, each.version) for each in discovery.installed(discovery.METHODS) if each.name.startswith("odd")]

    odd(METADATA, OURS)
    assert found() == [("odd", "1.0")]
    folder = tmp_path / "odd-1.0.dist-info"
    (folder / "METADATA").write_bytes(METADATA.replace(b"1.0", b"1.0.1"))
    assert found() == [("odd", "1.0.1")]
    (folder / "entry_points.txt").write_bytes(OURS + b"odder = odd_module\n")
    assert found() == [("odd", "1.0.1"), ("odder", "1.0.1")]
    (folder / "entry_points.txt").unlink()
    assert found() == []


def test_nobody_can_change_what_others_are_told() -> None:
    entries, unreadable = distributions.entries(["bench"])
    with pytest.raises(TypeError):
        entries["bench"] = ()
    assert isinstance(entries["bench"], tuple)
    assert isinstance(unreadable, tuple)
