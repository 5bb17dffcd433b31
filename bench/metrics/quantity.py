"""What a number is, and how it is shown: what a metric declares of each, and what is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

Better = Literal["higher", "lower", "as retrained"]
Family = Literal["forgetting", "attack", "utility", "runtime", "other"]
Table = Literal["", "results", "evidence"]  # what a method achieves; what attackers see of it

P_VALUE = "p-value"  # the unit of what tells models from retrained ones when it is small
LONGEST_NAME, LONGEST_TITLE, LONGEST_UNIT = 60, 20, 40  # characters
MOST_DECIMALS = 9
# What tables of runs have beside the numbers of metrics; a quantity of that name would take its place.
RESERVED_NAMES = frozenset(
    {"division", "rank", "rank_best", "rank_worst", "method", "run", "task", "models", "budget", "seed", "device", "control"}
    | {"package", "provenance", "badges", "failure", "ceiling_share", "utility_kept", "final_score_margin"}
    | {"memory_left_margin", "ceiling_share_margin", "unranked", "challenge_rank", "challenge_rank_best", "challenge_rank_worst"}
)


@dataclass(frozen=True)
class Quantity:
    """One number that a metric answers, and how it is shown.

    `group_accuracy` also stands for `group_accuracy.0`, `group_accuracy.1` and so on. A number in seconds is written as
    1.23 s, in bytes as 45 MB, and in a unit that begins with `of` as percent: 8 % of budget.
    """

    name: str
    unit: str
    better: Better
    lowest: float
    highest: float
    meaning: str
    attack: bool = False  # has to prove its power: to see members of the training set under the original model
    family: Family = "other"  # the part of a run's page that it belongs to
    table: Table = ""  # it is a column of this table, on the terminal and on the board; "": of none
    title: str = ""  # of the column; "": the name in words
    decimals: int = 3
    folded: bool = False  # on the board a column for those who choose it; on the terminal only if it is evidence

    @property
    def head(self) -> str:
        """The head of its column."""
        return self.title or self.name.replace("_", " ")


def check_quantity(quantity: Quantity) -> None:
    """Refuse a quantity that tables cannot show.

    Raises:
        TypeError, ValueError: something that it says of itself is not what it should be; the message says what.
    """
    for text in ("name", "unit", "meaning", "title"):
        if not isinstance(getattr(quantity, text), str):
            raise TypeError(f"{text} of a quantity must be text")
    _check_name(quantity.name)
    name = quantity.name
    for choice, known in (("better", Better), ("family", Family), ("table", Table)):
        if getattr(quantity, choice) not in get_args(known):
            raise ValueError(f"{choice} of {name} must be one of {', '.join(map(repr, get_args(known)))}")
    for switch in ("attack", "folded"):
        if type(getattr(quantity, switch)) is not bool:
            raise TypeError(f"{switch} of {name} must be True or False")
    if type(quantity.decimals) is not int or not 0 <= quantity.decimals <= MOST_DECIMALS:
        raise ValueError(f"decimals of {name} must be a whole number from 0 to {MOST_DECIMALS}")
    _check_range(quantity)
    _check_head(quantity)


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or len(name) > LONGEST_NAME:
        raise ValueError(f"a quantity cannot be called {name!r}: take small letters, digits and _, {LONGEST_NAME} at most")
    if name in RESERVED_NAMES:
        raise ValueError(f"a quantity cannot be called {name!r}: tables have a column of that name")


def _check_range(quantity: Quantity) -> None:
    ends = quantity.lowest, quantity.highest
    if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends):
        raise TypeError(f"lowest and highest of {quantity.name} must be numbers")
    if not quantity.lowest <= quantity.highest:  # nor are there ends that are no number
        raise ValueError(f"the range of {quantity.name}, {ends[0]} to {ends[1]}, holds nothing")


def _check_head(quantity: Quantity) -> None:
    if len(quantity.unit) > LONGEST_UNIT:
        raise ValueError(f"the unit of {quantity.name} has more than {LONGEST_UNIT} characters")
    if (quantity.title and not quantity.title.strip()) or not quantity.title.isprintable():
        raise ValueError(f"the title of {quantity.name} cannot be seen")
    if len(quantity.title if quantity.title or not quantity.table else quantity.head) > LONGEST_TITLE:
        raise ValueError(f"the title of {quantity.name} has more than {LONGEST_TITLE} characters; give a shorter one")
