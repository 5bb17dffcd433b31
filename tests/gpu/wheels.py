"""Gathers in one folder what a report needs on a machine without a network that has torch and much else, but not the project."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from findings import ROOT

# The Python and the systems whose wheels that machine takes.
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux1")
# Requirements that it has, and so has what those of the others require.
PRESENT = frozenset(
    [
        "click",
        "filelock",
        "jinja2",
        "numpy",
        "pandas",
        "pillow",
        "pluggy",
        "psutil",
        "rich",
        "safetensors",
        "scikit-learn",
        "scipy",
        "threadpoolctl",
        "torch",
        "torchvision",
    ]
)
SCRIPTS = ("setup.cfg", "tests/bench/test_gpu.py", "tests/gpu/*.py", "tests/gpu/sections/*.py")  # a report needs no more
SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")  # a wheel is built of them and the packages


def gather(folder: Path) -> None:
    """Fill a folder with wheels of the project and of what the machine lacks, and with the scripts of a report."""
    folder.mkdir(parents=True, exist_ok=True)
    for former in folder.glob("*.whl"):  # two versions of a package cannot be installed together
        former.unlink()
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source"
        _copy_sources(source)
        _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
    _pip("download", *_of_that_machine(), "--dest", str(folder), *lacking())
    copy_scripts(folder)
    print("\n".join(sorted(path.name for path in folder.glob("*.whl"))))


def lacking() -> list[str]:
    """Those requirements of the project that the machine does not have, as `setup.cfg` states them."""
    return [requirement for requirement in _requirements() if _name(requirement) not in PRESENT]


def copy_scripts(folder: Path) -> None:
    """Copy what a report consists of to the same paths below a folder."""
    for pattern in SCRIPTS:
        for path in ROOT.glob(pattern):
            target = folder / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def _requirements() -> list[str]:
    return _setup()["options"]["install_requires"].split()


def _setup() -> configparser.ConfigParser:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return setup


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


def _copy_sources(target: Path) -> None:
    """Copy packages and metadata: a build in the working tree would ship what earlier builds have left there."""
    folders = [line.partition("=")[2].strip() for line in _setup()["options"]["package_dir"].strip().splitlines()]
    for name in folders:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in SOURCES:
        shutil.copy(ROOT / name, target)


def _of_that_machine() -> list[str]:
    platforms = [word for name in PLATFORMS for word in ("--platform", f"{name}_x86_64")]
    return ["--no-deps", "--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp", *platforms]


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], check=True)
