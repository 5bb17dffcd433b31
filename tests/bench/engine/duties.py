"""What the children of test_process.py do; a module, since children import it by name."""

from __future__ import annotations

import os
import time

from bench.engine.serve import serve


class Duties:
    """What the children of these tests do."""

    def operations(self):
        return {
            name: getattr(self, name)
            for name in ("add", "spin", "sleep", "hoard", "shout", "start_children", "leave", "leave_a_child")
        }

    def add(self, a: int, b: int):
        return {"sum": a + b}, {}

    def spin(self, seconds: float):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass
        return {}, {}

    def sleep(self, seconds: float):
        time.sleep(seconds)
        return {}, {}

    def hoard(self, size: int):
        self.kept = bytearray(os.urandom(1) * size)
        time.sleep(1)
        return {}, {}

    def shout(self, lines: int):
        for number in range(lines):
            print(f"{number} " + "x" * 1000, flush=True)
        return {}, {}

    def start_children(self):
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

    def leave_a_child(self):
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(3)

    def leave(self):
        os._exit(3)


def child(connection, guards) -> None:
    serve(connection, guards, Duties)
