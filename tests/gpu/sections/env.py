"""What the machine is: versions, defaults, and the two rates that bound everything else (TB/s, TFLOP/s)."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from findings import Findings, seconds_of, synchronise

ASKED = "name,driver_version,memory.total,clocks.sm,clocks.max.sm,power.limit,mig.mode.current,compute_mode"


def measure(findings: Findings) -> None:
    """Seconds of importing torch and making a CUDA context; rates of copies, products and launches."""
    findings.put("import torch", seconds=round(_import_seconds(), 2))
    _versions(findings)
    if findings.cuda:
        _device(findings)
    findings.attempt("copy", _copies, findings)
    findings.attempt("matrix product", _products, findings)
    findings.attempt("one small kernel", _launches, findings)


def _import_seconds() -> float:
    start = time.perf_counter()
    import torch  # noqa: F401

    return time.perf_counter() - start


def _versions(findings: Findings) -> None:
    import torch

    cudnn, cublas = torch.backends.cudnn, torch.backends.cuda
    python = sys.version.split()[0]
    findings.put("versions", python=python, torch=torch.__version__, cudnn=cudnn.version(), cores=os.cpu_count())
    findings.put(
        "defaults",
        cudnn_tf32=cudnn.allow_tf32,
        matmul_tf32=cublas.matmul.allow_tf32,
        benchmark=cudnn.benchmark,
        cublas=os.environ.get("CUBLAS_WORKSPACE_CONFIG", ""),
        lazy=os.environ.get("CUDA_MODULE_LOADING", "(unset: lazy)"),
    )


def _device(findings: Findings) -> None:
    import torch

    asked = ["nvidia-smi", f"--query-gpu={ASKED}", "--format=csv,noheader"]
    findings.put("nvidia-smi", said=subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip())
    start = time.perf_counter()
    torch.zeros(1, device="cuda")
    synchronise("cuda")
    findings.put("CUDA context", seconds=round(time.perf_counter() - start, 2))
    found = torch.cuda.get_device_properties(0)
    findings.put("device", name=found.name, sms=found.multi_processor_count, l2=found.L2_cache_size, uuid=str(found.uuid))


def _copies(findings: Findings) -> None:
    """Bytes read and written per second, on the device and to it."""
    import torch

    device = findings.device
    source = torch.rand(findings.pick(2**28, 2**22), device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    seconds = seconds_of(lambda: target.copy_(source), device, 10)
    findings.put("copy", TB_per_s=round(2 * source.nbytes / seconds / 1e12, 3))
    host = torch.rand(findings.pick(2**24, 2**20))
    for name, pages in (("pageable", host), ("pinned", host.pin_memory() if findings.cuda else host)):
        seconds = seconds_of(lambda pages=pages: pages.to(device, copy=True), device, 3)
        findings.put(f"host to device, {name}", GB_per_s=round(host.nbytes / seconds / 1e9, 2))


def _products(findings: Findings) -> None:
    """Operations per second of square matrix products, by precision."""
    import torch

    device, size = findings.device, findings.pick(8192, 256)
    for name, kind, tf32 in (("bf16", torch.bfloat16, False), ("tf32", torch.float32, True), ("fp32", torch.float32, False)):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        square = torch.randn(size, size, device=device).to(kind)
        square @ square
        seconds = seconds_of(lambda square=square: square @ square, device, 5)
        findings.put(f"matrix product {name}", TFLOP_per_s=round(2 * size**3 / seconds / 1e12, 3))


def _launches(findings: Findings) -> None:
    """Microseconds until a kernel is queued, and until it has run."""
    import torch

    device, repeats = findings.device, findings.pick(2000, 200)
    small = torch.zeros(1, device=device)
    small.add_(1)
    synchronise(device)
    start = time.perf_counter()
    for _ in range(repeats):
        small.add_(1)
    queued = (time.perf_counter() - start) / repeats
    run = seconds_of(lambda: (small.add_(1), synchronise(device)), device, repeats // 10)
    findings.put("one small kernel", launch_us=round(queued * 1e6, 2), with_sync_us=round(run * 1e6, 1))
