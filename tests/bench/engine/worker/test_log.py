"""What a plugin prints is handed on, up to a bound, and never stops a run."""

from __future__ import annotations

import threading
from multiprocessing import Pipe

import pytest

from bench.engine.worker.log import LARGEST, LogPump


@pytest.mark.process
def test_output_is_handed_on_and_is_bounded(start) -> None:
    printed = bytearray()
    worker = start(heard=True)
    worker.hand_to(printed.extend)
    worker.ask("shout", lines=6000)
    worker.ask("add", a=1, b=2)
    worker.drain()
    text = printed.decode()
    assert text.startswith("0 xxx")
    assert LARGEST <= len(text) < LARGEST + 1000
    assert text.endswith("(the rest is left out)\n")


@pytest.mark.process
def test_all_that_was_printed_before_an_answer_is_there_after_draining(start) -> None:
    """Whoever listens may change between two questions; everybody gets what belongs to them."""
    worker, heard = start(heard=True), []
    for _ in range(20):
        printed = bytearray()
        worker.hand_to(printed.extend)
        worker.ask("shout", lines=3)
        worker.drain()
        heard.append(bytes(printed))
    assert [text.count(b"\n") for text in heard] == [3] * 20


@pytest.mark.process
def test_the_last_words_of_a_child_that_is_ended_are_heard(start) -> None:
    printed = bytearray()
    worker = start(heard=True)
    worker.hand_to(printed.extend)
    worker.ask("shout", lines=50)
    worker.close()
    assert printed.count(b"\n") == 50


@pytest.mark.process
def test_whoever_listens_and_fails_does_not_stop_the_child(start) -> None:
    def fail(text: bytes) -> None:
        raise OSError("no space left on device")

    worker = start(heard=True)
    worker.hand_to(fail)
    worker.ask("shout", lines=6000)
    assert worker.ask("add", a=1, b=2)


@pytest.mark.process
def test_a_child_that_never_stops_printing_is_not_waited_for(start) -> None:
    worker = start(heard=True)
    worker.ask("shout_on")
    worker.drain()
    worker.close()
    assert not worker.alive


def test_a_listener_that_is_slow_is_not_waited_for() -> None:
    source, sink = Pipe(duplex=False)
    goes_on = threading.Event()
    pump = LogPump(source)
    pump.hand_to(lambda text: goes_on.wait())
    sink.send_bytes(b"words")
    pump.drain()  # would never come back
    goes_on.set()
    sink.close()
    pump.join()
