"""Unlearned models as the challenge's zip of checkpoints."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bench.engine import plan
from bench.engine.process import Arrays, Worker
from bench.engine.runs import Description, Request
from bench.engine.session import Session
from bench.engine.trials import Trials
from bench.errors import BenchError, WorkerError
from bench.models import build
from bench.references import References
from bench.weights import state


def write_checkpoints(session: Session, request: Request, description: Description, path: Path) -> None:
    """Unlearn `request.models` times and zip the models as `unlearned_checkpoint_0.pth` ...; the file is whole or absent.

    The trials are those of `bench run` with the same seed. A checkpoint is what `torch.save` makes of a state dict.

    Raises:
        BenchError: a trial failed.
    """
    references = References.of(session)
    references.build(session, [])
    allowance = request.budget.allowance(references.yardstick(session))
    record = {
        "method": {"stackable": description.stackable, "uses_clock": description.uses_clock},
        "allowance_seconds": allowance,
    }
    chunks = plan.chunks(description.variants, session.stack_size if description.stackable else 1)
    advance = session.progress.stage(f"{request.plugin.name}: {request.models} checkpoints", len(chunks))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with (
            tempfile.TemporaryDirectory() as log,
            Trials(session, references.original_weights(), request, record, Path(log)) as trials,
            zipfile.ZipFile(partial, "x") as archive,
        ):

            def unlearn(_: Worker, chunk: plan.Chunk) -> Arrays:
                return trials.weights(chunk)

            at_once = 1 if description.uses_clock else None
            for chunk, weights in session.executor.map(chunks, unlearn, at_once=at_once):
                if isinstance(weights, WorkerError):
                    raise BenchError(f"{request.spec}: trials {chunk[0]}-{chunk[-1]}: {weights}") from weights
                for position, index in enumerate(chunk):
                    archive.writestr(f"unlearned_checkpoint_{index}.pth", _checkpoint(session, weights, position))
                advance(1)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _checkpoint(session: Session, weights: Arrays, position: int) -> bytes:
    """One model of a stack, as torch.save writes a state dict."""
    model: nn.Module = build(session.task.network, len(session.task.groups))
    for name, view in state(model).items():
        view.copy_(torch.from_numpy(np.ascontiguousarray(weights[name][position : position + 1])))
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return buffer.getvalue()
