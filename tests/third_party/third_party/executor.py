"""Pool: two processes with workers of their own, which share nothing with the command but a folder."""

import multiprocessing
import pickle
import tempfile
from collections import deque
from pathlib import Path

from bench import hookimpl
from bench.engine.compute import compute
from bench.engine.contents import SharedFolder
from bench.engine.executor import pickled
from bench.engine.machine import Machine
from bench.errors import WorkerError
from bench.lifetime import die_with_parent

PROCESSES = 2


def serve(folder: Path, waiting, done) -> None:
    """Compute what comes, until nothing does."""
    die_with_parent()
    machine = Machine(SharedFolder(folder))
    while job := waiting.get():
        number, content = job
        printed = bytearray()
        try:
            result = compute(pickle.loads(content), machine, printed=printed.extend)
        except WorkerError as problem:
            result = problem
        except Exception as problem:  # somebody waits for an answer, whatever has happened
            result = WorkerError(f"{type(problem).__name__}: {problem}")
        done.put((number, result, bytes(printed)))
    machine.close()


class PoolExecutor:
    """Jobs travel as bytes; what they name by its hash lies in a folder."""

    def __init__(self, shelf, workers: int, note) -> None:
        self._shelf, self._scratch = shelf, tempfile.TemporaryDirectory()
        self._folder = Path(self._scratch.name)
        context = multiprocessing.get_context("forkserver")
        self._waiting, self._done, self._pending = context.SimpleQueue(), context.SimpleQueue(), deque()
        arguments = self._folder, self._waiting, self._done
        self._processes = [context.Process(target=serve, args=arguments) for _ in range(PROCESSES)]
        for process in self._processes:
            process.start()

    def submit(self, jobs, *, at_once=None, reached, printed=lambda job, text: None):
        """Every job with its result, or why there is none, as they come."""
        try:
            yield from self._results(jobs, at_once or PROCESSES, printed)
        except BaseException:
            for process in self._processes:
                process.kill()
            raise

    def _results(self, jobs, most, printed):
        self._pending = deque(enumerate(jobs))
        running = 0
        while self._pending or running:
            while self._pending and running < most:
                number, job = self._pending.popleft()
                self._shelf.publish(job.contents, self._folder)
                self._waiting.put((number, pickled(job)))
                running += 1
            number, result, text = self._done.get()
            running -= 1
            printed(jobs[number], text)
            yield jobs[number], result

    def cancel(self) -> None:
        """Jobs that have not begun are not computed."""
        self._pending.clear()

    def close(self) -> None:
        """End the processes, and with them what they have started."""
        for _ in self._processes:
            self._waiting.put(None)
        for process in self._processes:
            process.join(10)
            process.kill()
        self._scratch.cleanup()


@hookimpl
def register_executors(register):
    """Register the executor."""
    register(PoolExecutor)
