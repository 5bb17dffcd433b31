"""The code and the commands of docs/guide/first-method.md work as they are printed there."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "guide"


def _blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def test_the_first_method(bench, run, copied, tmp_path: Path) -> None:
    source, stackable = _blocks("first-method.md", "python")
    field = stackable.partition("\n")[2]
    assert field == "    stackable: ClassVar[bool] = True\n"
    source = source.replace("    batch_size: int = 64  # likewise\n", f"    batch_size: int = 64  # likewise\n{field}")
    source = source.replace("import dataclass\n", "import dataclass\nfrom typing import ClassVar\n")
    (tmp_path / "doubt.py").write_text(source)
    tested = bench("plugins", "test", "doubt.py", cwd=tmp_path).stdout
    assert "FAIL" not in tested
    assert "ok    stacked-equals-alone" in tested
    assert len(tested.splitlines()) == 16
    done = run("--plugin", "doubt.py", "--store", copied.path, cwd=tmp_path)
    assert "doubt" in done.stdout
