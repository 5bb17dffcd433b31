"""How fast one training step is, by the way it is computed."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from findings import Findings, seconds_of, synchronise
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from bench.losses import cross_entropy
from bench.models.build import initialised
from bench.models.layers import placed
from bench.models.products import convolved
from bench.models.stacked import stack
from bench.splits import bind

CELL = 6.0  # seconds that one cell of the tables may take, its warm-up included
BATCHES, CLASSES = 16, 8
COUNTED = ("asis", "fused", "products", "graph")  # variants whose kernels are counted
NAMED = ("asis", "products")  # variants whose longest kernels are named
GRAPH_WARM_UP = 3  # steps before a graph is captured, as torch's documentation advises

Go = Callable[[int], None]  # runs the step of a number
Plan = Mapping[int, Sequence[str]]  # models of a stack, 0: a plain network; and the variants to measure


@dataclass(frozen=True)
class Variant:
    """A way to compute a step. What it does not say is as torch does it if nobody asks."""

    deterministic: bool = False  # only algorithms that repeat bit for bit
    grouped: bool = False  # all convolutions in groups
    fused: bool = False  # the optimiser is one kernel
    benchmark: bool = False  # cudnn tries its algorithms
    nchw: bool = False  # channels first
    graph: bool = False  # one launch for all kernels
    products: bool = False  # all convolutions by batched products; neither: the engine's choice
    tf32: bool = False  # of those products
    bf16: bool = False  # autocast


# Of most, only one thing differs from the line above; "asis" is what the engine does.
VARIANTS = {
    "asis": Variant(deterministic=True),
    "grouped": Variant(deterministic=True, grouped=True),
    "fused": Variant(deterministic=True, grouped=True, fused=True),
    "benchmark": Variant(deterministic=True, grouped=True, fused=True, benchmark=True),
    "nchw": Variant(deterministic=True, grouped=True, fused=True, nchw=True),
    "graph": Variant(grouped=True, fused=True, graph=True),
    "products": Variant(fused=True, products=True),
    "products+graph": Variant(fused=True, products=True, graph=True),
    "products+graph+tf32": Variant(fused=True, products=True, graph=True, tf32=True),
    "products+graph+bf16": Variant(fused=True, products=True, graph=True, bf16=True),
    "graph+bf16": Variant(grouped=True, fused=True, graph=True, bf16=True),
}


def measure_all(findings: Findings, network: str, plan: Plan) -> None:
    """Measure every cell of a plan."""
    for models, names in plan.items():
        for name in names:
            findings.attempt(f"{network} M={models} {name}", _measure, findings, network, models, name)
            gc.collect()
            if findings.cuda:
                torch.cuda.empty_cache()


def _measure(findings: Findings, network: str, models: int, name: str) -> None:
    """Milliseconds of a step with its batch, and how long the host took to queue it; kernels, and how long the device worked."""
    began = time.perf_counter()
    _apply(VARIANTS[name], cuda=findings.cuda)
    stepper = Stepper(network, models, VARIANTS[name], findings.device, findings.pick(64, 4))
    if findings.cuda:
        torch.cuda.reset_peak_memory_stats()
    stepper.eager(0)
    synchronise(findings.device)
    first = time.perf_counter() - began
    go = stepper.replayed() if VARIANTS[name].graph and findings.cuda else stepper.eager
    found = _timed(findings, go, CELL - first)
    found["images_per_s"] = round(1e3 * stepper.images / found["ms"])
    found["first_s"] = round(first, 2)
    if findings.cuda:
        found["peak_GB"] = round(torch.cuda.max_memory_allocated() / 1e9, 3)
        if name in COUNTED and time.perf_counter() - began < CELL:
            found |= _kernels(go, named=name in NAMED)
    findings.put(f"{network} M={models} {name}", **found)


def _apply(variant: Variant, *, cuda: bool) -> None:
    """Set what torch keeps for the whole process."""
    if cuda:
        torch.use_deterministic_algorithms(variant.deterministic, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = variant.benchmark
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_tf32 = variant.tf32


def _timed(findings: Findings, go: Go, seconds: float) -> dict[str, float]:
    """Milliseconds of a step, and of queueing it; a third of the seconds that are left goes into them."""
    single = seconds_of(lambda: go(1), findings.device)
    steps = max(2, min(findings.pick(30, 2), int(seconds / 3 / max(single, 1e-4))))
    synchronise(findings.device)
    start = time.perf_counter()
    for index in range(steps):
        go(index)
    queued = time.perf_counter() - start
    synchronise(findings.device)
    total = time.perf_counter() - start
    return {"ms": round(1e3 * total / steps, 3), "host_ms": round(1e3 * queued / steps, 3), "steps": steps}


def _kernels(go: Go, *, named: bool) -> dict[str, object]:
    """How many kernels a step has, milliseconds that they take together, and the longest six with their number."""
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        go(2)
        synchronise("cuda")
    of_device = [event for event in seen.events() if "CUDA" in str(event.device_type)]
    kernels = [event for event in of_device if "Memcpy" not in event.name and "Memset" not in event.name]
    busy = sum(event.time_range.elapsed_us() for event in kernels)
    found: dict[str, object] = {"kernels": len(kernels), "busy_ms": round(busy / 1e3, 3)}
    if named:
        longest = sorted(seen.key_averages(), key=lambda event: -event.self_device_time_total)[:6]
        found["worst"] = [(event.key[:60], event.count, round(event.self_device_time_total / 1e3, 3)) for event in longest]
    return found


class Stepper:
    """A network, its optimiser and batches, ready for training steps; 0 models: a plain network."""

    def __init__(self, network: str, models: int, variant: Variant, device: str, batch: int) -> None:
        self._variant, self._device, seeds = variant, device, range(max(models, 1))
        self.images = batch * len(seeds)  # of a step
        self._net = self._changed(_network(network, models, device), len(seeds))
        self._optimizer = self._made_optimizer()
        draws, count = torch.Generator().manual_seed(1), BATCHES * batch
        pictures = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=draws)
        columns = pictures.to(device), torch.randint(CLASSES, (count,), generator=draws).to(device)
        self._split = bind(columns, seeds, "retain", stacked=bool(models))
        self._rows = [part.contiguous() for part in self._split._positions(shuffle=True).split(batch, -1)]

    def eager(self, index: int) -> None:
        """One step, kernel by kernel."""
        self._step(self._rows[index % BATCHES])

    def replayed(self) -> Go:
        """Capture the step as a graph; what is returned replays it on the batch of a number."""
        place, graph, side = self._rows[0].clone(), torch.cuda.CUDAGraph(), torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(GRAPH_WARM_UP):
                self._step(place)
        torch.cuda.current_stream().wait_stream(side)
        self._optimizer.zero_grad()
        with torch.cuda.graph(graph):
            self._step(place)

        def go(index: int) -> None:
            place.copy_(self._rows[index % BATCHES])
            graph.replay()

        return go

    def _step(self, rows: Tensor) -> None:
        images, labels = (self._split._take(column, rows) for column in self._split.columns)
        self._optimizer.zero_grad()
        with torch.autocast(self._device, torch.bfloat16, enabled=self._variant.bf16, cache_enabled=False):
            logits = self._net(images.float() / 255).float()
        cross_entropy(logits, labels).sum().backward()
        self._optimizer.step()

    def _changed(self, net: nn.Module, models: int) -> nn.Module:
        if self._variant.nchw:
            net = net.to(memory_format=torch.contiguous_format)
        if self._variant.grouped:
            for module in _convolutions(net):
                module.forward = partial(nn.Conv2d.forward, module)  # type: ignore[method-assign]
        return by_products(net, models) if self._variant.products else net

    def _made_optimizer(self) -> torch.optim.Optimizer:
        on_cuda, captured = self._device == "cuda", self._variant.graph and self._device == "cuda"
        rate = torch.tensor(1e-3, device=self._device) if captured else 1e-3
        extra = {"fused": True, "capturable": captured} if self._variant.fused and on_cuda else {}
        return torch.optim.AdamW(self._net.parameters(), lr=rate, weight_decay=1e-4, **extra)


def by_products(net: nn.Module, models: int) -> nn.Module:
    """Have every convolution of a stack computed by batched products; returns the network."""
    for module in _convolutions(net):
        module.forward = partial(convolved, module, models)  # type: ignore[method-assign]
    return net


def _convolutions(net: nn.Module) -> list[nn.Conv2d]:
    return [module for module in net.modules() if isinstance(module, nn.Conv2d)]


def _network(name: str, models: int, device: str) -> nn.Module:
    """Stacked on the device: on the CPU that takes 0.1 s a ResNet-18."""
    net = initialised(name, CLASSES, 0).to(device)
    return placed(stack([net] * models) if models else net, torch.device(device))
