"""Whether loss and gradients are right: relative error against float64 on the CPU, and whether they repeat bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import torch
from findings import Findings
from stepping import by_products
from torch import Tensor, nn

from bench.losses import cross_entropy
from bench.models.build import initialised
from bench.models.stacked import stack

NETWORKS = {"resnet8-v1": 4, "resnet18-challenge-v1": 2}  # network: models of a stack
CLASSES = 8


@dataclass(frozen=True)
class Case:
    """Some networks and a batch; 0 models: a plain network."""

    network: str
    models: int
    batch: int

    def gradients(
        self,
        device: str,
        kind: torch.dtype = torch.float32,
        change: Callable[[nn.Module], nn.Module] = lambda net: net,
    ) -> Tensor:
        """Losses and the gradients of all parameters, side by side, as float64 on the CPU."""
        nets = [initialised(self.network, CLASSES, seed) for seed in range(max(self.models, 1))]
        net = change((stack(nets) if self.models else nets[0]).to(device, kind))
        draws, lead = torch.Generator().manual_seed(5), (self.models,) if self.models else ()
        images = torch.rand(*lead, self.batch, 3, 32, 32, generator=draws).to(device, kind)
        labels = torch.randint(CLASSES, (*lead, self.batch), generator=draws).to(device)
        value = cross_entropy(net(images), labels)
        value.sum().backward()
        return torch.cat([value.detach().flatten(), *(p.grad.flatten() for p in net.parameters())]).double().cpu()

    @cache  # noqa: B019
    def truth(self) -> Tensor:
        """The same in float64 on the CPU."""
        return self.gradients("cpu", torch.float64)

    def error(self, found: Tensor) -> str:
        """Norm of the difference over that of the truth."""
        return f"{float((found - self.truth()).norm() / self.truth().norm()):.1e}"


def measure(findings: Findings) -> None:
    """Relative errors of what the engine computes and of batched products; repeats of the former."""
    for network, models in list(NETWORKS.items())[: findings.pick(2, 1)]:
        batch = findings.pick(64, 8)
        plain, stacked = Case(network, 0, batch), Case(network, models, batch)
        findings.attempt(f"{network} fp32", _engine, findings, (plain, stacked))
        findings.attempt(f"{network} products", _products, findings, stacked)
        findings.attempt(f"{network} repeats", _repeats, findings, stacked)


def _engine(findings: Findings, cases: tuple[Case, ...]) -> None:
    for tf32 in (True, False):
        torch.backends.cudnn.allow_tf32 = tf32
        for case in cases:
            said = "on (default)" if tf32 else "off"
            error = case.error(case.gradients(findings.device))
            findings.put(f"{case.network} M={case.models} fp32, cudnn tf32 {said}", relative_error=error)


def _products(findings: Findings, case: Case) -> None:
    name, change = f"{case.network} M={case.models} products", partial(by_products, models=case.models)
    single = case.gradients(findings.device, change=change)
    findings.put(name, relative_error=case.error(single))
    double = case.gradients(findings.device, torch.float64, change)
    findings.put(f"{name} in float64", relative_error=case.error(double))


def _repeats(findings: Findings, case: Case) -> None:
    for deterministic in (False, True):
        if findings.cuda:
            torch.use_deterministic_algorithms(deterministic, warn_only=True)
        first, *others = [case.gradients(findings.device) for _ in range(3)]
        equal = all(torch.equal(first, other) for other in others)
        findings.put(f"{case.network} M={case.models} repeats, deterministic {deterministic}", bit_equal=equal)
    torch.use_deterministic_algorithms(False)
