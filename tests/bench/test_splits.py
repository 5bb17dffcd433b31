"""Splits: batches, shuffles and columns, for a plain network and for a stack."""

import math
from dataclasses import replace

import pytest
import torch

from bench.models.build import initialised
from bench.models.stacked import stack
from bench.splits import bind, error, predict

ROWS = 10
COLUMNS = (torch.rand(ROWS, 3, 32, 32), torch.arange(ROWS))


def _labels(split, batch_size: int = 4):
    return torch.cat([labels for _, labels in split.batches(batch_size)], -1)


def test_a_pass_visits_every_row_once_in_an_order_of_the_seed() -> None:
    first, again, other = (_labels(bind(COLUMNS, [seed], "retain", stacked=False)) for seed in (1, 1, 2))
    assert sorted(first.tolist()) == list(range(ROWS))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_purposes_of_one_seed_shuffle_differently() -> None:
    retain, forget = (_labels(bind(COLUMNS, [1], purpose, stacked=False)) for purpose in ("retain", "forget"))
    assert not torch.equal(retain, forget)


def test_models_of_a_stack_shuffle_as_they_would_alone() -> None:
    stacked = bind(COLUMNS, [1, 2, 3], "retain", stacked=True)
    for _ in range(2):
        together = _labels(stacked)
        assert together.shape == (3, ROWS)
    alone = bind(COLUMNS, [2], "retain", stacked=False)
    _labels(alone)
    assert torch.equal(_labels(alone), together[1])


def test_images_follow_labels() -> None:
    for images, labels in bind(COLUMNS, [1, 2], "retain", stacked=True).batches(4):
        assert torch.equal(images, COLUMNS[0][labels])


def test_carried_columns_follow_the_shuffle() -> None:
    own = torch.stack([torch.arange(ROWS) * 10, torch.arange(ROWS) * 100])
    split = bind(COLUMNS, [1, 2], "retain", stacked=True).carrying(own, torch.arange(ROWS) * 7)
    for _, labels, per_model, shared in split.batches(3):
        assert torch.equal(per_model, labels * torch.tensor([[10], [100]]))
        assert torch.equal(shared, labels * 7)


def test_relabelled_split_keeps_images() -> None:
    split = bind(COLUMNS, [1], "forget", stacked=False).labelled(torch.arange(ROWS) + 100)
    for images, labels in split.batches(4):
        assert torch.equal(images, COLUMNS[0][labels - 100])


@pytest.mark.parametrize("of", ["whole", "sample", "bytes"])
def test_each_model_may_be_shown_images_of_its_own(of: str) -> None:
    images, labels = COLUMNS
    split = bind(((255 * images).byte() if of == "bytes" else images, labels), [1, 2], "forget", stacked=True)
    split = split.sample(6) if of == "sample" else split
    own = torch.rand(2, len(split), 3, 32, 32)
    shown = split.carrying(torch.arange(len(split)).expand(2, -1)).showing(own)
    assert torch.equal(shown.images, own)
    for seen, _, places in shown.batches(4):
        assert torch.equal(seen, torch.stack([own[m, places[m]] for m in range(2)]))
    joined = split.joined(split.labelled(split.labels + 100).showing(own))
    seen, told = next(joined.batches(100, shuffle=False))
    assert torch.equal(seen[:, len(split) :], own)
    torch.testing.assert_close(seen[:, : len(split)], split.images.expand_as(own))
    assert torch.equal(told.expand(2, -1), joined.labels.expand(2, -1))


def test_all_models_may_be_shown_the_same_images() -> None:
    for seeds, stacked in (([1], False), ([1, 2], True)):
        split = bind(COLUMNS, seeds, "forget", stacked=stacked)
        shown = split.showing(COLUMNS[0].flip(-1))
        for images, labels in shown.batches(4):
            assert torch.equal(images, COLUMNS[0].flip(-1)[labels])
        sample = split.sample(6)
        assert torch.equal(sample.showing(sample.images.flip(-1)).images, sample.images.flip(-1))


def test_as_many_models_as_images_as_channels() -> None:
    """All three: nothing but the number of dimensions tells images of all from those of each."""
    split = bind((COLUMNS[0][:3], COLUMNS[1][:3]), [1, 2, 3], "forget", stacked=True)
    assert torch.equal(split.showing(split.images.flip(-1)).images, split.images.flip(-1))


def test_images_of_its_own_have_no_identities() -> None:
    split = replace(bind(COLUMNS, [1, 2], "forget", stacked=True), identities=torch.arange(ROWS))
    shown = split.showing(torch.rand(2, ROWS, 3, 32, 32))
    assert shown.where(torch.arange(ROWS) < 4).identities is None


@pytest.mark.parametrize("stacked", [False, True])
def test_examples_at_positions(stacked: bool) -> None:
    positions = torch.tensor([[7, 2, 5], [0, 2, 9]])[: 1 + stacked]
    split = bind(COLUMNS, [1, 2] if stacked else [1], "forget", stacked=stacked)
    taken = split.at(positions if stacked else positions[0])
    assert torch.equal(taken.labels, positions if stacked else positions[0])
    assert torch.equal(taken.images, COLUMNS[0][taken.labels])
    again = taken.at(torch.tensor([[2, 0], [1, 1]]) if stacked else torch.tensor([2, 0]))
    assert again.labels.tolist() == ([[5, 7], [2, 2]] if stacked else [5, 7])
    assert torch.equal(again.images, COLUMNS[0][again.labels])


def test_models_of_a_stack_may_have_the_same_positions() -> None:
    taken = bind(COLUMNS, [1, 2], "forget", stacked=True).at(torch.tensor([7, 2, 5]))
    assert taken.labels.tolist() == [[7, 2, 5]] * 2
    assert sorted(_labels(taken)[1].tolist()) == [2, 5, 7]


def test_epochs_may_be_fractions() -> None:
    split = bind(COLUMNS, [1], "retain", stacked=False)
    assert [len(labels) for _, labels in split.epochs(1.5, 4)] == [4, 4, 2, 4]
    assert list(split.epochs(0.0, 4)) == []


def test_a_little_of_an_epoch_is_a_batch() -> None:
    """Else a method would do nothing at a small budget, and not say so."""
    split = bind(COLUMNS, [1], "retain", stacked=False)
    assert [len(labels) for _, labels in split.epochs(1e-9, 4)] == [4]
    assert [len(labels) for _, labels in split.epochs(0.01, 64)] == [ROWS]


@pytest.mark.parametrize(
    ("rows", "batch_size", "sizes"), [(9, 4, [4, 4]), (10, 4, [4, 4, 2]), (5, 1, [1] * 5), (1, 4, [1]), (0, 4, [])]
)
def test_a_shuffled_pass_has_no_last_batch_of_one(rows: int, batch_size: int, sizes: list[int]) -> None:
    split = bind((COLUMNS[0][:rows], COLUMNS[1][:rows]), [1], "retain", stacked=False)
    assert [len(labels) for _, labels in split.batches(batch_size)] == sizes
    assert split.steps(batch_size) == len(sizes)
    assert [len(labels) for _, labels in split.epochs(2.0, batch_size)] == sizes * 2
    for all_rows in (split.batches(batch_size, shuffle=False), split.batches(batch_size, singles=True)):
        assert sum(len(labels) for _, labels in all_rows) == rows


def test_what_a_shuffled_pass_leaves_out_changes() -> None:
    split = bind((COLUMNS[0][:9], COLUMNS[1][:9]), [1], "retain", stacked=False)
    assert len({frozenset(_labels(split).tolist()) for _ in range(20)}) > 1


def test_epochs_may_be_without_end() -> None:
    batches = bind(COLUMNS, [1], "retain", stacked=False).epochs(math.inf, 4)
    assert [len(next(batches)[1]) for _ in range(7)] == [4, 4, 2, 4, 4, 2, 4]


def test_sample_is_a_random_subset_without_repeats() -> None:
    sample = bind(COLUMNS, [1, 2], "retain", stacked=True).sample(6)
    assert len(sample) == 6
    first, second = _labels(sample), _labels(sample)
    assert all(len(set(row.tolist())) == 6 for row in first)
    assert torch.equal(first.sort(-1).values, second.sort(-1).values)
    assert not torch.equal(first, second)
    assert set(first[0].tolist()) != set(first[1].tolist())


def test_a_sample_can_be_used_like_any_split() -> None:
    """Columns of a sample are as long as the sample, and follow its images."""
    for stacked in (False, True):
        seeds = [1, 2] if stacked else [1]
        sample = bind(COLUMNS, seeds, "retain", stacked=stacked).sample(6)
        assert torch.equal(sample.images, COLUMNS[0][sample.labels])
        relabelled = sample.labelled(sample.labels * 10).carrying(sample.labels * 100)
        for images, labels, carried in relabelled.batches(4):
            assert torch.equal(images, COLUMNS[0][labels // 10])
            assert torch.equal(carried, labels * 10)
        for images, labels in sample.batches(4, shuffle=False):
            assert torch.equal(images, COLUMNS[0][labels])
        first = sample.where(torch.arange(6) < 3)
        assert torch.equal(first.labels, sample.labels[..., :3])
        assert torch.equal(torch.cat([labels for _, labels in first.batches(2, shuffle=False)], -1), first.labels)
        assert len(sample.sample(2)) == 2


def test_predictions_can_be_carried_by_a_sample() -> None:
    nets = [initialised("resnet8-v1", ROWS, seed) for seed in range(2)]
    model, sample = stack(nets), bind(COLUMNS, [1, 2], "retain", stacked=True).sample(6)
    logits = predict(model, sample)
    for m, net in enumerate(nets):
        torch.testing.assert_close(logits[m], net.eval()(COLUMNS[0][sample.labels[m]]), rtol=1e-4, atol=1e-5)
    assert [batch[2].shape for batch in sample.carrying(logits).batches(4)] == [(2, 4, ROWS), (2, 2, ROWS)]
    assert sample.carrying(logits).where(torch.arange(6) > 3).columns[2].shape == (2, 2, ROWS)
    assert error(model, sample).shape == (2,)


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize(("mine", "theirs"), [(ROWS, ROWS), (6, ROWS), (ROWS, 5), (6, 5)])
def test_joined_splits_are_shuffled_together(stacked: bool, mine: int, theirs: int) -> None:
    """Whole ones and samples; columns of one row for all models, and of one for each."""
    seeds, other_columns = [1, 2] if stacked else [1], (COLUMNS[0].flip(-1), COLUMNS[1] + 100)
    first, second = (bind(columns, seeds, "retain", stacked=stacked) for columns in (COLUMNS, other_columns))
    first = first if mine == ROWS else first.sample(mine)
    second = second if theirs == ROWS else second.sample(theirs)
    joined = first.joined(second.labelled(second.labels))
    assert len(joined) == mine + theirs
    seen = []
    for images, labels in joined.batches(4):
        pictures = torch.where((labels < 100)[..., None, None, None], COLUMNS[0][labels % 100], other_columns[0][labels % 100])
        assert torch.equal(images, pictures)
        seen.append(labels)
    for split in (first, second):
        expected = split.labels.expand(*split.lead, -1).sort(-1).values
        found = torch.cat(seen, -1).sort(-1).values
        assert torch.equal(found[..., :mine] if split is first else found[..., mine:], expected)


def test_loader_of_a_sample_holds_the_sample() -> None:
    sample = bind(COLUMNS, [1], "retain", stacked=False).sample(6)
    assert sorted(int(label) for _, labels in sample.loader(4) for label in labels) == sorted(sample.labels.tolist())


def test_mask_per_model_is_refused() -> None:
    split = bind(COLUMNS, [1, 2], "retain", stacked=True)
    with pytest.raises(ValueError, match="one for all models"):
        split.where(torch.ones(2, ROWS, dtype=torch.bool))


def test_where_keeps_matching_rows() -> None:
    split = bind(COLUMNS, [1], "validation", stacked=False)
    assert sorted(_labels(split.where(split.labels % 2 == 0), 5).tolist()) == [0, 2, 4, 6, 8]


def test_loader_is_a_data_loader() -> None:
    loader = bind(COLUMNS, [1], "retain", stacked=False).loader(4)
    assert isinstance(loader, torch.utils.data.DataLoader)
    assert sorted(int(label) for _, labels in loader for label in labels) == list(range(ROWS))


def test_predict_keeps_order_and_mode() -> None:
    nets = [initialised("resnet8-v1", ROWS, seed) for seed in range(2)]
    stacked, split = stack(nets), bind(COLUMNS, [1, 2], "retain", stacked=True)
    logits = predict(stacked, split, batch_size=3)
    assert stacked.training
    for m, net in enumerate(nets):
        torch.testing.assert_close(logits[m], net.eval()(COLUMNS[0]), rtol=1e-4, atol=1e-5)
    expected = [(net.eval()(COLUMNS[0]).argmax(1) != COLUMNS[1]).double().mean() for net in nets]
    torch.testing.assert_close(error(stacked, split), torch.stack(expected))
