"""Libraries of linear algebra are kept to one thread, and get their threads back."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from bench.metrics.threads import one_thread


def test_one_thread() -> None:
    def threads() -> set[int]:
        np.ones((2, 2)) @ np.ones((2, 2))
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    with one_thread():
        pass  # all libraries are there
    with threadpool_limits(limits=2):
        before = threads()
        with one_thread():
            assert threads() == {1}
        assert threads() == before
    assert before == {2}
