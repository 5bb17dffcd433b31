"""The chunk plan depends on what is run, not on where."""

from hypothesis import given
from hypothesis import strategies as st

from bench.engine.plan import chunks, stack_size
from bench.store.reference_records import whole_chunks


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 9))
def test_every_trial_is_in_one_chunk_with_its_variant(variants: list[int], size: int) -> None:
    plan = chunks(variants, size)
    assert sorted(index for chunk in plan for index in chunk) == list(range(len(variants)))
    assert all(len(chunk) <= size and len({variants[index] for index in chunk}) == 1 for chunk in plan)


def test_stacks() -> None:
    assert chunks([0] * 16, stack_size("cpu")) == [tuple(range(8)), tuple(range(8, 16))]
    assert stack_size("NVIDIA H100 80GB HBM3") == 64


@given(st.sets(st.integers(0, 100), min_size=1), st.integers(1, 9))
def test_reference_chunks_are_whole_and_needed(indices: set[int], size: int) -> None:
    plan = whole_chunks(sorted(indices), size)
    assert all(chunk == tuple(range(chunk[0], chunk[0] + size)) and chunk[0] % size == 0 for chunk in plan)
    assert all(any(index in chunk for chunk in plan) for index in indices)
    assert all(indices & set(chunk) for chunk in plan)
