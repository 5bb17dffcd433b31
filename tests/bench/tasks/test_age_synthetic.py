"""The embedded task: its bytes, its splits and its key are fixed."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bench.tasks.age_synthetic import DIGEST, FORGET, age_synthetic, task_data
from bench.tasks.task import SPLITS


@pytest.fixture(scope="module")
def embedded():
    return task_data(FORGET)


def test_data_is_what_the_committed_digest_says(embedded) -> None:
    assert embedded.digest() == DIGEST


@pytest.mark.process
@pytest.mark.parametrize("threads", ["1", "2"])
def test_same_bytes_for_any_thread_count(threads: str) -> None:
    code = "from bench.tasks.age_synthetic import FORGET, task_data; print(task_data(FORGET).digest())"
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == DIGEST


def test_key_is_fixed() -> None:
    assert age_synthetic().key == "9e4f085b95dc6f7c38585c89e00d256404659a8b7a75a57c4a0c8f8c20d45477"


def test_key_depends_on_the_forget_set() -> None:
    assert age_synthetic(range(40, 80), task_data(range(40, 80)).digest()).key != age_synthetic().key


def test_split_sizes(embedded) -> None:
    sizes = {name: len(rows) for name, rows in embedded.splits.items()}
    assert sizes == {"retain": 2280, "forget": 120, "validation": 380, "test": 380, "forget_people": 40, "unseen": 600}


def test_splits_share_no_photo_and_forget_shares_no_person_with_the_rest(embedded) -> None:
    rows = np.concatenate([embedded.splits[name] for name in SPLITS])
    assert sorted(rows) == list(range(3800))
    forgotten = set(embedded.identities[embedded.splits["forget"]])
    assert forgotten == set(range(40))
    for name in ("retain", "validation", "test", "unseen"):
        assert forgotten.isdisjoint(embedded.identities[embedded.splits[name]])


def test_validation_and_test_show_different_known_people(embedded) -> None:
    people = {name: set(embedded.identities[embedded.splits[name]]) for name in ("retain", "validation", "test")}
    assert people["validation"].isdisjoint(people["test"])
    assert people["validation"] | people["test"] == people["retain"]


def test_age_can_be_seen(embedded) -> None:
    """Grey hair, wrinkles and skin: a linear look at the pixels beats chance by far, on people it never saw."""
    from sklearn.linear_model import RidgeClassifier

    def pixels(split: str):
        images, labels = embedded.split(split)
        return images.reshape(len(images), -1) / 255, labels

    model = RidgeClassifier(alpha=100.0).fit(*pixels("retain"))
    assert model.score(*pixels("unseen")) > 0.25
