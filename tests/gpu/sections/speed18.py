"""Milliseconds of a training step of ResNet-18: plain, and in stacks of 8 to 128."""

from __future__ import annotations

from findings import Findings
from stepping import Plan, measure_all

PLAN: Plan = {
    0: ["asis", "fused", "graph", "graph+bf16"],
    8: ["asis", "grouped", "graph", "products+graph", "products+graph+tf32", "products+graph+bf16"],
    64: ["graph", "products+graph", "products+graph+tf32", "products+graph+bf16", "asis", "grouped"],
    128: ["products+graph+bf16"],
}
REHEARSAL: Plan = {0: ["asis"]}


def measure(findings: Findings) -> None:
    """One finding for each number of models and each way to compute; 0 models: a plain network."""
    measure_all(findings, "resnet18-challenge-v1", findings.pick(PLAN, REHEARSAL))
