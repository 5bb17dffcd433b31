"""What strangers may write of a method: an address is one that a link can lead to, and older records say nothing of papers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bench.store.method_records import MethodRecord

OLD = {"name": "m", "spec": "m", "hyper_parameters": {}, "source_hash": "0" * 64, "control": False, "reference_models": []}


def read(**paper: Any) -> MethodRecord:
    return msgspec.convert({**OLD, **({"paper": paper} if paper else {})}, MethodRecord)


def test_older_records_say_nothing_of_papers() -> None:
    assert read().paper is None
    assert (read().deterministic, read().reconstruction) == (False, "")


ODD = [("deterministic", "yes"), ("deterministic", 1), ("reconstruction", "x" * 1001), ("reconstruction", "a\nb")]


@pytest.mark.parametrize(("field", "value"), ODD)
def test_what_a_method_says_of_itself_is_bounded(field: str, value: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=field):
        msgspec.convert({**OLD, field: value}, MethodRecord)


@pytest.mark.parametrize("url", ["", "https://arxiv.org/abs/2302.09880", "http://example.org/a?b=c&d=%20#e"])
def test_addresses_of_the_web(url: str) -> None:
    assert read(title="A", url=url).paper.url == url


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//a.org", 'https://a.org/"', "https://a b", "x" * 2000]
)
def test_no_other_addresses(url: str) -> None:
    for field in ("url", "code"):
        with pytest.raises(msgspec.ValidationError):
            read(**{field: url})
