"""What a method says of itself: a paper's entry in a bibliography is one, whatever its fields hold."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.method import Paper, for_bibtex
from bench.store.method_records import PaperRecord

ODD = st.text(st.one_of(st.sampled_from('\\\\{}&%$#_~^"@,\n '), st.characters()))


def _depths(text: str) -> list[int]:
    """Of braces after each character, as BibTeX counts them: also those after a backslash."""
    depths, depth = [], 0
    for character in text:
        depth += (character == "{") - (character == "}")
        depths.append(depth)
    return depths


@given(ODD)
def test_a_field_is_balanced_and_no_command(text: str) -> None:
    escaped = for_bibtex(text)
    assert min(_depths(escaped), default=0) >= 0
    assert _depths(escaped)[-1:] in ([], [0])
    assert "\n" not in escaped
    commands = r"\\(?:[&%$#_]|text(?:backslash|braceleft|braceright|asciitilde|asciicircum)\{\})"
    assert not re.search(r"[\\{}&%$#_~^]", re.sub(commands, "", escaped))


@given(ODD, ODD, ODD, st.integers(-9999, 9999), ODD)
def test_an_entry_ends_with_its_last_brace(title: str, authors: str, venue: str, year: int, url: str) -> None:
    entry = Paper(title, authors, venue, year, url).bibtex
    assert re.match(r"@misc\{[a-z0-9-]+,\n", entry)
    assert [at for at, depth in enumerate(_depths(entry)) if at > len("@misc") and not depth] == [len(entry) - 1]
    assert len(entry.splitlines()) <= 7


def test_an_address_stands_as_it_is() -> None:
    assert "url = {https://a.org/~x_y?a=1&b=%20#c}," in Paper("T", "A", "", 2025, "https://a.org/~x_y?a=1&b=%20#c").bibtex
    assert "url = {https://a.org/%7Bx%7D%5C}," in Paper("T", "A", "", 2025, "https://a.org/{x}\\").bibtex


@pytest.mark.parametrize(
    ("title", "authors", "year", "key"),
    [
        ("L'été", "Müller, Jörg", 2025, "muller2025l"),
        ("\N{GREEK SMALL LETTER ALPHA}-divergence", "Doe, Jane", 0, "doedivergence"),
        ("", "", 0, "unnamed"),
    ],
)
def test_keys_are_plain_letters_and_digits(title: str, authors: str, year: int, key: str) -> None:
    assert Paper(title, authors, "", year, "").bibtex.startswith(f"@misc{{{key},\n")


def test_an_entry_of_what_is_no_text() -> None:
    entry = Paper(("A", "B"), None, 3, "2025", None).bibtex
    assert "author = {None}," in entry
    assert "title = {('A', 'B')}," in entry


def test_a_record_gives_the_same_entry() -> None:
    said = {"title": "{A}", "authors": "Doe, Jane", "venue": "", "year": 2025, "url": "https://a.org/_"}
    assert PaperRecord(**said).bibtex == Paper(**said).bibtex
    assert PaperRecord().bibtex == "@misc{unnamed,\n}"
