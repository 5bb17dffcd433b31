"""Names of sockets, wherever temporary files lie, and interruptions; the rest is tested with what starts processes."""

from __future__ import annotations

import os
import signal
import tempfile
from multiprocessing.connection import arbitrary_address
from multiprocessing.process import current_process
from multiprocessing.util import get_temp_dir
from pathlib import Path

import pytest

from bench import lifetime
from bench.errors import advice

LONGEST = 107  # bytes of a socket's name


@pytest.fixture
def long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files with a long name."""
    folder = tmp_path / ("long" * 31)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setitem(current_process()._config, "tempdir", str(folder / "pymp-01234567"))  # of whoever used it before
    return folder


def test_sockets_have_short_names_wherever_temporary_files_lie(long: Path) -> None:
    assert len(os.fsencode(arbitrary_address("AF_UNIX"))) > LONGEST
    with lifetime.apart_from_caller():
        assert len(os.fsencode(arbitrary_address("AF_UNIX"))) <= LONGEST
    assert get_temp_dir() == str(long / "pymp-01234567")
    assert tempfile.gettempdir() == str(long)


def test_a_folder_with_a_short_name_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/some/where")
    assert lifetime.short_folder() == "/some/where"


def test_where_there_is_none_the_user_is_told_what_to_set(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert lifetime.short_folder() == str(long)
    assert advice(OSError("AF_UNIX path too long")) == "name a folder with a shorter name, as /tmp is, in the variable TMPDIR"


def test_an_interruption_waits_until_a_process_has_been_started() -> None:
    reached: list[str] = []

    def starting() -> None:
        with lifetime.undisturbed():
            signal.raise_signal(signal.SIGINT)
            assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])  # what is started has it from here
            reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        starting()
    assert reached == ["the end"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_one_nothing_is_said() -> None:
    with lifetime.undisturbed(), lifetime.undisturbed():
        pass
