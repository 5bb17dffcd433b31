"""What the engine is asked: a method with its hyper-parameters, N, budget and seed; and what a process says of the method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from bench.budget import Budget
from bench.engine.jobs import Work
from bench.engine.method_process import start_method
from bench.engine.worker.answers import Description
from bench.engine.worker.calls import MethodCalls
from bench.errors import BenchError, WorkerError, one_line
from bench.outputs import Arrays
from bench.registry.discovery import Plugin
from bench.registry.specs import Spec
from bench.store.method_records import MethodRecord

if TYPE_CHECKING:
    from bench.engine.session import Session


@dataclass(frozen=True)
class Request:
    """What `bench run` is asked for one plugin."""

    plugin: Plugin
    spec: Spec
    models: int
    budget: Budget
    seed: int
    again: bool = False


def describe(session: Session, request: Request) -> Description:
    """Load the plugin in a process of its own and look at it.

    Raises:
        BenchError: it cannot be loaded, or does not take these hyper-parameters.
    """
    try:
        limits = session.memory_limit, session.closed
        with start_method(session.setting, request.plugin, request.spec, request.budget.as_share, *limits) as worker:
            description = MethodCalls(worker).describe(request.models)
            if len(description.variants) != request.models:
                raise WorkerError(f"{len(description.variants)} variants for {request.models} trials")
    except WorkerError as problem:
        blamed = "" if request.plugin.name in str(problem) else f"plugin {request.plugin.name}: "
        raise BenchError(f"{blamed}{problem}") from problem
    if description.remark:
        session.progress.note(one_line(f"{request.plugin.name}: {description.remark}"))
    if description.control:
        _check_control(request, description.reference_models)
    return msgspec.structs.replace(description, stackable=description.stackable and session.stackable)


def _check_control(request: Request, stand_ins: Sequence[int | None]) -> None:
    retrained = [index for index in stand_ins if index is not None]
    wrong = len(stand_ins) != request.models or len(retrained) not in (0, request.models)
    if wrong or any(index < request.models for index in retrained):
        raise BenchError(
            f"control row {request.plugin.name} must name {request.models} models: the original for all trials,"
            f" or retrained models from index {request.models} on"
        )


def work_of(session: Session, request: Request, method: Description | MethodRecord, allowance: float, original: Arrays) -> Work:
    """How the trials of a request are computed; what they need is put where jobs find it."""
    plugin, source = request.plugin, request.plugin.source()
    for remark in source.remarks:
        session.progress.note(f"{plugin.name}: {remark}")
    if plugin.text is not None:
        session.shelf.put_source(source.digest, plugin.text)
    return Work(
        plugin=replace(plugin, text=None),  # which machines fetch
        source=source.digest,
        spec=request.spec,
        seed=request.seed,
        stackable=method.stackable,
        uses_clock=method.uses_clock,
        allowance=allowance,
        share=request.budget.as_share,
        original=session.shelf.put_weights(original),
        memory_limit=session.memory_limit,
        closed=session.closed,
    )
