"""`name[k=v]`: reading, checking, writing."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import pytest

from bench.errors import BenchError
from bench.method import Count, CountFromZero, Domain, Method, NotNegative, Positive, Search, Share
from bench.registry.specs import Spec, configure, domains, hyper_parameters, parse, scaled, searches


@dataclass(frozen=True)
class Example(Method):
    rate: float = 0.1
    epochs: int = 2
    name: str = "a"
    on: bool = False
    steps: tuple[int, ...] = (1, 2)


@pytest.mark.parametrize(
    ("text", "plugin", "parameters"),
    [
        ("scrub", "scrub", {}),
        ("scrub[]", "scrub", {}),
        ("scrub[alpha=0.1,epochs=5]", "scrub", {"alpha": 0.1, "epochs": 5}),
        (' scrub[ name = "a,]b" , on=true ]', "scrub", {"name": "a,]b", "on": True}),
        ("dir/my file.py:Mine[steps=[1,2]]", "dir/my file.py:Mine", {"steps": [1, 2]}),
    ],
)
def test_parse(text: str, plugin: str, parameters: dict) -> None:
    assert parse(text) == Spec(plugin, parameters)


def test_specs_round_trip() -> None:
    spec = Spec("scrub", {"epochs": 5, "alpha": 0.1, "name": 'a"b', "on": True})
    assert parse(str(spec)) == spec
    assert str(Spec("scrub", {})) == "scrub"


@pytest.mark.parametrize(
    ("text", "character"),
    [
        ("", 1),
        ("[a=1]", 1),
        ("scrub]", 6),
        ("scrub[a]", 7),
        ("scrub[a=]", 9),
        ("scrub[a=1", 10),
        ("scrub[a=x]", 9),
        ("scrub[a=1, b=NaN]", 14),
        ("scrub[a=1 b=2]", 11),
        ("scrub[1=2]", 7),
        ("scrub[a=1,a=2]", 11),
        ("scrub[a=1] x", 12),
    ],
)
def test_unreadable_specs_point_at_the_character(text: str, character: int) -> None:
    with pytest.raises(BenchError, match=f"at character {character} ") as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_configure() -> None:
    method = configure(Example, parse('x[rate=1,epochs=3,name="b",on=true,steps=[4]]'))
    assert method == Example(1.0, 3, "b", True, (4,))
    assert hyper_parameters(method) == {"rate": 1.0, "epochs": 3, "name": "b", "on": True, "steps": [4]}


@dataclass(frozen=True)
class Scaled(Method):
    """As many epochs as fit."""

    epochs: int = 4
    rate: float = 0.5

    def within(self, share: float) -> Method:
        if share < 0.05:
            raise ValueError("one epoch is the least of it")
        if share == 0.9:
            return Example()
        if share == 0.8:
            raise RuntimeError("no luck")
        return replace(self, epochs=int(self.epochs * share / 0.2), rate=2 * self.rate)


def test_what_a_budget_allows_comes_after_the_defaults_and_before_what_is_named() -> None:
    assert configure(Scaled, parse("x")) == Scaled(4, 0.5)
    assert configure(Scaled, parse("x"), 0.4) == Scaled(8, 1.0)
    assert configure(Scaled, parse("x[rate=3]"), 0.4) == Scaled(8, 3.0)
    assert configure(Scaled, parse("x[epochs=1]"), 0.4) == Scaled(1, 1.0)
    assert configure(Example, parse("x[rate=3]"), 0.4) == Example(3.0)


def test_what_a_budget_has_changed_is_known() -> None:
    spec = parse("x[rate=3]")
    assert scaled(Scaled, spec, configure(Scaled, spec, 0.4)) == {"epochs": 4}
    assert scaled(Scaled, spec, configure(Scaled, spec, 0.2)) == {}
    assert scaled(Example, spec, configure(Example, spec, 0.4)) == {}


def test_a_budget_that_a_method_cannot_keep_to_is_told() -> None:
    with pytest.raises(BenchError, match=r"^x cannot keep to 2\.5 % of a retraining: one epoch is the least of it$"):
        configure(Scaled, parse("x"), 0.025)
    with pytest.raises(BenchError, match=r"^within must return a Scaled, not a Example$"):
        configure(Scaled, parse("x"), 0.9)
    with pytest.raises(RuntimeError, match="no luck"):  # whose traceback the engine shows
        configure(Scaled, parse("x"), 0.8)


@dataclass(frozen=True)
class Declared(Method):
    """Grows with the budget by what it declares."""

    steps: int = 4
    epochs: float = 1.5
    note: str = "a"
    budgeted: ClassVar[tuple[str, ...]] = ("steps", "epochs")
    fixed_share: ClassVar[float] = 0.05


def test_what_grows_with_the_budget_is_declared() -> None:
    assert configure(Declared, parse("x"), 0.2) == Declared()
    assert configure(Declared, parse("x"), 0.35) == Declared(8, 3.0)
    assert configure(Declared, parse("x"), 0.1) == Declared(1, 0.5)
    assert configure(Declared, parse("x[steps=9]"), 0.35) == Declared(9, 3.0)
    assert Example().within(0.4) == Example()


def test_less_than_the_least_that_is_declared_is_refused() -> None:
    with pytest.raises(
        BenchError, match=r"^x cannot keep to 8 % of a retraining: steps must be 1 or more, which takes about 8\.8 % of"
    ):
        configure(Declared, parse("x"), 0.08)
    with pytest.raises(BenchError, match=r"^x cannot keep to 4 % of a retraining: what it always does takes about 5 % of"):
        configure(Declared, parse("x"), 0.04)


@pytest.mark.parametrize("odd", ["epoch", "note"])
def test_what_is_no_number_does_not_grow(odd: str) -> None:
    kind = type("Odd", (Declared,), {"budgeted": ("epochs", odd)})
    with pytest.raises(BenchError, match=f"^budgeted must name hyper-parameters that are numbers; '{odd}' is none of x$"):
        configure(kind, parse("x"), 0.2)


def test_unknown_hyper_parameter_gets_a_suggestion() -> None:
    with pytest.raises(BenchError, match="did you mean rate"):
        configure(Example, parse("x[rat=1]"))


@pytest.mark.parametrize("inside", ["epochs=1.5", 'rate="fast"', "on=1", "epochs=true", "name=1", "steps=3", "rate=null"])
def test_wrong_types_are_refused(inside: str) -> None:
    with pytest.raises(BenchError, match="takes"):
        configure(Example, parse(f"x[{inside}]"))


@dataclass(frozen=True)
class Typed(Method):
    clip: float | None = None
    sizes: tuple[int, ...] = ()
    pair: tuple[int, str] = (1, "a")
    names: list[str] | None = None
    mode: Literal["a", "b"] = "a"


def test_annotations_are_followed_inside() -> None:
    method = configure(Typed, parse('x[clip=1,sizes=[1,2],pair=[2,"b"],names=["c"],mode="b"]'))
    assert method == Typed(1.0, (1, 2), (2, "b"), ["c"], "b")
    assert configure(Typed, parse("x[clip=null]")) == Typed()


@pytest.mark.parametrize("inside", ['clip="abc"', 'sizes=["x"]', "sizes=1", "pair=[1]", "names=3", "names=[1]", 'mode="c"'])
def test_annotations_are_checked_inside(inside: str) -> None:
    with pytest.raises(BenchError, match="takes"):
        configure(Typed, parse(f"x[{inside}]"))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_are_finite(value: str) -> None:
    with pytest.raises(BenchError, match="expected a finite JSON value"):
        parse(f"x[rate={value}]")


def test_infinite_defaults_can_be_recorded() -> None:
    assert hyper_parameters(Example(rate=float("inf")))["rate"] == "inf"
    assert hyper_parameters(Example(steps=(1, float("inf"))))["steps"] == [1, "inf"]


def test_forgotten_decorator_is_told() -> None:
    class Undecorated(Method):
        epochs: float = 1.0

    with pytest.raises(BenchError, match="decorate it"):
        configure(Undecorated, parse("x"))


def test_refusals_of_the_method_itself_are_shown() -> None:
    from bench_plugins.scrub import Scrub

    with pytest.raises(BenchError, match="a pass over retain follows each over forget"):
        configure(Scrub, parse("scrub[epochs=1,max_epochs=2]"))


@dataclass(frozen=True)
class Bounded(Method):
    """Numbers of every domain, two settings by name, and more epochs where there is time."""

    epochs: Annotated[Positive, Search(0.5, 4.0, log=True)] = 1.0
    share: Share = 0.5
    blocks: CountFromZero = 1
    noise: NotNegative | None = None
    late_noise: Annotated[NotNegative | None, Search(0.0, 1.0)] = None
    most: Annotated[Count, Domain(high=10.0)] = 1
    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {"epochs": 10.0, "share": 0.1}, "code": {"blocks": 3}}

    def within(self, share: float) -> "Bounded":
        return replace(self, epochs=5 * self.epochs * share)


@pytest.mark.parametrize(
    ("inside", "told"),
    [
        ("epochs=0", "x: epochs is 0.0; it must be above 0"),
        ("share=1.1", "x: share is 1.1; it must be from 0 to 1"),
        ("share=-1", "x: share is -1.0; it must be from 0 to 1"),
        ("blocks=-1", "x: blocks is -1; it must be 0 or more"),
        ("noise=-0.1", "x: noise is -0.1; it must be 0 or more"),
        ("late_noise=-0.1", "x: late_noise is -0.1; it must be 0 or more"),
        ("most=0", "x: most is 0; it must be 1 or more"),
        ("most=11", "x: most is 11; it must be 10 or less"),
        ("preset=papers", "x has no preset 'papers'; did you mean paper? it has: paper, code"),
        ("preset=code,epochs=0", "x: epochs is 0.0; it must be above 0"),
    ],
)
def test_what_no_method_can_do_is_refused_before_anything_trains(inside: str, told: str) -> None:
    with pytest.raises(BenchError) as refused:
        configure(Bounded, parse(f"x[{inside}]"), 0.2)
    assert str(refused.value) == told


def test_also_what_a_budget_makes_of_it() -> None:
    with pytest.raises(BenchError, match=r"epochs is 0\.0; it must be above 0"):
        configure(Bounded, parse("x"), 0.0)


def test_a_preset_is_never_scaled_and_what_is_said_beside_it_holds() -> None:
    spec = parse("x[preset=paper,share=0.2]")
    method = configure(Bounded, spec, 0.1)
    assert method == Bounded(epochs=10.0, share=0.2)
    assert scaled(Bounded, spec, method) == {}
    assert parse(str(spec)) == spec
    assert configure(Bounded, parse('x[preset="paper"]'), 0.1).epochs == 10.0
    with pytest.raises(BenchError, match="x has no preset 'paper'; it has: none"):
        configure(Example, parse("x[preset=paper]"))


@dataclass(frozen=True)
class Set(Method):
    """Settings that nobody typed."""

    rate: float = 0.1
    steps: tuple[float, ...] = ()
    kind: Literal["a", "b"] = "a"
    presets: ClassVar[dict[str, Any]] = {
        "whole": {"rate": 1, "steps": (1, 2.5)},
        "listed": {"steps": [3]},
        "text": {"rate": "fast"},
        "set": {"rate": {1}},
        "other": {"kind": "c"},
        "misspelt": {"rat": 1.0},
        "odd": {"rate": {(1, 2): 3}},
        "none": None,
    }


def test_values_of_a_preset_become_what_they_would_be_if_they_were_typed() -> None:
    for inside in ("preset=whole", "rate=1,steps=[1,2.5]"):
        found = hyper_parameters(configure(Set, parse(f"x[{inside}]")))
        assert repr(found) == repr({"rate": 1.0, "steps": [1.0, 2.5], "kind": "a"})
    assert configure(Set, parse("x[preset=listed]")).steps == (3.0,)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("text", 'preset text of x: hyper-parameter rate takes float, not "fast"'),
        ("set", 'preset set of x: hyper-parameter rate takes float, not "{1}"'),
        ("other", """preset other of x: hyper-parameter kind takes typing.Literal['a', 'b'], not "c\""""),
        ("odd", "preset odd of x: hyper-parameter rate takes float, not {(1, 2): 3}"),
        ("none", "preset none of x must give values by the names of hyper-parameters, not None"),
        ("misspelt", "preset misspelt of x has no hyper-parameter 'rat'; did you mean rate? it has: rate, steps, kind"),
    ],
)
def test_values_of_a_preset_are_checked(name: str, told: str) -> None:
    with pytest.raises(BenchError) as refused:
        configure(Set, parse(f"x[preset={name},rate=0.5]"))
    assert str(refused.value) == told


def test_a_hyper_parameter_may_be_called_preset() -> None:
    @dataclass(frozen=True)
    class Own(Method):
        preset: int = 1

    assert configure(Own, parse("x[preset=2]"), 0.2) == Own(2)


def test_where_good_values_are_sought() -> None:
    assert searches(Bounded) == {"epochs": Search(0.5, 4.0, log=True), "late_noise": Search(0.0, 1.0)}
    assert set(domains(Bounded)) == {"epochs", "share", "blocks", "noise", "late_noise", "most"}
