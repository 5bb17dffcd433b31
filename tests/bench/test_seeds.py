"""Streams of a root seed never meet."""

from bench.seeds import generator, purpose_seed, seed_of


def test_streams_and_indices_do_not_meet() -> None:
    streams = ("reference", "trial", "data", "init", "metric")
    seeds = {seed_of(root, stream, index) for root in range(3) for stream in streams for index in range(200)}
    assert len(seeds) == 3 * len(streams) * 200


def test_purposes_use_all_bits_of_the_seed() -> None:
    assert purpose_seed(1, "retain") != purpose_seed(1 + 2**32, "retain")
    assert generator(1, "a").initial_seed() != generator(1, "b").initial_seed()
