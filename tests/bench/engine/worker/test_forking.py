"""The server that forks children forks them for the process that has started it, and for nobody else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bench.engine.worker import entries, forking
from bench.engine.worker.process import Worker

pytestmark = pytest.mark.process  # every test here starts one


@pytest.mark.skipif(sys.platform != "linux", reason="sockets have names elsewhere")
def test_nobody_else_can_ask_the_server_for_a_child() -> None:
    """Its socket has no name, though children are still forked; a method that asks for one would have one without guards."""
    for _ in range(2):
        with Worker(entries.probe) as worker:
            assert worker.alive
        address = forking._SERVER._forkserver_address
        assert address.startswith("/proc/self/fd/")
        assert not Path(os.readlink(address).removesuffix(" (deleted)")).exists()
