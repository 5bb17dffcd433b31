"""What somebody with a real dataset waits for, and how much memory that takes."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image, ImageChops

from bench.progress import Progress
from bench.tasks.datasets.preparation import Preparation, prepare
from bench.tasks.datasets.prepared import task_of
from bench.tasks.synthetic_faces import draw_people, photograph
from bench.tasks.variants import registered_task

BENCH = str(Path(sys.executable).parent / "bench")
DISTINCT = 500


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    people = draw_people(DISTINCT, 1, person_sd=2.5, photo_sd=1.5, seed=5)
    return [Image.fromarray(pixels.transpose(1, 2, 0)).resize((200, 200)) for pixels in photograph(people)]


def _utkface(folder: Path, pictures: list[Image.Image], count: int) -> Path:
    """So many different photos: beyond the first few hundred they are those, shifted."""
    folder.mkdir(parents=True)
    draws = np.random.default_rng(0)
    for number, picture in zip(range(count), itertools.cycle(pictures), strict=False):
        shift = draws.integers(0, picture.width, 2) if number >= len(pictures) else (0, 0)
        ImageChops.offset(picture, *map(int, shift)).save(folder / f"{number % 90}_0_0_{number:09d}.jpg", quality=90)
    return folder


class Watch(threading.Thread):
    """The most memory that a process and its children have had at once, bytes: all of it, and what no file stands behind."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process, self.peak, self.peak_own = psutil.Process(pid), 0, 0

    def run(self) -> None:
        try:
            while True:
                found = [self._read(each.pid) for each in (self._process, *self._process.children(recursive=True))]
                self.peak = max(self.peak, sum(each["Pss"] for each in found))
                self.peak_own = max(self.peak_own, sum(each["Pss_Anon"] for each in found))
                time.sleep(0.2)
        except (psutil.Error, OSError, KeyError):
            return

    def _read(self, pid: int) -> dict[str, int]:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        return {line.partition(":")[0]: 1024 * int(line.split()[1]) for line in lines}


def test_prepare_five_thousand(benchmark, pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _utkface(tmp_path / "data", pictures, 5000)
    homes = (tmp_path / f"home{number}" for number in itertools.count())

    def again() -> None:
        monkeypatch.setenv("BENCH_DATA", str(next(homes)))

    benchmark.pedantic(
        lambda: subprocess.run([BENCH, "tasks", "prepare", "age-utkface", "--data", folder], check=True, capture_output=True),
        setup=again,
        rounds=3,
    )


def test_prepare_a_hundred_thousand(benchmark, pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _utkface(tmp_path / "data", pictures, 100_000)
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "home"))

    def run() -> Watch:
        command = [BENCH, "tasks", "prepare", "age-utkface", "--data", str(folder)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        watch = Watch(process.pid)
        watch.start()
        assert process.wait() == 0
        return watch

    watch = benchmark.pedantic(run, rounds=1)
    benchmark.extra_info.update(peak_megabytes=round(watch.peak / 1e6), without_files=round(watch.peak_own / 1e6))


@pytest.mark.parametrize(("count", "size"), [(5000, 32), (20_000, 64)])
def test_load(benchmark, pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, size: int) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "home"))
    dataset = registered_task("age-utkface")
    prepare(Preparation(dataset, _utkface(tmp_path / "data", pictures, count), size), Progress())

    def load() -> None:
        assert task_of(dataset).load().digest()

    benchmark.pedantic(load, rounds=5)


def test_training_memory(benchmark) -> None:
    """20,000 pictures of 64 pixels and a full stack in training, in a process of its own: peak resident megabytes."""
    code = """
import json, sys
import numpy as np, torch
from bench.engine import plan
from bench.engine.jobs import Setting
from bench.engine.worker.trusted import TrustedServer
from bench.models.networks import NETWORKS, recipe_for
torch.set_num_threads(1)
name = sys.argv[1]
recipe = recipe_for(name)
size = plan.stack_size(sys.argv[2], NETWORKS[name].cpu_stack, NETWORKS[name].training_bytes(64, recipe.batch_size))
counts = {"retain": 15600, "forget": 400, "validation": 2000, "test": 2000, "forget_people": 0, "unseen": 0}
draws = np.random.default_rng(0)
pictures = {split: (draws.integers(0, 256, (n, 3, 64, 64), np.uint8), draws.integers(0, 10, n)) for split, n in counts.items()}
server = TrustedServer(None, Setting(name, 10, recipe, "cpu", "cpu", ""), pictures)
from bench.losses import cross_entropy, step
from bench.models.build import initialised
from bench.models.stacked import stack
from torch.optim import AdamW
model = stack([initialised(name, 10, seed) for seed in range(size)])
optimizer = AdamW(model.parameters(), 1e-3)
split = server._bind("train", list(range(size)), stacked=True)
for number, (images, labels) in zip(range(3), split.batches(recipe.batch_size)):
    step(optimizer, cross_entropy(model(images), labels))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(json.dumps({"stack": size, "megabytes": round(int(peak) / 1024)}))
"""
    found = {}

    def measure() -> None:
        for name, device in itertools.product(("resnet8-v1", "resnet18-v1"), ("cpu", "a GPU")):
            done = subprocess.run([sys.executable, "-c", code, name, device], capture_output=True, text=True, check=True)
            found[f"{name}, {device}"] = json.loads(done.stdout)

    benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info["peaks"] = found
    assert np.all([each["megabytes"] > 0 for each in found.values()])
