"""Metrics compute on one thread: linear algebra on arrays of this size burns more CPU time on several, for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def one_thread() -> AbstractContextManager[object]:
    """Keeps the linear algebra of numpy and scipy to one thread for as long as the block lasts."""
    import scipy.linalg  # noqa: F401 - its library must be there to be limited
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(limits=1)
    return limits
