"""What a child does to itself before anything else, so that it can neither outlive its parent nor drown the machine."""

from __future__ import annotations

import gc
import io
import os
import resource
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing import current_process, forkserver, set_start_method
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.engine.worker.closed import close
from bench.engine.worker.memory import keep_what_is_freed, status_bytes
from bench.lifetime import adopt_orphans, die_with_parent, restore_environment

_SECOND_LINE = 1.25  # RLIMIT_DATA above the limit that the parent watches, which gives the better reason


@dataclass(frozen=True)
class Guards:
    """How a child is guarded. `printing`: where its output goes; None: nowhere."""

    printing: Connection | None = None
    memory_limit: int | None = None  # bytes of private memory, on a CPU
    folder: str = ""  # of its own, to work in
    closed: tuple[str, ...] = ()  # folders to which it has no access

    def put_up(self) -> None:
        """Guard this process."""
        gc.freeze()  # what the server has imported is nobody's garbage: to look through it takes a quarter of a second of a trial
        keep_what_is_freed()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when a child ends
        os.setsid()  # its own process group, which ends with it
        die_with_parent()
        restore_environment()
        adopt_orphans()  # of its children, where the parent finds them
        self._free()
        self.enter_folder()
        self._redirect()

    def close_folders(self) -> bool:
        """See `bench.engine.worker.closed.close`: the last of them, after which whatever fails can be told."""
        return close(self.closed)

    def _free(self) -> None:
        """It may start processes itself; they end with it, and need not be able to import a plugin that is a file."""
        current_process().daemon = False
        if sys.platform == "linux":
            set_start_method("fork", force=True)  # from Python 3.14 on the default is another
        server: Any = forkserver._forkserver
        if server._forkserver_alive_fd is not None:  # whoever holds it keeps the server alive
            os.close(server._forkserver_alive_fd)
            server._forkserver_alive_fd = None

    def enter_folder(self) -> None:
        """Work in the folder of its own, which is empty now, and have temporary files there."""
        if self.folder:
            Path(self.folder).mkdir(exist_ok=True)
            for path in Path(self.folder).iterdir():
                if path.name.startswith("pymp-"):  # multiprocessing remembers that it has made it
                    continue
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            os.chdir(self.folder)
            os.environ["TMPDIR"], tempfile.tempdir = self.folder, None

    def limit_memory(self) -> None:
        """Make allocations fail beyond the limit; of a process that uses CUDA, which reserves far more than it has, never."""
        if self.memory_limit is not None and sys.platform == "linux":
            most = int(_SECOND_LINE * self.memory_limit) + (status_bytes(os.getpid(), "VmData") or 0)
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))

    def _redirect(self) -> None:
        """Send what a plugin prints to the parent, also from C code."""
        target = self.printing.fileno() if self.printing else os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)  # flushes, and loses no line when the process is killed
        for descriptor in (1, 2):
            os.dup2(target, descriptor)
