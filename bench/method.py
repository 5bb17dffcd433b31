"""What a plugin author writes: a frozen dataclass whose fields are its hyper-parameters, and what these may be."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from urllib.parse import quote

from bench.budget import USUAL_SHARE, as_fits
from bench.errors import in_reading_order

if TYPE_CHECKING:
    from torch import nn

    from bench.splits import MethodData
    from bench.trial import Trial


@dataclass(frozen=True)
class Domain:
    """Which numbers a hyper-parameter may be; checked before anything trains.

    >>> Domain(low=0.0, high=1.0).holds(1.0), Domain(above=0.0).holds(0.0), str(Domain(low=1))
    (True, False, '1 or more')
    """

    low: float | None = None
    high: float | None = None
    above: float | None = None  # as `low`, which it must not be

    def holds(self, value: float) -> bool:
        """Whether a number is one of them; NaN never is."""
        low = self.low is None or value >= self.low
        above = self.above is None or value > self.above
        high = self.high is None or value <= self.high
        return low and above and high and not math.isnan(value)

    def __str__(self) -> str:
        if self.low is not None and self.high is not None and self.above is None:
            return f"from {self.low:g} to {self.high:g}"
        told = {"above {:g}": self.above, "{:g} or more": self.low, "{:g} or less": self.high}
        return " and ".join(words.format(bound) for words, bound in told.items() if bound is not None) or "a number"


@dataclass(frozen=True)
class Search:
    """Where a good value of a hyper-parameter is sought, from `low` to `high`; on a logarithmic scale if `log`."""

    low: float
    high: float
    log: bool = False


Positive = Annotated[float, Domain(above=0.0)]
NotNegative = Annotated[float, Domain(low=0.0)]
Share = Annotated[float, Domain(low=0.0, high=1.0)]
Count = Annotated[int, Domain(low=1)]
CountFromZero = Annotated[int, Domain(low=0)]

Layer = Literal["batch-norm", "convolution", "linear"]

_FOR_BIBTEX = str.maketrans(  # it counts braces, also those after a backslash: a single one can only be named
    {"\\": r"\textbackslash{}", "{": r"\textbraceleft{}", "}": r"\textbraceright{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {character: f"\\{character}" for character in "&%$#_"}
)
_IN_ADDRESSES = ":/?#[]@!$&'()*+,;=%"  # as they stand: BibTeX styles print addresses word for word


def for_bibtex(text: str) -> str:
    r"""Text as a field of a bibliography: one line, in which nothing is a command and braces are balanced.

    >>> print(for_bibtex("Q&A_1: 100 %"))
    Q\&A\_1: 100 \%
    """
    return " ".join(in_reading_order(text).split()).translate(_FOR_BIBTEX)


def _first_word(text: str) -> str:
    """In small letters without accents, as keys have them; "" if there is none."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "".join(re.findall(r"[a-z0-9]+", plain)[:1])


@dataclass(frozen=True)
class Paper:
    """Where an algorithm was published."""

    title: str
    authors: str  # "Kurmanji, Triantafillou and others"
    venue: str  # "" for what is published as code or a page only
    year: int
    url: str
    code: str = ""  # address of public code, the authors' if there is any

    @property
    def bibtex(self) -> str:
        """An entry for a bibliography; whatever its fields hold, it is one.

        >>> print(Paper("Fast", "Doe, Jane and others", "ICML", 2025, "https://arxiv.org/abs/1").bibtex)
        @misc{doe2025fast,
          title = {Fast},
          author = {Doe, Jane and others},
          year = {2025},
          howpublished = {ICML},
          url = {https://arxiv.org/abs/1},
        }
        """
        key = f"{_first_word(str(self.authors))}{self.year or ''}{_first_word(str(self.title))}" or "unnamed"
        fields = {
            "title": for_bibtex(str(self.title)),
            "author": for_bibtex(str(self.authors)),
            "year": for_bibtex(str(self.year or "")),
            "howpublished": for_bibtex(str(self.venue)),
            "url": quote(str(self.url), _IN_ADDRESSES, errors="replace"),
        }
        lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
        return f"@misc{{{key},\n{lines}}}"


@dataclass(frozen=True)
class Method:
    """An unlearning algorithm.

    Subclasses are frozen dataclasses: fields are hyper-parameters, with defaults whose source is stated; the docstring
    names the paper. A method whose class says `stackable = True` is handed several trials at once (see `bench.models.stacked`).
    One that says `uses_clock = True` may read `trial.budget`; it is never stacked, runs alone on the device, and its row says so.
    `in_place = False` says that `model` is left as it was and another network returned, `uses_forget = False` that the forget
    set is not looked at; the conformance kit holds a method to both.

    `deterministic = True` says that nothing is drawn, the order of batches included: every trial gives the same model.

    `budgeted` names the hyper-parameters that grow with the budget, such as `("epochs",)`, and `fixed_share` what of a retraining
    goes into what is always done, such as a teacher's answers.

    `paper` says where the algorithm was published, `reconstruction` which part of that was not published or could not be read,
    and `cost` what it takes, in passes over splits. A network without the layers
    that it `needs` is refused. `presets` are settings by name, such as the published one, that no budget changes:
    `scrub[preset=paper]`. What a field may be, and where a good value is sought, stands in its annotation:
    `noise: Annotated[Positive, Search(0.05, 1.0, log=True)] = 0.35`.
    """

    stackable: ClassVar[bool] = False
    uses_clock: ClassVar[bool] = False
    in_place: ClassVar[bool] = True
    uses_forget: ClassVar[bool] = True
    deterministic: ClassVar[bool] = False
    paper: ClassVar[Paper | None] = None
    reconstruction: ClassVar[str] = ""
    cost: ClassVar[str] = ""
    needs: ClassVar[tuple[Layer, ...]] = ()
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    budgeted: ClassVar[tuple[str, ...]] = ()
    fixed_share: ClassVar[float] = 0.0

    def unlearn(self, model: nn.Module, data: MethodData, trial: Trial) -> nn.Module:
        """Return a network that has forgotten `data.forget`: `model` changed in place, or another of its class.

        `model` arrives in train mode with the original model's weights.
        """
        raise NotImplementedError

    def within(self, share: float) -> Method:
        """This method as it fits a budget: a `share` of one retraining, 0.2 for 20 %.

        Hyper-parameters that are `budgeted` are multiplied by what is left of the budget beside `fixed_share`, in usual budgets;
        whole numbers are rounded down. Where that is not enough, a method has a `within` of its own. Defaults are for a share of
        0.2 (`bench.budget.USUAL_SHARE`); hyper-parameters that the user names are put in afterwards. It is not asked about
        budgets in seconds, and reads no clock: its answer is the same everywhere.

        Raises:
            ValueError: the budget is below the least that the method can do; the message says what that is.
        """
        return replace(self, **{name: self._as_fits(name, share) for name in self.budgeted})

    def _as_fits(self, name: str, share: float) -> float:
        usual = getattr(self, name)
        fitting = as_fits(usual, share, self.fixed_share)
        if isinstance(usual, float):
            return fitting
        if fitting < 1 <= usual:
            least = self.fixed_share + (USUAL_SHARE - self.fixed_share) / usual
            percent = math.ceil(1000 * least) / 10  # and not less, which would be refused
            raise ValueError(f"{name} must be 1 or more, which takes about {percent:g} % of a retraining")
        return math.floor(fitting)

    def certificate(self) -> str:
        """What is proven of the models that it gives, in a line; "" of most methods. Pages of runs show it."""
        return ""

    def variant(self, index: int) -> Method:
        """The method that trial `index` uses; only trials with equal variants share a stack."""
        return self


@dataclass(frozen=True)
class Control(Method):
    """A row that every division needs to be read: outputs of reference models, no unlearning."""

    def reference_models(self, models: int) -> Sequence[int | None]:
        """Which reference models stand in for the trials 0..models-1: None for the original, or retrained models' indices.

        Either the original for all trials, or retrained models for all; the first `models` of those are what
        every row is compared with, and cannot be used.
        """
        raise NotImplementedError
