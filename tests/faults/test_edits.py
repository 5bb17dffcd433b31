"""A run is of one source: what happens to a plugin's file meanwhile is of the next."""

from __future__ import annotations

import json
from pathlib import Path

SOURCE = '''"""A plugin that is edited while it runs."""
import inspect
import sys
from pathlib import Path

from bench import Method


class Plugin(Method):
    """Source: nobody 2026."""

    def unlearn(self, model, data, trial):
        assert "is edited while it runs" in inspect.getsource(sys.modules[__name__])
        Path(__file__).write_text("raise RuntimeError('edited')")
        return model
'''


def test_trials_are_of_the_file_as_it_was_when_the_run_began(run, copied, tmp_path: Path) -> None:
    file = tmp_path / "plugin.py"
    file.write_text(SOURCE)
    asked = ("--plugin", file, "--budget", "100s", "--store", copied.path)
    row = next(row for row in json.loads(run(*asked, "--json").stdout) if row["method"]["name"] == "plugin")
    assert not row["failure"]
    assert "edited" in file.read_text()
    assert "RuntimeError: edited" in run(*asked, code=2).stderr  # now it is another
    file.write_text(SOURCE)
    again = next(row for row in json.loads(run(*asked, "--json").stdout) if row["method"]["name"] == "plugin")
    assert again["run"] == row["run"]


def test_a_file_that_cannot_be_read_is_one_line(run, copied, tmp_path: Path) -> None:
    (tmp_path / "plugin.py").symlink_to("/proc/self/mem")
    (line,) = run("--plugin", tmp_path / "plugin.py", "--store", copied.path, code=2).stderr.splitlines()
    assert line.startswith(f"bench: plugin file {tmp_path / 'plugin.py'} ")
