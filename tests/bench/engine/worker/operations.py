"""What the children of these tests can do; a module, since children import it by name."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Mapping

from bench.engine.worker.loop import serve

Answer = tuple[object, dict]


class Operations:
    """A server that computes, wastes and dies."""

    def operations(self) -> Mapping[str, Callable[..., Answer]]:
        return {
            name: getattr(self, name)
            for name in (
                "add",
                "spin",
                "sleep",
                "hoard",
                "shout",
                "shout_on",
                "start_children",
                "cut_loose",
                "leave",
                "leave_a_child",
            )
        }

    def add(self, a: int, b: int) -> Answer:
        return {"sum": a + b}, {}

    def spin(self, seconds: float) -> Answer:
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass
        return {}, {}

    def sleep(self, seconds: float) -> Answer:
        time.sleep(seconds)
        return {}, {}

    def hoard(self, size: int) -> Answer:
        self.kept = bytearray(os.urandom(1) * size)
        time.sleep(1)
        return {}, {}

    def shout(self, lines: int) -> Answer:
        for number in range(lines):
            print(f"{number} " + "x" * 1000, flush=True)
        return {}, {}

    def shout_on(self) -> Answer:
        if os.fork() == 0:
            while True:
                print("still here", flush=True)
        return {}, {}

    def start_children(self) -> Answer:
        children = []
        for _ in range(2):
            child = os.fork()
            if child == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(1000)
                os._exit(0)
            children.append(child)
        return {"children": children}, {}

    def cut_loose(self, seconds: float) -> Answer:
        """Somebody who was told not to fall to this process works, and stays."""
        ctypes.CDLL(None).prctl(36, 0)
        reads, writes = os.pipe()
        parent = os.fork()
        if parent == 0:
            os.setsid()
            if os.fork() == 0:
                self.spin(seconds)
                os.write(writes, str(os.getpid()).encode())
                time.sleep(1000)
            os._exit(0)
        os.waitpid(parent, 0)
        return {"children": [int(os.read(reads, 20))]}, {}

    def leave_a_child(self) -> Answer:
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(3)

    def leave(self) -> Answer:
        os._exit(3)


def child(connection, guards) -> None:
    serve(connection, guards, Operations)
