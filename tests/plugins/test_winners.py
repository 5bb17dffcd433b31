"""Winners of the challenge: numbers that were computed elsewhere, and what each leaves alone."""

from __future__ import annotations

import pytest
from bench_plugins.fanchuan import contrast, unevenness


def test_fanchuan_has_the_numbers_of_its_losses(regression) -> None:
    model, data = regression.model(), regression.data()
    forget, retain = model(data.forget.images), model(data.retain.images)
    assert unevenness(forget).item() == pytest.approx(0.0675939263, abs=1e-10)
    assert contrast(forget, retain, 1.15).item() == pytest.approx(1.4246076568, abs=1e-10)
