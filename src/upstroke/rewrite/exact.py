"""Turn a model into one that computes the same with less work, where that was measured to gain."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from upstroke.diagnose import cost
from upstroke.errors import NotRepresentableError
from upstroke.graph.form import Shape
from upstroke.rewrite.change import Change, Form, Left, Shuffled, Together
from upstroke.rewrite.fixed import FormTime, Outcome, Pair
from upstroke.rewrite.measure import LEAST_RATIO, choose
from upstroke.rewrite.verify import relative_difference
from upstroke.rewrite.work import Chosen, Progress, Work

__all__ = ["Rewritten", "Settings", "all_left", "rewrite_exactly", "without_the_weakest"]

# A model has stages in rows of a few; what still changes after so many rounds would change for ever.
MOST_ROUNDS = 8


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a form is chosen.

    Attributes:
        form: one for all sites, without measuring; None for whichever is measured to be the fastest.
        least: how many times faster a form must be to be taken.
        seconds: for each site.
        tolerance: of the relative difference of a site alone.
        known: outcomes that were measured before, by site and the map that it gives; what is not among them
            as rewritten is left, and nothing is measured. None where nothing is known.
    """

    form: Form | None = None
    least: float = LEAST_RATIO
    seconds: float = 2.0
    tolerance: float = 1e-5
    known: Mapping[tuple[str, str], Outcome] | None = None


@dataclass
class _Decisions:
    """What was decided of sites so far, over all rounds."""

    outcomes: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    postponed: list[Change] = field(default_factory=list)
    before_tracing: set[tuple[str, str]] = field(default_factory=set)

    def note(self, outcome: Outcome, key: str) -> None:
        self.outcomes[outcome.site, key] = outcome

    def note_left(self, left: Left, there: Collection[str]) -> None:
        """Note a site that stays, but once if it stands there under another name now.

        Calls of functions are counted to be named, and what is rewritten is none any more.
        """
        was = (each for each in self.outcomes.values() if each.became == "left" and each.site not in there)
        if not any((each.codes, each.words) == (left.codes, left.reason) for each in was):
            self.note(_left(left.site, left.codes, left.reason), left.site)

    def is_left(self, change: Change) -> bool:
        """Whether this was tried before and gained nothing."""
        known = self.outcomes.get((change.site, change.last))
        return known is not None and known.became == "left"


@dataclass(frozen=True, kw_only=True, eq=False)
class Rewritten:
    """What became of the sites of a model.

    Attributes:
        outcomes: by site and the map that it gives.
        rounds: how often the model was read and rewritten until nothing was left to do.
    """

    outcomes: Mapping[tuple[str, str], Outcome] = field(default_factory=dict)
    rounds: int = 0

    @property
    def changed(self) -> bool:
        """Whether any site was rewritten."""
        return any(each.became == "rewritten" for each in self.outcomes.values())


def rewrite_exactly(work: Work, settings: Settings, progress: Progress) -> Rewritten:
    """Rewrite a model round by round until nothing is left to do."""
    decided = _Decisions()
    for number in range(1, MOST_ROUNDS + 1):
        graph = work.read()
        planned = work.planned(graph)
        for each in planned:
            if isinstance(each, Left):
                decided.note_left(each, {other.site for other in planned})
        changes = [each for each in planned if isinstance(each, Change) and not decided.is_left(each)]
        chosen: list[tuple[Change, Form]] = []
        for place, change in enumerate(changes, start=1):
            progress(f"measuring {change.site}, {place} of {len(changes)}", (place - 1) / len(changes))
            form, outcome = _decided(change, work, settings)
            cells = graph.shapes.get(change.first)
            decided.note(_with_cost(outcome, change, cells) if form is not None else outcome, change.last)
            if form is not None:
                chosen.append((change, form))
        if chosen:
            progress(f"rewriting {len(chosen)} {'site' if len(chosen) == 1 else 'sites'}", 1.0)
            _apply(work, chosen, decided)
        if not chosen or number == MOST_ROUNDS:
            break
    _note_the_lost(decided)
    return Rewritten(outcomes=decided.outcomes, rounds=number)


def without_the_weakest(rewritten: Rewritten, reason: str) -> dict[tuple[str, str], Outcome] | None:
    """The outcomes with those sites left that gained less than most did; None where none would stay."""
    done = {key: each for key, each in rewritten.outcomes.items() if each.became == "rewritten"}
    ratios = sorted(each.ratio or 0.0 for each in done.values())
    if len(set(ratios)) < 2:
        return None
    middle = ratios[len(ratios) // 2]
    return {
        key: _left(each.site, each.codes, f"{each.words}: {reason}", times=each.times)
        if key in done and (each.ratio or 0.0) < middle
        else each
        for key, each in rewritten.outcomes.items()
    }


def all_left(rewritten: Rewritten, reason: str) -> dict[tuple[str, str], Outcome]:
    """The outcomes with every site left."""
    return {
        key: _left(each.site, each.codes, f"{each.words}: {reason}", times=each.times)
        if each.became == "rewritten"
        else each
        for key, each in rewritten.outcomes.items()
    }


def _note_the_lost(decided: _Decisions) -> None:
    """Say of what could have been done in a traced model that it was not found there again."""
    sites, maps = {site for site, _ in decided.outcomes}, {last for _, last in decided.outcomes}
    lost = [each for each in decided.postponed if each.site not in sites and each.last not in maps]
    # a site may have another name there
    named = {each.site for each in decided.postponed}
    others = [key for key in decided.outcomes if key not in decided.before_tracing and key[0] not in named]
    for change in lost[len(others) :]:
        reason = f"{change.words}: that takes a traced model, in which the site was not found again"
        decided.note(_left(change.site, change.codes, reason), change.last)


def _apply(work: Work, chosen: Chosen, decided: _Decisions) -> None:
    applied = work.apply(chosen)
    undone = {each.site: each for each in applied.left}
    for change, _ in chosen:
        if change.site in applied.postponed:
            # said when it is done
            del decided.outcomes[change.site, change.last]
            decided.postponed.append(change)
            decided.before_tracing |= set(decided.outcomes)
        elif change.site in undone:
            left = undone[change.site]
            decided.note(_left(change.site, change.codes, left.reason), change.last)
        else:
            known = decided.outcomes[change.site, change.last]
            decided.note(replace(known, how=applied.how.get(change.site, "")), change.last)


def _decided(change: Change, work: Work, settings: Settings) -> tuple[Form | None, Outcome]:
    """The form that a change takes, or None, and what is to be said of it."""
    if settings.known is not None:
        return _as_known(change, settings.known)
    try:
        candidates = work.candidates(change)
    except NotRepresentableError as error:
        return None, _left(change.site, change.codes, f"it cannot be tried alone: {error}")
    differences = _differences(candidates)
    wrong = [form for form, far in differences.items() if not far <= settings.tolerance]
    right = {form: call for form, call in candidates.items() if form not in wrong}
    if len(right) < 2:
        reason = "no form of it computes the same here"
        if wrong:
            nearest = min(differences[form] for form in wrong)
            reason = f"{reason}: the nearest differs by {nearest:.2g} of the largest number"
        return None, _left(change.site, change.codes, reason)
    if settings.form is not None:
        form = settings.form if settings.form in right else next(f for f in change.forms if f in right)
        return form, _rewritten(change, form, (), differences.get(form))
    choice = choose(right, least=settings.least, seconds=settings.seconds)
    times = tuple(
        FormTime(form=each, milliseconds=1e3 * timing.median) for each, timing in choice.timings.items()
    )
    if choice.form is None:
        gained = "cannot run" if choice.ratio is None else f"is {choice.ratio:.3g} times as fast"
        reason = (
            f"{change.words}: that {gained} in {work.runtime}, and from {settings.least:.3g} times on it is "
            "worth a change"
        )
        return None, _left(change.site, change.codes, reason, times=times)
    return choice.form, _rewritten(change, choice.form, times, differences.get(choice.form))


def _with_cost(outcome: Outcome, change: Change, shape: Shape | None) -> Outcome:
    """What was done, and the multiply-adds that it leaves: none of a shuffle, and of two stages not known.

    Taps that no cell needs are not among them, although one form may multiply by the zeros that they are.
    """
    before = change.multiply_adds
    if isinstance(change.does, Shuffled):
        return replace(outcome, multiply_adds=Pair(before=before, after=0))
    if not isinstance(change.does, Together) or shape is None or None in shape:
        return replace(outcome, multiply_adds=Pair(before=before))
    batch, channels, *cells = (size or 1 for size in shape)
    operator = change.does.affine.operator
    per_cell = cost(operator, channels=channels if operator.shared else None).multiply_adds_per_input
    return replace(outcome, multiply_adds=Pair(before=before, after=per_cell * batch * math.prod(cells)))


def _as_known(change: Change, known: Mapping[tuple[str, str], Outcome]) -> tuple[Form | None, Outcome]:
    """What was decided before, of a site that stands there again."""
    outcome = known.get((change.site, change.last))
    if outcome is None:
        return None, _left(change.site, change.codes, f"{change.words}: that was not measured")
    form = next((each for each in change.forms if each == outcome.form), None)
    return (form, outcome) if outcome.became == "rewritten" else (None, outcome)


def _differences(candidates: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """The relative difference of each form from what the model does, on one input."""
    with torch.no_grad():
        answers = {form: _tensor(call()) for form, call in candidates.items()}
    old = answers.pop("as it is")
    return {form: relative_difference(old, new) for form, new in answers.items()}


def _tensor(value: Any) -> Tensor:  # noqa: ANN401 - an array or a tensor
    tensor = value if isinstance(value, Tensor) else torch.from_numpy(value)
    return tensor.detach().double()


def _rewritten(change: Change, form: Form, times: Sequence[FormTime], difference: float | None) -> Outcome:
    return Outcome(
        site=change.site,
        codes=change.codes,
        became="rewritten",
        words=change.words,
        nodes=tuple(node.name for node in change.nodes),
        form=form,
        times=tuple(times),
        multiply_adds=Pair(before=change.multiply_adds),
        difference=difference,
    )


def _left(site: str, codes: Sequence[str], reason: str, *, times: Sequence[FormTime] = ()) -> Outcome:
    return Outcome(site=site, codes=tuple(codes), became="left", words=reason, times=tuple(times))
