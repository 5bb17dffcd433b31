"""What every method must do: one function per check. Each fails for exactly one kind of mistake."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from bench.budget import USUAL_SHARE, Allowance
from bench.errors import WorkerError
from bench.method import Method
from bench.registry import discovery, specs
from bench.registry.functions import FunctionMethod
from bench.splits import predict
from bench.testing.outcome import Check, FailedCheckError, NotApplicableError
from bench.testing.subject import SEED, Subject
from bench.testing.toy_task import AMPLE, CLASSES, ORIGINALS, SIZES, distance, seed_globally

TOLERANCE = 1e-9  # in float64; a whole-parameter standard deviation differs by 5e-4, so nothing much looser finds it
SHARES = (0.01, 0.05, 0.1, USUAL_SHARE, 0.6, 1.0)  # of one retraining
TINY_BUDGET, LATE = 0.5, 0.25  # seconds of CPU time; how much later than its budget a method may return
LEAST_ACCURACY = 0.5  # on retain, where the original has 1 and methods that end on steps away from the data 0.3 at most
_SOURCE = re.compile(r"source\s*:|arxiv|doi\.org|https?://|\(\d{4}\)|\b(19|20)\d\d\b", re.IGNORECASE)


CHECKS: list[Check[Subject]] = []


def _check(*, runs: bool = True) -> Callable[[Callable[[Subject], str]], Callable[[Subject], str]]:
    def add(look: Callable[[Subject], str]) -> Callable[[Subject], str]:
        CHECKS.append(Check.of(look, runs=runs))
        return look

    return add


def _demand(holds: bool, reason: str) -> None:
    if not holds:
        raise FailedCheckError(reason)


@_check(runs=False)
def loads_without_side_effects(subject: Subject) -> str:
    """Importing the plugin changes nothing in the process and prints nothing."""
    demand_no_side_effects(discovery.METHODS, subject.plugin, "do that in unlearn, or not at all")
    return ""


def demand_no_side_effects(group: str, plugin: discovery.Plugin, remedy: str) -> None:
    """Import a plugin in a fresh process, and see what that changes."""
    from bench.engine.inspection import changed_by_loading

    try:
        changed = changed_by_loading(group, plugin)
    except WorkerError as problem:
        raise FailedCheckError(f"it does not load in a fresh process: {problem}") from problem
    _demand(not changed, f"importing it changes {', '.join(changed)}; {remedy}")


@_check(runs=False)
def hyper_parameters_round_trip(subject: Subject) -> str:
    """What `name[k=v]` says is what the method has: a row can be reproduced from its record."""
    frozen = type(subject.method).__dataclass_params__.frozen  # type: ignore[attr-defined]
    _demand(frozen, "decorate it with @dataclass(frozen=True)")
    _demand_same_again(subject.method, subject.spec.plugin)
    return ""


def _demand_same_again(method: Method, plugin: str) -> None:
    """What the text of its hyper-parameters makes is the method itself."""
    text = json.dumps(specs.hyper_parameters(method))
    values = {name: value for name, value in json.loads(text).items() if value not in ("inf", "-inf", "nan")}
    again = specs.configure(type(method), specs.parse(str(specs.Spec(plugin, values))))
    odd = [name for name, value in specs.hyper_parameters(again).items() if value != specs.hyper_parameters(method)[name]]
    _demand(not odd, f"{', '.join(odd)} changes when the method is made from its own hyper-parameters")


@_check(runs=False)
def fits_budgets(subject: Subject) -> str:
    """What fits a budget, by `within`, is this method, the same whenever asked; a larger budget is never refused."""
    if type(subject.method).within is Method.within and not subject.method.budgeted:
        raise NotApplicableError("it does the same at every budget")
    least: float | None = None
    for share in SHARES:
        try:
            fitting = subject.method.within(share)
        except ValueError as reason:
            _demand(least is None, f"it fits {least or 0:.0%} of a retraining, but not {share:.0%}: {reason}")
            continue
        least = least or share
        _demand(type(fitting) is type(subject.method), f"within returns a {type(fitting).__name__} at {share:.0%}")
        _demand(fitting == subject.method.within(share), f"within gives another answer when asked for {share:.0%} again")
        _demand_same_again(fitting, subject.spec.plugin)
    _demand(least is not None, "within refuses every budget up to a whole retraining")
    return f"from {least:.0%} of a retraining on"


@_check(runs=False)
def names_its_source(subject: Subject) -> str:
    """The docstring says where the algorithm comes from: a paper, an address, or a year."""
    text = type(subject.method).__doc__ or ""
    what = "class"
    if isinstance(subject.method, FunctionMethod):
        what, text = "function", "" if text == FunctionMethod.__doc__ else text  # which is of functions in general
    _demand(bool(_SOURCE.search(text)), f"name the paper or the code in the docstring of the {what}: `Source: ...`")
    return ""


@_check(runs=False)
def runs(subject: Subject) -> str:
    """Unlearn returns a network of the task's class, on the CPU and on a CUDA device if there is one."""
    _demand(not subject.problem, subject.problem)
    if not torch.cuda.is_available():
        return "no CUDA device here: run on the CPU only"
    on_cuda = subject.task.on("cuda")
    model = on_cuda.unlearn(subject.method, SEED)
    _demand(next(model.parameters()).is_cuda, "the network left the CUDA device")
    return ""


@_check()
def returns_what_it_declares(subject: Subject) -> str:
    """The network itself, changed, if `in_place`; else another one, and the given one is left as it was."""
    run = subject.run
    if isinstance(subject.method, FunctionMethod):
        raise NotApplicableError("a function may do either")
    if type(subject.method).in_place:
        _demand(run.returned is run.given, "it returns another network: declare in_place = False")
        return ""
    _demand(run.returned is not run.given, "it returns the network that it was given: declare in_place = True")
    _demand(distance(run.given, subject.task.original()) == 0, "it changes the network that it was given: work on a deep copy")
    return ""


@_check()
def leaves_teachers_alone(subject: Subject) -> str:
    """A network that is only asked, never trained, has the same weights at the end: a shallow copy of the student has not."""
    run = subject.run
    others = [each for each in run.observation.asked.values() if each.network not in (run.given, run.returned)]
    teachers = [each for each in others if not each.trained]
    _demand(
        not any(_share_weights(each.network, run.returned) for each in others),
        "a network that is asked has the same weights in memory as the one that is returned: copy a teacher with copy.deepcopy",
    )
    _demand(
        not any(teacher.changed() for teacher in teachers),
        "a network that is only asked changes meanwhile: copy a teacher with copy.deepcopy and put it into evaluation mode",
    )
    return f"{len(teachers)} teachers" if teachers else "no teacher network"


def _share_weights(one: nn.Module, other: nn.Module) -> bool:
    theirs = {parameter.data_ptr() for parameter in other.parameters()}
    return any(parameter.data_ptr() in theirs for parameter in one.parameters())


@_check()
def changes_weights(subject: Subject) -> str:
    """The returned network is not the original."""
    changed = distance(subject.run.returned, subject.task.original())
    _demand(changed > 0, "the returned network is the original: is the optimiser built on the network that is returned?")
    return f"by {changed:.2g} at most"


@_check()
def is_finite(subject: Subject) -> str:
    """No weight and no answer is NaN or infinite."""
    state = subject.run.returned.state_dict()
    odd = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    _demand(not odd, f"not finite: {', '.join(odd[:3])}; clip gradients, or lower the learning rate")
    answers = predict(subject.run.returned, subject.task.data([SEED]).retain)
    _demand(bool(answers.isfinite().all()), "its answers on retain are not finite")
    return ""


@_check()
def restores_modes(subject: Subject) -> str:
    """Every layer is in train mode again, and every parameter has requires_grad, as they were."""
    if isinstance(subject.method, FunctionMethod):
        raise NotApplicableError("nobody asked functions to, and the evaluation sets its own modes")
    returned = subject.run.returned
    evaluating = [name or "the network" for name, module in returned.named_modules() if not module.training]
    _demand(not evaluating, f"left in evaluation mode: {', '.join(evaluating[:3])}")
    frozen = [name for name, parameter in returned.named_parameters() if not parameter.requires_grad]
    _demand(not frozen, f"left without requires_grad: {', '.join(frozen[:3])}")
    return ""


@_check()
def seeds_decide(subject: Subject) -> str:
    """The same seed gives the same model bit for bit; another trial gives another, unless `deterministic` is declared."""
    if type(subject.method).uses_clock:
        raise NotApplicableError("it uses the clock, so its results depend on the machine")
    again = subject.task.unlearn(subject.method, SEED)
    _demand(
        distance(again, subject.run.returned) == 0,
        "the same seed gives another model: draw from trial.normal_like and its like",
    )
    other = subject.task.unlearn(subject.method, SEED + 1, index=1, model=subject.task.original())
    same = distance(other, subject.run.returned) == 0
    if type(subject.method).deterministic:
        _demand(same, "another trial gives another model: draw nothing, also no order of batches, or take deterministic away")
        return ""
    return "deterministic: every trial gives the same model, and its row will say so" if same else ""


@_check()
def stacked_equals_alone(subject: Subject) -> str:
    """In float64 a stack gives the models that its trials give alone, whatever the grouping and the global seed."""
    if not type(subject.method).stackable:
        raise NotApplicableError("not stackable")
    task, trials = subject.task.in_double(), _equal_variants(subject.method)
    seeds = [SEED + index for index in trials]
    alone = [task.unlearn(subject.method, seed, index=index) for seed, index in zip(seeds, trials, strict=True)]
    last = len(trials) - 1
    for number, group in enumerate((range(len(trials)), [last, 0], [last])):
        seed_globally(number)
        together = task.unlearn_stacked(subject.method, [seeds[m] for m in group], [trials[m] for m in group])
        worst = max(distance(model, alone[m]) for model, m in zip(together, group, strict=True))
        _demand(worst <= TOLERANCE, f"a stack of {len(group)} differs from single trials by {worst:.2g}: {_STACK_HINT}")
    return ""


_STACK_HINT = "work on bench.weights' views, sum losses per model, and draw from trial only; or leave `stackable` out"


def _equal_variants(method: Method) -> Sequence[int]:
    """Up to three trials that may share a stack, with different originals."""
    first = method.variant(0)
    return [index for index in range(16) if method.variant(index) == first][:ORIGINALS]


@_check()
def sees_no_held_out_data(subject: Subject) -> str:
    """Unlearning opens no data file and loads no task: what a method may see is handed to it."""
    opened = list(dict.fromkeys(subject.run.observation.opened))
    _demand(not opened, f"it reads {', '.join(opened[:3])}")
    return ""


@_check()
def runs_in_its_own_process(subject: Subject) -> str:
    """It does as a run computes it: in a process and an empty folder of its own, which nothing that it starts outlives."""
    from bench.testing.real_trial import real_trials

    stacked = type(subject.method).stackable
    allowance = TINY_BUDGET if type(subject.method).uses_clock else AMPLE
    try:
        real_trials(subject, _equal_variants(subject.method) if stacked else [0], allowance)
    except WorkerError as problem:
        raise FailedCheckError(f"there it fails, though not here: {str(problem).partition(': ')[2]}") from problem
    return ""


@_check()
def honours_a_tiny_budget(subject: Subject) -> str:
    """A method that uses the clock returns in time, however little of it there is."""
    if not type(subject.method).uses_clock:
        raise NotApplicableError("it does not read the clock; a run ends it at 2 x budget + 5 s")
    start = time.process_time()
    subject.task.unlearn(subject.method, SEED, budget=Allowance(TINY_BUDGET, time.process_time))
    taken = time.process_time() - start
    _demand(taken <= TINY_BUDGET + LATE, f"it took {taken:.2f} s of {TINY_BUDGET} s: stop when trial.budget.expired")
    return f"{taken:.2f} s of {TINY_BUDGET} s"


@_check()
def uses_the_forget_set(subject: Subject) -> str:
    """With other images to forget the result differs, or `uses_forget = False` is declared."""
    if type(subject.method).uses_clock:
        raise NotApplicableError("it uses the clock, so its results depend on the machine")
    other = subject.task.with_other_forget_set().unlearn(subject.method, SEED)
    same = distance(other, subject.run.returned) == 0
    if isinstance(subject.method, FunctionMethod):  # cannot declare anything
        return "the forget set changes nothing" if same else ""
    if type(subject.method).uses_forget:
        _demand(not same, "the forget set changes nothing: use it, or declare uses_forget = False")
    else:
        _demand(same, "it uses the forget set: declare uses_forget = True")
    return ""


@_check()
def keeps_utility(subject: Subject) -> str:
    """The returned network still does the task: methods that end on steps away from the data do not."""
    if not all(tensor.isfinite().all() for tensor in subject.run.returned.state_dict().values()):
        raise NotApplicableError("it is not finite")
    accuracy = subject.task.accuracy(subject.run.returned, "retain")
    seen = f"retain accuracy {accuracy:.2f} on {SIZES['retain']} images"
    _demand(accuracy > LEAST_ACCURACY, f"{seen}, where the original has 1 and chance is {1 / CLASSES:.2f}")
    return f"retain accuracy {accuracy:.2f}"
