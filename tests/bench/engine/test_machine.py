"""Which device computes, and what a machine keeps: trusted workers, processes of methods, and what it has fetched."""

from __future__ import annotations

import re
import threading
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.engine import machine
from bench.engine.compute import compute
from bench.engine.contents import Shelf
from bench.engine.jobs import Unlearn
from bench.engine.machine import Device, Machine, find_device, find_kind, processor
from bench.engine.worker.answers import Devices, Gpu
from bench.errors import BenchError, WorkerError
from bench.registry import discovery
from bench.registry.discovery import Plugin
from bench.registry.networks import OwnNetwork
from bench.store.records import Failed


@pytest.mark.process
def test_the_processor_is_found_on_a_machine_with_or_without_a_gpu() -> None:
    device = find_device("cpu")
    assert (device.kind, device.torch_name) == ("cpu", "cpu")
    assert device.processor == processor() != ""
    assert device.environment["torch"] == str(torch.__version__)
    assert device.environment["numpy"] == np.__version__


@pytest.mark.process
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(BenchError, match="no such CUDA device is available; use --device cpu"):
        find_device("cuda")


def test_times_belong_to_what_computes() -> None:
    assert Device("cpu", "cpu", "Some CPU", {}).timed_as == "Some CPU"
    assert Device("Some GPU", "cuda", "Some CPU", {}).timed_as == "Some GPU, Some CPU"
    assert Device("cpu, bf16", "cpu", "Some CPU", {}).timed_as == "Some CPU"


class Found:
    """A probe that has found two GPUs, the first of them an old one."""

    def __init__(self, worker: object) -> None:
        self.gpus = [
            Gpu(name="Old GPU", uuid="one", bf16=False, memory=4 * 2**30),
            Gpu(name="Some GPU", uuid="two", bf16=True, memory=80 * 2**30),
        ]

    def devices(self) -> Devices:
        return Devices(gpus=self.gpus, environment={})


@pytest.fixture
def two_gpus(monkeypatch) -> None:
    monkeypatch.setattr(machine, "ProbeCalls", Found)
    monkeypatch.setattr(machine, "Worker", lambda serve: nullcontext())


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("wanted", "precision", "kind", "name", "unit"),
    [
        ("auto", "float32", "Old GPU", "cuda", "one"),
        ("cuda", "tf32", "Old GPU, tf32", "cuda", "one"),
        ("cuda:1", "bf16", "Some GPU, bf16", "cuda:1", "two"),
        ("cpu", "bf16", "cpu, bf16", "cpu", ""),
    ],
)
def test_one_of_several_gpus_may_be_named(wanted: str, precision: str, kind: str, name: str, unit: str) -> None:
    device = find_device(wanted, precision)
    assert (device.kind, device.torch_name, device.unit) == (kind, name, unit)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("wanted", "precision", "told"),
    [
        ("cuda:2", "float32", "no such CUDA device is available; there are 2, from cuda:0 on"),
        ("cuda", "bf16", "Old GPU has no bf16; use --precision float32"),
        ("cpu", "tf32", "tf32 is a precision of GPUs: on a processor use --precision float32 or bf16"),
        ("gpu", "float32", "there is no device 'gpu'; give auto, cpu, cuda or, of several, cuda:1"),
        ("cuda:", "float32", "there is no device 'cuda:'; give auto, cpu, cuda or, of several, cuda:1"),
        ("cpu", "half", "there is no precision 'half'; give float32, tf32 or bf16"),
    ],
)
def test_what_no_device_can_do_is_told(wanted: str, precision: str, told: str) -> None:
    with pytest.raises(BenchError, match=f"^{re.escape(told)}$"):
        find_device(wanted, precision)


@pytest.mark.usefixtures("two_gpus")
def test_a_device_is_found_by_its_kind() -> None:
    """Whatever number it has: a run is repeated where it was made."""
    assert (find_kind("Some GPU, bf16").torch_name, find_kind("Old GPU").torch_name) == ("cuda:1", "cuda")
    assert find_kind("cpu, bf16").kind == "cpu, bf16"
    with pytest.raises(BenchError, match=r"^there is no Other GPU here$"):
        find_kind("Other GPU")


def test_a_device_is_locked_whatever_it_computes_in(room, monkeypatch) -> None:
    """Two commands in two precisions would time their trials beside each other; two GPUs of one name are two devices."""
    monkeypatch.setattr(machine, "DeviceLock", lambda name, note, stopped: name)
    places = [
        room.machine.lock(replace(room.setting, device_kind=kind, unit=unit))
        for kind, unit in [("cpu", ""), ("cpu, bf16", ""), ("Some GPU", "one"), ("Some GPU, tf32", "one"), ("Some GPU", "two")]
    ]
    assert places[0] == places[1]
    assert places[2] == places[3]
    assert len(set(places)) == 3


def test_trusted_workers_are_kept_for_their_setting(room) -> None:
    other = replace(room.setting, classes=5)
    for setting in (room.setting, other, room.setting, other):
        with room.machine.trusted(setting):
            pass
    with room.machine.trusted(room.setting) as one, room.machine.trusted(room.setting) as two:
        assert one.worker is not two.worker
    assert [child.arguments[0].classes for child in room.trusted] == [4, 5, 4]
    room.machine.close()
    assert room.has_ended()


def test_trusted_workers_have_every_split_and_methods_only_their_own(room) -> None:
    with room.machine.trusted(room.setting), room.machine.method(room.setting, room.work()):
        pass
    (trusted,), (method,) = room.trusted, room.children
    assert set(trusted.arguments[1]) == {"retain", "forget", "validation", "test", "forget_people", "unseen"}
    assert trusted.options["device_kind"] == "cpu"
    _, handed, plugin, spec, share = method.arguments
    pictures, identities, original = handed.pictures, handed.identities, handed.original
    assert set(pictures) == set(identities) == {"retain", "forget", "validation"}
    assert pictures["forget"][1].tolist() == [2, 3]
    assert original["fc.weight"].shape == (1, 4, 2)
    assert (plugin, spec, share) == (room.work().plugin, room.work().spec, 0.2)
    closed = method.options.pop("closed")
    assert closed[0] == "/store"
    assert method.options == {"device_kind": "cpu", "heard": True, "memory_limit": 10**9}


def test_a_trusted_worker_that_was_killed_while_it_waited_is_passed_over(room) -> None:
    with room.machine.trusted(room.setting), room.machine.trusted(room.setting):
        pass
    for child in room.trusted:
        child.alive = False
    with room.machine.trusted(room.setting) as calls:
        assert calls.worker is room.trusted[2]
    assert [child.closed for child in room.trusted] == [True, True, False]


def test_on_a_cpu_every_method_call_has_a_fresh_process(room) -> None:
    for _ in range(2):
        with room.machine.method(room.setting, room.work()):
            pass
    assert [child.closed for child in room.children] == [True, True]


def test_on_a_gpu_one_process_serves_the_chunks_of_a_run(room_with) -> None:
    room = room_with("cuda")
    for _ in range(3):
        with room.machine.method(room.setting, room.work()):
            pass
    (child,) = room.children
    assert child.drained == 3
    heard: list[bytes] = []
    with room.machine.method(room.setting, room.work(), heard.append):
        pass
    assert (heard, child.drained) == ([b"0 asked; "], 4)
    with room.machine.method(room.setting, room.work(), fresh=True) as method:
        assert method.worker is room.children[1]
    assert [child.closed for child in room.children] == [False, True]
    with room.machine.method(room.setting, room.work(seed=8)) as method:
        assert method.worker is room.children[2]
        assert child.closed
    room.machine.close()
    assert room.has_ended()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_methods_process_that_failed_is_not_used_again(room_with, device: str) -> None:
    room = room_with(device)
    with pytest.raises(WorkerError, match="no luck"), room.machine.method(room.setting, room.work()):
        raise WorkerError("no luck")
    (child,) = room.children
    assert child.closed
    with room.machine.method(room.setting, room.work()) as method:
        assert method.worker is not child


@pytest.mark.parametrize("whom", ["trusted", "method"])
def test_a_worker_that_is_just_starting_when_all_stop_ends_too(room, whom: str) -> None:
    """It is not yet among those that can be killed, and whoever asked for it would wait until it has done its work."""
    room.when_one_starts = room.machine.stop
    use = room.machine.trusted(room.setting) if whom == "trusted" else room.machine.method(room.setting, room.work())
    with pytest.raises(WorkerError, match="stopped") as caught, use:
        pass
    assert caught.value.kind == "died"
    assert len(room.trusted) + len(room.children) == 1
    assert room.has_ended()


class Slow(Shelf):
    """Contents that come when everybody has asked for them; it remembers what was fetched."""

    def __init__(self, data: Any, everybody_asks: threading.Event) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.put_data("data", lambda: data)
        self._everybody_asks = everybody_asks

    def data(self, digest: str) -> Any:
        self.fetched.append(digest)
        self._everybody_asks.wait()
        return super().data(digest)

    def weights(self, digest: str) -> Any:
        self.fetched.append(digest)
        return super().weights(digest)


def test_what_several_jobs_need_at_a_time_is_fetched_once(small_data) -> None:
    gate, everybody_asks = threading.Barrier(4), threading.Event()
    shelf = Slow(small_data(), everybody_asks)
    digest = shelf.put_weights({"fc.weight": np.zeros((1, 4, 2), np.float32)})
    machine, found = Machine(shelf), []

    def fetch() -> None:
        if gate.wait() == 0:
            everybody_asks.set()
        found.append((machine.data("data"), machine.weights(digest)))

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    machine.close()
    assert sorted(shelf.fetched) == sorted(["data", digest])
    assert len(found) == 4
    assert all(data is found[0][0] and weights is found[0][1] for data, weights in found)


def test_a_plugin_that_is_installed_here_is_used_as_it_is(room) -> None:
    plugin = discovery.find_method("finetune")
    assert room.machine.plugin(room.work(plugin=plugin, source=plugin.source_hash())) == plugin


def test_a_plugin_with_another_source_on_this_machine_is_refused_in_one_line(room) -> None:
    plugin = replace(discovery.find_method("finetune"), version="9.9")
    work = room.work(plugin=plugin, source="0" * 64)
    with pytest.raises(WorkerError) as caught:
        room.machine.plugin(work)
    assert str(caught.value) == "plugin finetune has another source on this machine; install version 9.9"
    failed = compute(Unlearn(room.setting, work, (0,)), room.machine)
    assert failed == Failed(trials=(0,), failure=str(caught.value))
    assert room.children == []


def test_a_plugin_that_is_not_installed_here_is_refused(room) -> None:
    work = room.work(plugin=Plugin("theirs", "no_such_package.theirs", "theirs", "2.0"))
    with pytest.raises(WorkerError, match=r"^plugin theirs has another source on this machine; install version 2\.0$"):
        room.machine.plugin(work)


def test_a_plugin_file_is_what_the_driver_has_read_whatever_lies_there_now(room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there is none: the driver may be on another machine. It is fetched once."""
    work, fetched = room.work(), []

    def fetch(digest: str) -> bytes:
        fetched.append(digest)
        return b""

    monkeypatch.setattr(room.shelf, "source", fetch)
    machine = Machine(room.shelf)
    assert not Path(work.plugin.module).exists()
    assert machine.plugin(work).text == b""
    Path(work.plugin.module).write_text("# changed\n")
    plugin = machine.plugin(work)
    assert (plugin, plugin.text, plugin.source_hash()) == (work.plugin, b"", work.source)
    assert fetched == [work.source]


def test_workers_get_the_source_of_a_network_that_is_a_file_and_make_one_before_a_method_is_timed(room) -> None:
    plugin = Plugin("net", "/nowhere/net.py", "", "", "Net", text=b"Net = None\n")
    source = room.shelf.put_source(plugin.source_hash(), plugin.text)
    own = OwnNetwork(replace(plugin, text=None), source, stackable=False)
    setting = replace(room.setting, network="Net", own_network=own)
    with room.machine.trusted(setting), room.machine.method(setting, room.work()) as calls:
        assert calls.worker.asked == ["know_network"]
    for child in (*room.trusted, *room.children):
        assert child.arguments[0].own_network.plugin.text == b"Net = None\n"
    with room.machine.method(room.setting, room.work()) as calls:
        assert calls.worker.asked == []


def test_a_fetched_file_that_is_not_what_was_named_is_refused(room) -> None:
    work = room.work()
    room.shelf.put_source(work.source, b"# something else\n")
    with pytest.raises(WorkerError, match=r"^plugin stub has another source on this machine$"):
        room.machine.plugin(work)


def test_a_class_that_is_named_after_a_file_is_named_after_the_fetched_one_too(room) -> None:
    work = room.work()
    named = replace(work, plugin=replace(work.plugin, attribute="Mine"))
    assert room.machine.plugin(named).attribute == "Mine"
