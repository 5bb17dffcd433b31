"""A process has no access to folders that it has closed, nor has what it starts, on any way; beside them it has."""

from __future__ import annotations

import json
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
