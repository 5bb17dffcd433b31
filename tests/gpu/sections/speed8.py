"""Milliseconds of a training step of ResNet-8: plain, and in stacks of 1 to 512."""

from __future__ import annotations

from findings import Findings
from stepping import VARIANTS, Plan, measure_all

PLAN: Plan = {
    0: ["asis", "fused", "graph"],
    64: list(VARIANTS),
    512: ["asis", "graph", "products+graph", "products+graph+bf16"],
    8: ["asis", "graph", "products+graph"],
    128: ["asis", "graph", "products+graph", "products+graph+bf16"],
    1: ["asis", "graph"],
}
REHEARSAL: Plan = {0: ["asis", "grouped"], 2: ["asis", "grouped", "products", "products+graph+bf16"]}


def measure(findings: Findings) -> None:
    """One finding for each number of models and each way to compute; 0 models: a plain network."""
    measure_all(findings, "resnet8-v1", findings.pick(PLAN, REHEARSAL))
