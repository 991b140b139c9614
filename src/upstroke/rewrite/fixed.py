"""Define what came of a fix: the model, what became of every site, and what was measured of old and new."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from upstroke.audit.shown import framed
from upstroke.rewrite.change import Code
from upstroke.rewrite.record import record_of
from upstroke.rewrite.shown import page_of_record, text_of_record

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from upstroke.audit import Report

__all__ = ["Difference", "Fixed", "FormTime", "Outcome", "Pair", "Repaired", "Tried"]

# What became of a site: "rewritten"; "left" as it is, because it gains nothing or cannot be; "repaired".
Became = Literal["rewritten", "left"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A number before and after; None where it is not known."""

    before: float | None = None
    after: float | None = None


@dataclass(frozen=True, kw_only=True)
class FormTime:
    """How long one way to compute a site took.

    Attributes:
        form: the way; "as it is" for what the model did.
        milliseconds: the median of one call.
    """

    form: str
    milliseconds: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one site.

    Attributes:
        site: its name.
        codes: of what is done away with, or stays.
        became: what became of it.
        words: what was done, or why nothing was, in a sentence without a full stop.
        nodes: names of the operations that were replaced.
        form: how it is computed now; empty where it was left.
        how: by what means it was put in place, such as a module swapped; empty where there is one alone.
        times: of every way that was tried, the model's own first; empty where none was measured.
        multiply_adds: of the site, at the sizes of the example.
        difference: largest relative difference of the site alone; None where it was not compared alone.
    """

    site: str
    codes: tuple[Code | str, ...]
    became: Became
    words: str
    nodes: tuple[str, ...] = ()
    form: str = ""
    how: str = ""
    times: tuple[FormTime, ...] = ()
    multiply_adds: Pair = Pair()
    difference: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times faster the site became; None where that was not measured."""
        took = {each.form: each.milliseconds for each in self.times}
        if "as it is" not in took or self.form not in took:
            return None
        return took["as it is"] / took[self.form]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far an output of the new model is from that of the old one.

    Attributes:
        name: of the output.
        relative: the largest difference by the largest number of the old one; infinite where they cannot be
            compared.
        rms: root of the mean square of the difference by that of the old one; None where it was not asked.
    """

    name: str
    relative: float
    rms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Tried:
    """Old and new on inputs of one size.

    Attributes:
        sizes: shapes of the inputs, by name.
        dtype: of the numbers that were computed with.
        outputs: how far they differ.
        refused: why both refuse this size; empty where they take it.
    """

    sizes: dict[str, tuple[int, ...]]
    dtype: str
    outputs: tuple[Difference, ...]
    refused: str = ""


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """What a repair did, which changes what the model computes.

    Attributes:
        code: of the rule that asked for it.
        site: where.
        words: what was done, or why nothing was, in a sentence without a full stop.
        is_done: whether it was.
        relative_change: norm of what was added to the weights by that of the weights; None where the repair
            is of another kind.
        measure: in the rule's unit.
        unit: of it.
        details: what else is to say of the kernels, such as their taps, as plain data.
    """

    code: str
    site: str
    words: str
    is_done: bool
    relative_change: float | None = None
    measure: Pair = Pair()
    unit: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fixed:
    """A model that was fixed, and how that is known.

    Attributes:
        model: the new model; the given one where nothing was changed.
        name: what it is called.
        source: what it was read from, in a few words.
        runtime: for which the forms were chosen: onnxruntime, openvino or pytorch.
        seed: of random inputs.
        tolerance: of relative differences, by the type of numbers.
        rounds: how often the model was read and rewritten until nothing was left to do.
        outcomes: what became of each site of which there was anything to say.
        repairs: those that were asked for.
        tried: old and new side by side; of a repaired model what it was before the repairs and after the
            exact rewrites.
        outputs_changed: how far repairs moved the outputs.
        multiply_adds, parameters, milliseconds, memory: of the whole model; memory in bytes at the peak.
        memory_of: what the bytes are of.
        share: part of the model's time that the rewritten sites took before.
        before, after: the check of either.
        notes: what else a user should know, sentences without a full stop.
        path: where the model was written; None where it was not.
    """

    model: "nn.Module | onnx.ModelProto"
    name: str
    source: str
    runtime: str
    seed: int
    tolerance: dict[str, float]
    rounds: int
    outcomes: tuple[Outcome, ...]
    repairs: tuple[Repaired, ...] = ()
    tried: tuple[Tried, ...] = ()
    outputs_changed: tuple[Difference, ...] = ()
    multiply_adds: Pair = Pair()
    parameters: Pair = Pair()
    milliseconds: Pair = Pair()
    memory: Pair = Pair()
    memory_of: str = ""
    share: float | None = None
    before: "Report | None" = None
    after: "Report | None" = None
    notes: tuple[str, ...] = ()
    path: Path | None = None

    @property
    def changed(self) -> bool:
        """Whether the model is another than the one that was given."""
        return any(each.became == "rewritten" for each in self.outcomes) or any(
            each.is_done for each in self.repairs
        )

    @property
    def largest(self) -> dict[str, float]:
        """The largest relative difference that was seen, by the type of numbers."""
        worst: dict[str, float] = {}
        for case in self.tried:
            for output in case.outputs:
                worst[case.dtype] = max(worst.get(case.dtype, 0.0), output.relative)
        return worst

    @property
    def is_verified(self) -> bool:
        """Whether old and new were compared and agree within the tolerance."""
        return bool(self.largest) and all(
            value <= self.tolerance[dtype] for dtype, value in self.largest.items()
        )

    def as_json(self) -> dict[str, Any]:
        """The record `upstroke.fix/1`: plain data without NaN or infinity."""
        return record_of(self)

    def as_text(self, *, width: int | None = None, verbose: bool = False) -> str:
        """What `upstroke fix` prints, as wide as the terminal; `verbose` lists every size and form."""
        return text_of_record(self.as_json(), width=width, verbose=verbose)

    def as_html(self) -> str:
        """A page that needs nothing beside it."""
        return page_of_record(self.as_json())

    def __str__(self) -> str:
        return self.as_text().rstrip("\n")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return framed(self.as_html())
