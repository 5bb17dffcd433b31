"""What a plugin prints is kept, up to a bound, and never stops a run."""

from __future__ import annotations

import time
from pathlib import Path

from bench.engine.worker.log import LARGEST, write_log


def test_output_goes_to_the_log_and_is_bounded(start, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    worker = start(log=log)
    worker.ask("shout", lines=6000)
    worker.ask("add", a=1, b=2)
    until = time.monotonic() + 60
    while (not log.exists() or log.stat().st_size < LARGEST) and time.monotonic() < until:
        time.sleep(0.05)
    text = log.read_text()
    assert text.startswith("0 xxx")
    assert LARGEST <= len(text) < LARGEST + 1000
    assert text.endswith("(the rest is left out)\n")


def test_a_log_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    write_log(tmp_path / "no such folder" / "log.txt", b"words")
    assert not (tmp_path / "no such folder").exists()


def test_a_log_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    """A plugin could put a link to anything in its place."""
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "log.txt").symlink_to(tmp_path / "precious")
    write_log(tmp_path / "log.txt", b"words")
    assert (tmp_path / "precious").read_text() == "kept"
