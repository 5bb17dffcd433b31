"""What memory is counted: what processes have, and files in memory that they hold open."""

from __future__ import annotations

import mmap
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.engine.worker.memory import resident_bytes, status_bytes

SIZE = 50_000_000


@pytest.fixture
def unnamed() -> Iterator[int]:
    """A file in memory that is full."""
    descriptor = os.memfd_create("unnamed")
    os.write(descriptor, bytes(SIZE))
    yield descriptor
    os.close(descriptor)


def test_sizes_of_a_process() -> None:
    assert 10**6 < (status_bytes(os.getpid(), "VmRSS") or 0) <= (status_bytes(os.getpid(), "VmHWM") or 0)
    assert status_bytes(os.getpid(), "NoSuch") is None
    assert status_bytes(2**22 + 1, "VmRSS") is None
    assert resident_bytes([2**22 + 1]) == 0


def test_a_file_in_memory_counts_though_nobody_maps_it(unnamed: int) -> None:
    with_it = resident_bytes([os.getpid()])
    os.ftruncate(unnamed, 0)
    assert with_it - resident_bytes([os.getpid()]) > 0.9 * SIZE


def test_one_that_is_mapped_counts_once(unnamed: int) -> None:
    before = resident_bytes([os.getpid()])
    with mmap.mmap(unnamed, SIZE) as mapped:
        assert mapped[:] == bytes(SIZE)
        assert resident_bytes([os.getpid()]) - before < 0.5 * SIZE


@pytest.mark.process
def test_what_two_share_counts_once(unnamed: int) -> None:
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reads, 1)
        os._exit(0)
    alone, together = resident_bytes([os.getpid()]), resident_bytes([os.getpid(), child])
    os.write(writes, b".")
    os.waitpid(child, 0)
    assert together < 1.5 * alone


def test_a_file_on_a_disk_is_no_memory() -> None:
    """Though no folder lists it."""
    with tempfile.TemporaryFile(dir=Path(__file__).parent) as file:
        before = resident_bytes([os.getpid()])
        file.write(bytes(SIZE))
        file.flush()
        assert resident_bytes([os.getpid()]) - before < 0.5 * SIZE


KEPT = """
import torch
from bench.engine.worker.memory import keep_what_is_freed
{call}
taken = torch.ones(5_000_000)
heap = next(line for line in open("/proc/self/maps") if line.rstrip().endswith("[heap]"))
start, end = (int(address, 16) for address in heap.split()[0].split("-"))
first = start <= taken.data_ptr() < end
del taken
heap = next(line for line in open("/proc/self/maps") if line.rstrip().endswith("[heap]"))
print(first, int(heap.split()[0].split("-")[1], 16) == end)
"""


@pytest.mark.process
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize(("call", "kept"), [("keep_what_is_freed()", "True True"), ("pass", "False True")])
def test_memory_that_was_freed_is_kept(call: str, kept: str) -> None:
    """A tensor lies in the heap, which does not shrink; without the call it would be a mapping of its own, with new pages."""
    done = subprocess.run([sys.executable, "-c", KEPT.format(call=call)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == kept
