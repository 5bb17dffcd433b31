"""The page on architecture has a line for every room at the top of bench, in the order of the floors that contracts hold."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NO_ROOMS = {"__init__.py", "__pycache__", "py.typed"}


def _named() -> list[str]:
    page = (ROOT / "docs" / "reference" / "architecture.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `bench/(\w+(?:\.py|/))` \| .", page, re.MULTILINE)


def _floors() -> list[list[str]]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    layers = setup["importlinter:contract:floors"]["layers"].strip().split("\n")
    return [[name.strip() for name in layer.split("|")] for layer in layers]


def test_every_room_is_named_once() -> None:
    entries = [entry for entry in (ROOT / "bench").iterdir() if entry.name not in NO_ROOMS]
    assert sorted(_named()) == sorted(entry.name + "/" * entry.is_dir() for entry in entries)


def test_rooms_stand_in_the_order_of_the_floors() -> None:
    floor_of = {name: number for number, layer in enumerate(_floors()) for name in layer}
    floors = [floor_of[name.removesuffix("/").removesuffix(".py")] for name in _named()]
    assert floors == sorted(floors)
