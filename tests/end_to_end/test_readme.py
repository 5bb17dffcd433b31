"""The README's plugin runs as it is written there."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_plugin_of_a_dozen_lines(run, copied, tmp_path: Path) -> None:
    (source,) = re.findall(r"```python\n# my_method\.py\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in source.splitlines() if line.strip()]) <= 12
    (tmp_path / "my_method.py").write_text(source)
    done = run("--plugin", "my_method.py", "--store", copied.path, cwd=tmp_path)
    assert "my_method" in done.stdout


def test_every_shown_command_exists(bench) -> None:
    text = README.read_text(encoding="utf-8")
    for command in sorted(set(re.findall(r"^    (?:.*&& )?bench ([a-z]+(?: (?:build|show|preview))?)", text, re.MULTILINE))):
        bench(*command.split(), "--help")
