"""What is wrong with data, or should be known of them: twins across splits, people on both sides, thin groups, shift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.outputs import Integers
from bench.tasks.task import UNKNOWN, TaskData

NO_TWIN = -1
HASH_BITS = 10  # of 64 in which the hashes of two near-duplicates may differ
LIKENESS = 0.95  # least correlation of the brightness of two near-duplicates; docs/reference/datasets.md has the calibration
FEW_TRAINED, FEW_TESTED = 20, 5  # photos of an age group that are too few to say much
FEW_FORGOTTEN = 10  # photos to forget that are too few to say much
CROWD = 10  # times as many photos of a person as of others
SIGNIFICANT = 0.01
_SIDE, _LOW = 32, 8  # the hash is taken from the 8x8 lowest frequencies of 32x32 pixels
_ROWS, _PAIRS = 256, 2**22  # photos, and pairs of hashes, that are looked at at once
_CANDIDATES = 64  # of a photo's likes, how many it is compared with in full
_TRAINING = ("retain", "forget")
_HELD_OUT = ("validation", "test", "unseen")

Numbers = NDArray[np.int32]


def examine(data: TaskData, groups: Sequence[str]) -> list[str]:
    """What readers of results should know of a task's data, one line each."""
    return [*_twins(data), *_people(data), *_crowds(data), *_few_forgotten(data), *_thin_groups(data, groups), *_shift(data)]


def _twins(data: TaskData) -> list[str]:
    if data.twins is None:
        return []
    found = {name: data.twins[rows][data.twins[rows] != NO_TWIN] for name, rows in data.splits.items()}
    pairs = [("forget", "retain"), *((held_out, trained) for held_out in _HELD_OUT for trained in _TRAINING)]
    told = []
    for one, other in pairs:
        count = int(np.isin(found[one], found[other]).sum())
        if count:
            told.append(f"{count} of {len(data.splits[one])} {one} photos are duplicates or near-duplicates of {other} photos")
    return told


def _people(data: TaskData) -> list[str]:
    people = {name: np.setdiff1d(data.identities[rows], [UNKNOWN]) for name, rows in data.splits.items()}
    if not len(people["retain"]) and not len(people["forget"]):
        return ["nobody knows who is on the photos: the forget set is not made of people"]
    told = []
    both = len(np.intersect1d(people["forget"], people["retain"]))
    if both:
        told.append(f"{both} of {len(people['forget'])} people are both to be forgotten and retained")
    trained = np.union1d(people["retain"], people["forget"])
    known = len(np.intersect1d(people["test"], trained))
    told.append(f"{known} of {len(people['test'])} people on test photos are on training photos, too")
    gone = np.setdiff1d(people["forget"], people["retain"])
    for name in ("validation", "test"):
        shown = int(np.isin(data.identities[data.splits[name]], gone).sum())
        if shown:
            told.append(f"{shown} of {len(data.splits[name])} {name} photos show people who are to be forgotten")
    leaked = len(np.intersect1d(people["unseen"], trained))
    if leaked:
        told.append(f"{leaked} of {len(people['unseen'])} people who should be unseen are on training photos")
    return told


def _crowds(data: TaskData) -> list[str]:
    """Photos of nobody among others, and a person who may be a word that stands for nobody."""
    known = data.identities[data.identities != UNKNOWN]
    if not len(known):
        return []
    told = []
    if len(known) < len(data.identities):
        told.append(f"nobody knows who is on {len(data.identities) - len(known)} of {len(data.identities)} photos")
    counts = np.unique_counts(known).counts
    if counts.max() > CROWD * np.median(counts):
        told.append(f"one person is on {counts.max()} photos, others on {np.median(counts):.0f}: is that the same person?")
    return told


def _few_forgotten(data: TaskData) -> list[str]:
    count = len(data.splits["forget"])
    return [f"the forget set has few photos ({count}): numbers on them say little"] if count < FEW_FORGOTTEN else []


def _thin_groups(data: TaskData, groups: Sequence[str]) -> list[str]:
    trained, tested = (
        np.bincount(np.concatenate([data.labels[data.splits[name]] for name in names]), minlength=len(groups))
        for names in (_TRAINING, ("test",))
    )
    thin = [
        f"{group} ({many} training, {few} test)"
        for group, many, few in zip(groups, trained, tested, strict=True)
        if many < FEW_TRAINED or few < FEW_TESTED
    ]
    return [f"few photos of {', '.join(thin)}"] if thin else []


def _shift(data: TaskData) -> list[str]:
    from scipy.stats import chi2_contingency

    table = np.stack(
        [np.bincount(data.labels[data.splits[name]], minlength=data.labels.max() + 1) for name in ("forget", "test")]
    )
    table = table[:, table.any(0)]
    if not table.any(1).all() or table.shape[1] < 2:
        return []
    if chi2_contingency(table).pvalue >= SIGNIFICANT:
        return []
    distance = np.abs(np.diff(table / table.sum(1, keepdims=True), axis=0)).sum() / 2
    return [f"labels of forget and test photos differ (total variation {distance:.2f}): attacks on losses see that, too"]


def find_twins(images: NDArray[np.uint8]) -> Integers:
    """Which photos show the same: numbers that duplicates and near-duplicates share, NO_TWIN for the others, [n].

    Near-duplicates have perceptual hashes (Zauner 2010: signs of the lowest cosine frequencies) that differ in few bits, and
    brightness that correlates closely: re-encoded, resized or brightened copies do, two photos of one person do not.

    Args:
        images: [n, 3, size, size] with a size that 32 divides; may lie on disk.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(images)
    if not count:
        return np.zeros(0, np.int64)
    hashes = np.concatenate([_hashes(_brightness(images[first : first + _ROWS])) for first in range(0, count, _ROWS)])
    rows = max(1, _PAIRS // count)
    pairs = [_alike(range(first, min(first + rows, count)), images, hashes) for first in range(0, count, rows)]
    later, earlier = (np.concatenate(side) for side in zip(*pairs, strict=True))
    graph = coo_array((np.ones(len(later), np.int8), (later, earlier)), shape=(count, count))
    labels = connected_components(graph, directed=False)[1].astype(np.int64)
    return np.where(np.bincount(labels)[labels] == 1, NO_TWIN, labels)


def _brightness(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness of photos [n, 3, size, size] at 32x32 pixels."""
    grey = np.asarray(images).mean(axis=1, dtype=np.float32)
    factor = grey.shape[-1] // _SIDE
    small: NDArray[np.float32] = grey.reshape(-1, _SIDE, factor, _SIDE, factor).mean(axis=(2, 4))
    return small


def _hashes(brightness: NDArray[np.float32]) -> NDArray[np.uint64]:
    """64 bits of every photo."""
    from scipy.fft import dctn

    low = dctn(brightness, axes=(1, 2))[:, :_LOW, :_LOW].reshape(-1, _LOW**2)
    found: NDArray[np.uint64] = np.packbits(low > np.median(low[:, 1:], axis=1, keepdims=True), axis=1).view(np.uint64)[:, 0]
    return found


def _patterns(brightness: NDArray[np.float32]) -> NDArray[np.float32]:
    """Brightness with mean 0 and length 1, [n, 1024]; 0 for a photo of one shade."""
    centred = (brightness - brightness.mean(axis=(1, 2), keepdims=True)).reshape(len(brightness), _SIDE**2)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    found: NDArray[np.float32] = np.divide(centred, length, out=np.zeros_like(centred), where=length > 1)
    return found


def _alike(chosen: range, images: NDArray[np.uint8], hashes: NDArray[np.uint64]) -> tuple[Numbers, Numbers]:
    """Pairs (later, earlier) of near-duplicates whose later photo is one of the chosen."""
    rows = np.asarray(chosen)
    close = np.bitwise_count(hashes[rows, None] ^ hashes[: rows[-1] + 1]) <= HASH_BITS
    close &= np.arange(rows[-1] + 1) < rows[:, None]
    if close.sum() > _CANDIDATES * len(rows):  # thousands of alike photos, black ones say
        close &= np.cumsum(close, axis=1) <= _CANDIDATES
    later, earlier = np.nonzero(close)
    later = rows[later]
    shown, place = np.unique(np.concatenate([later, earlier]), return_inverse=True)
    patterns = _patterns(_brightness(images[shown]))
    one, other = (patterns[side] for side in np.split(place, 2))
    same = (np.einsum("np,np->n", one, other) >= LIKENESS) | ~(one.any(1) | other.any(1))
    return later[same].astype(np.int32), earlier[same].astype(np.int32)
