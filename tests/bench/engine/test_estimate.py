"""What a run will take: arithmetic from rates that were measured, each figure with where it comes from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.budget import Budget
from bench.engine.estimate import RATES, Estimate, Planned, estimate, measured_gpu
from bench.errors import BenchError
from bench.models.networks import CHALLENGE, NETWORKS, SMALL

HERE = Planned(
    network="resnet8-v1",
    cost=NETWORKS["resnet8-v1"],
    recipe=SMALL,
    size=32,
    classes=10,
    training=2000,
    pictures=3000,
    answered=1000,
    kind="cpu",
    workers=2,
    stack=8,
    models=64,
    budget=Budget.parse("20%"),
    to_train=65,
    retraining=6.0,
)


def parts(found: Estimate) -> dict[str, tuple[float, str]]:
    return {part.name: (part.seconds, part.source) for part in found.parts}


def test_what_was_measured_here_counts() -> None:
    """Two workers, and stacks of eight that are 9,200/6,800 as fast as one model."""
    found = parts(estimate(HERE))
    faster = 2 * 9200 / 6800
    assert found["65 models to compare with"] == (pytest.approx(65 * 6.0 / faster), "measured here")
    assert found["64 trials, at most"] == (pytest.approx(64 * 1.2 / faster), "measured here")
    assert found["3 timed trials, at most"] == (pytest.approx(3 * (1.2 + 1.0 + 2.0)), "measured here")
    assert estimate(HERE).seconds == pytest.approx(sum(seconds for seconds, _ in found.values()))


def test_what_was_not_is_taken_from_elsewhere_or_from_paper() -> None:
    unknown = replace(HERE, retraining=None)
    seconds = 12 * 2000 / 6800
    for planned, times, source in (
        (unknown, 1, "measured elsewhere"),
        (replace(unknown, size=64), 4, "on paper"),
        (replace(unknown, kind="cpu, bf16"), 1, "on paper"),
    ):
        found = parts(estimate(planned))["65 models to compare with"]
        assert found == (pytest.approx(65 * times * seconds * 6800 / 9200 / 2), source)


def test_workers_that_share_a_gpu_are_not_faster() -> None:
    one, eight = (estimate(replace(HERE, kind="NVIDIA H200", workers=workers)) for workers in (1, 8))
    assert one.parts == eight.parts


def test_what_is_there_is_not_trained() -> None:
    found = parts(estimate(replace(HERE, to_train=0)))
    assert not any("to compare with" in name for name in found)


def test_a_budget_in_seconds() -> None:
    found = parts(estimate(replace(HERE, budget=Budget.parse("3s"))))
    assert found["64 trials, at most"][0] == pytest.approx(64 * 3.0 * 6800 / 9200 / 2)


def test_the_challenges_setting_on_a_gpu() -> None:
    """512 models, 17,000 pictures, 30 epochs: the projection of docs/evidence/gpu.md for the step as it was is 86 minutes."""
    challenge = replace(
        HERE, network="resnet18-challenge-v1", cost=NETWORKS["resnet18-challenge-v1"], recipe=CHALLENGE, training=17_000,
        kind="NVIDIA H200", workers=1, stack=64, models=512, to_train=512, retraining=None,
    )  # fmt: skip
    found = estimate(challenge)
    assert parts(found)["512 models to compare with"] == (pytest.approx(512 * 30 * 17_000 / 50_500), "on paper")
    assert 85 < parts(found)["512 models to compare with"][0] / 60 < 87
    assert 10e9 < found.device_bytes < measured_gpu("NVIDIA H200")[1]
    plain = replace(challenge, network="resnet18-v1")
    assert estimate(plain).parts[1].source == "on paper"  # its convolutions were in TF32
    assert estimate(replace(plain, kind="NVIDIA H200, tf32")).parts[1].source == "measured elsewhere"


def test_memory_and_disk() -> None:
    found = estimate(HERE)
    models = 8 * NETWORKS["resnet8-v1"].training_bytes(32, 64)
    assert (found.device_bytes, found.host_bytes) == (0.0, pytest.approx(0.4e9 + models + 3000 * 3 * 32 * 32))
    assert found.disk_bytes == 4 * 1000 * 10 * (64 + 65)
    gpu = estimate(replace(HERE, kind="NVIDIA H200"))
    assert gpu.device_bytes == models + 3000 * 3 * 32 * 32


@pytest.mark.parametrize(("network", "kind"), [("resnet8-v1", "NVIDIA H100"), ("my_net", "cpu")])
def test_what_nobody_has_measured_is_told(network: str, kind: str) -> None:
    with pytest.raises(BenchError, match=f"nobody has measured {network} on {kind}: known are .* --measure trains an epoch"):
        estimate(replace(HERE, network=network, cost=NETWORKS.get(network), kind=kind, retraining=None))


def test_where_it_was_measured_here_no_rate_is_needed() -> None:
    own = estimate(replace(HERE, network="my_net", cost=None, stack=1))
    assert parts(own)["64 trials, at most"] == (pytest.approx(64 * 1.2 / 2), "measured here")


def test_no_rate_is_told_twice() -> None:
    assert len({(rate.device, rate.network) for rate in RATES}) == len(RATES)


def test_a_gpu_may_be_called_by_part_of_its_name() -> None:
    assert measured_gpu("h200") == measured_gpu("NVIDIA H200") == ("NVIDIA H200", 139 * 2**30)
    for unknown in ("Some GPU", " ", "cpu"):
        with pytest.raises(BenchError, match=r"there is no device .*, or one that was measured elsewhere: NVIDIA H200"):
            measured_gpu(unknown)


def test_no_more_stacks_than_there_are_are_trained_at_once() -> None:
    assert estimate(replace(HERE, workers=1000)).parts == estimate(replace(HERE, workers=8)).parts
