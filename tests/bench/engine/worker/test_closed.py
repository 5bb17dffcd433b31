"""A process has no access to folders that it has closed, nor has what it starts, on any way; beside them it has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.engine.worker.closed import can_close

pytestmark = pytest.mark.process
needs_landlock = pytest.mark.skipif(not can_close(), reason="this system closes no folders")

LOOK = "look into the parent"  # which some systems allow nobody
REFUSED = {
    "read": 'open("a/closed/file").read()',
    "read below": 'open("a/closed/deep/file").read()',
    "read by another program": 'subprocess.run(["cat", "a/closed/file"], stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout',
    "read on another way": 'open("way/closed/file").read()',
    "read by a link": '[os.symlink("../a/closed/file", "other/mine"), open("other/mine").read()]',
    "read by a second name": '[os.link("a/closed/file", "other/mine"), open("other/mine").read()]',
    "move": '[os.rename("a/closed/file", "other/mine"), open("other/mine").read()]',
    "move the folder": '[os.rename("a/closed", "other/mine"), open("other/mine/file").read()]',
    "move the folder above": '[os.rename("a", "other/a"), open("other/a/closed/file").read()]',
    "rename the folder": '[os.rename("a/closed", "a/open"), open("a/open/file").read()]',
    "read by a link in it": 'open("a/closed/elsewhere/file").read()',
    "write": 'open("a/closed/file", "w").write("mine")',
    "remove": '[os.remove("a/closed/file")]',
    LOOK: '[open(f"/proc/{os.getppid()}/mem", "rb")]',
    "a new file in the folder above": 'open("a/new", "w").write("mine")',
}
ALLOWED = {
    "read beside": 'open("a/beside").read()',
    "write beside": 'open("a/beside", "w").write("mine")',
    "a new file elsewhere": '[open("other/new", "w").write("mine"), open("other/new").read()]',
    "move elsewhere": '[os.rename("other/old", "others/old"), open("others/old").read()]',
    "remove elsewhere": '[os.remove("other/old")]',
    "read the system's": 'open("/proc/self/status").read()',
}
SCRIPT = """
import json, os, subprocess, sys
from bench.engine.worker.closed import close

folders, attempts = json.loads(sys.argv[1]), json.loads(sys.argv[2])
told = {"closed": close(folders)}
for place, attempt in attempts:
    os.chdir(place)
    try:
        told[attempt] = bool(eval(attempt))
    except OSError:
        told[attempt] = False
print(json.dumps(told))
"""


def attempted(place: Path, *closed: str) -> tuple[bool, dict[str, bool]]:
    """Whether a process could close folders, and which attempts succeed there; each has a tree of its own."""
    attempts = {**REFUSED, **ALLOWED}
    trees = [place / str(number) for number in range(len(attempts))]
    for tree in trees:
        for folder in ("a/closed/deep", "other", "others"):
            (tree / folder).mkdir(parents=True)
        for file in ("a/closed/file", "a/closed/deep/file", "a/beside", "other/old"):
            (tree / file).write_text("secret")
        (tree / "way").symlink_to("a")
        (tree / "away").mkdir()
        (tree / "away" / "file").write_text("secret")
        (tree / "a/closed/elsewhere").symlink_to(tree / "away")
    asked = json.dumps([str(tree / folder) for tree in trees for folder in closed])
    tried = json.dumps([(str(tree), attempt) for tree, attempt in zip(trees, attempts.values(), strict=True)])
    done = subprocess.run([sys.executable, "-c", SCRIPT, asked, tried], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    return told["closed"], {name: told[attempt] for name, attempt in attempts.items()}


@needs_landlock
@pytest.mark.parametrize("closed", [("a/closed",), ("way/closed",), ("a/closed", "that/is/not/there")])
def test_what_is_closed_cannot_be_had_on_any_way(tmp_path: Path, closed: tuple[str, ...]) -> None:
    closes, found = attempted(tmp_path, *closed)
    assert closes
    assert {name for name, succeeds in found.items() if succeeds} == set(ALLOWED)


def test_where_nothing_is_closed_all_of_that_is_possible(tmp_path: Path) -> None:
    closes, found = attempted(tmp_path)
    assert not closes
    assert {name for name, succeeds in found.items() if not succeeds} <= {LOOK}


@needs_landlock
def test_a_folder_above_with_thousands_of_files_is_closed_too(tmp_path: Path) -> None:
    (tmp_path / "0" / "a").mkdir(parents=True)
    for number in range(1500):
        (tmp_path / "0" / "a" / f"{number}.png").touch()
    _, found = attempted(tmp_path, "a/closed")
    assert not found["read"]
    assert found["a new file elsewhere"]


@needs_landlock
@pytest.mark.skipif(os.getuid() == 0 and not Path("/usr/bin/setpriv").exists(), reason="root lists every folder")
def test_below_a_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    """As homes are on shared machines: nothing beside is permitted then, and Python still finds itself."""
    shared, home = tmp_path / "shared", tmp_path / "shared" / "me"
    home.mkdir(parents=True)
    for file in (home / "closed" / "file", home / "own" / "file"):
        file.parent.mkdir()
        file.write_text("text")
    code = (
        "import sys; from bench.engine.worker.closed import close; print(close([sys.argv[1]]));"
        " import colorsys; print(open(sys.argv[2]).read()); print(open(sys.argv[1] + '/file').read())"
    )
    command = [sys.executable, "-c", code, str(home / "closed"), str(home / "own" / "file")]
    if os.getuid() == 0:  # which may list everything, unless it gives that up
        command = ["/usr/bin/setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", *command]
    shared.chmod(0o111)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home / "own")
    finally:
        shared.chmod(0o755)
    assert done.stdout == "True\ntext\n"
    assert "PermissionError" in done.stderr.splitlines()[-1]
