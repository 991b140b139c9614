"""Define what came of a fix: the model, what became of every site, and what was measured of old and new."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from upstroke.audit.shown import framed
from upstroke.errors import OptionError
from upstroke.rewrite.change import Code
from upstroke.rewrite.record import record_of
from upstroke.rewrite.shown import page_of_record, text_of_record
from upstroke.rewrite.verify import Verified

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from upstroke.audit import Report
    from upstroke.rewrite.work import Work

__all__ = ["Fixed", "FormTime", "Moved", "Outcome", "Pair", "Repaired"]

# What became of a site: "rewritten"; "left" as it is, because it gains nothing or cannot be; "repaired".
Became = Literal["rewritten", "left"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A number before and after; None where it is not known."""

    before: int | float | None = None
    after: int | float | None = None


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
class Moved:
    """How far repairs moved an output of the model.

    Attributes:
        name: of the output.
        relative: the largest difference by the largest number of the old one; infinite where they cannot be
            compared.
        rms: root of the mean square of the difference by that of the old one.
    """

    name: str
    relative: float
    rms: float


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
        rounds: how often the model was read and rewritten until nothing was left to do.
        outcomes: what became of each site of which there was anything to say; of an unverified model what
            was tried.
        repairs: those that were asked for.
        verified: old and new side by side, once for each type of numbers that both can compute with; of a
            repaired model what it was after the repairs and after the exact rewrites.
        outputs_changed: how far repairs moved the outputs.
        multiply_adds, parameters, milliseconds, memory: of the whole model; memory in bytes at the peak.
        memory_of: what the bytes are of.
        share: part of the model's time that the rewritten sites took before.
        gain: what the model gained in all, in a sentence without a full stop.
        before, after: the check of either.
        notes: what else a user should know, sentences without a full stop.
        path: where the model was written; None where it was not.
        work: what writes it.
    """

    model: "nn.Module | onnx.ModelProto"
    name: str
    source: str
    runtime: str
    seed: int
    rounds: int
    outcomes: tuple[Outcome, ...]
    repairs: tuple[Repaired, ...] = ()
    verified: tuple[Verified, ...] = ()
    outputs_changed: tuple[Moved, ...] = ()
    multiply_adds: Pair = Pair()
    parameters: Pair = Pair()
    milliseconds: Pair = Pair()
    memory: Pair = Pair()
    memory_of: str = ""
    share: float | None = None
    gain: str = ""
    before: "Report | None" = None
    after: "Report | None" = None
    notes: tuple[str, ...] = ()
    path: Path | None = None
    work: "Work | None" = field(default=None, repr=False)

    @property
    def changed(self) -> bool:
        """Whether the model is another than the one that was given, which it never is unverified."""
        is_rewritten = any(each.became == "rewritten" for each in self.outcomes)
        return self.is_verified and (is_rewritten or any(each.is_done for each in self.repairs))

    @property
    def is_verified(self) -> bool:
        """Whether old and new agree; where nothing was changed there is nothing to compare."""
        return all(each.ok for each in self.verified)

    def save(self, path: str | Path, *, overwrite: bool = False) -> "Fixed":
        """Write the new model, whole or not at all: ONNX for a file, `torch.export`'s .pt2 for a module.

        Returns:
            The same, which knows where it was written.

        Raises:
            OptionError: old and new do not agree, or a module cannot be exported.
            FileError: the file cannot be written.
        """
        if not self.is_verified or self.work is None:
            msg = "old and new must agree before the new model is written; they do not, so keep the old one"
            raise OptionError(msg)
        said = self.work.save(Path(path), overwrite=overwrite)
        return replace(self, path=Path(path), notes=(*self.notes, *said))

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
