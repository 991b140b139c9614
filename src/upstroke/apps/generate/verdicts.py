"""Turn what was measured of a generator into a word for each question, by thresholds that have a reason."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from upstroke.apps.generate.grid_marks import Kind
from upstroke.apps.generate.measures import Measures

__all__ = ["ABOUT", "About", "Verdict", "verdicts"]

About: TypeAlias = Literal["grid", "shared", "details", "spectrum", "detector", "diversity", "copies"]
ABOUT: tuple[About, ...] = ("grid", "shared", "details", "spectrum", "detector", "diversity", "copies")
# A generator whose samples are half as far from each other as real pictures shows half of them again and
# again; one that are twice as far shows what is not there.
COLLAPSED, SCATTERED = 0.5, 2.0
# Of the chance that a detector reaches by luck alone what it reaches.
LEVEL = 0.05
# Half a level of 255 is lost when a picture is rounded to bytes; a thousand pictures together show less.
FAINT = 0.5
# At longer periods what lies in one place in all pictures, such as eyes, has marks of its own.
SHORT = 4
# Where half of all samples are as good as copies, there is little else.
BY_HEART = 0.5


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer to one question.

    Attributes:
        about: grid: whether samples have one, each by itself. Shared: whether all have one in common.
            Details: whether these are louder in some of its phases. Spectrum: whether they have the power of
            real pictures at high frequencies. Detector: whether a linear rule tells them by their spectra.
            Diversity: whether they are as varied as real ones. Copies: whether they are pictures of the
            training.
        word: the answer.
        is_good: whether it is as one wants it; None where it was not judged.
        reason: why it was not judged.
    """

    about: About
    word: str
    is_good: bool | None
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def verdicts(measures: Measures, *, is_trained_on: bool) -> tuple[Verdict, ...]:
    """Answer all questions, in the order of `ABOUT`.

    Args:
        measures: of samples and real pictures.
        is_trained_on: whether those are the pictures of the training.
    """
    return (
        _single(measures),
        _shared(measures, "shared", "level"),
        _shared(measures, "details", "detail"),
        _spectrum(measures),
        _detector(measures),
        _diversity(measures),
        _copies(measures, is_trained_on=is_trained_on),
    )


def _single(measures: Measures) -> Verdict:
    if measures.single is None:
        return _open("grid", measures, "grids of single pictures")
    above = [each for each in measures.single if each.is_above]
    # where real pictures have a grid, such as those of a raster, one is learnt with them
    if any(each.samples > max(1.0, each.real) for each in above):
        return Verdict(about="grid", word="above both", is_good=False)
    return Verdict(about="grid", word="as in real pictures" if above else "at chance", is_good=True)


def _shared(measures: Measures, about: About, kind: Kind) -> Verdict:
    if measures.grid is None:
        return _open(about, measures, "grid")
    marks = [each for each in measures.grid.marks if each.kind == kind]
    words = [each.verdict for each in marks]
    word = next(each for each in ("above both", "as in real pictures", "at chance") if each in words)
    if word == "above both" and kind == "level":
        short = [each.excess for each in marks if each.verdict == "above both" and each.period <= SHORT]
        if max(short, default=0.0) < FAINT**2:
            return Verdict(about=about, word="too faint to see", is_good=True)
    return Verdict(about=about, word=word, is_good=word != "above both")


def _spectrum(measures: Measures) -> Verdict:
    if measures.spectra is None:
        return _open("spectrum", measures, "spectrum")
    beyond = measures.spectra.beyond
    if beyond == 0 or math.isnan(beyond):
        return Verdict(about="spectrum", word="as in real pictures", is_good=True)
    word = "too much at high frequencies" if beyond > 0 else "too little at high frequencies"
    return Verdict(about="spectrum", word=word, is_good=False)


def _detector(measures: Measures) -> Verdict:
    if measures.detector is None:
        return _open("detector", measures, "detector")
    is_told = measures.detector.p_value <= LEVEL
    return Verdict(about="detector", word="told apart" if is_told else "not told apart", is_good=not is_told)


def _diversity(measures: Measures) -> Verdict:
    ratios = [
        each.ratio
        for each in (measures.pixels, measures.features)
        if each is not None and each.ratio is not None
    ]
    if not ratios:
        return _open("diversity", measures, "diversity")
    if min(ratios) < COLLAPSED:
        word = "collapsed"
    elif measures.sample_repeats.distinct < measures.sample_repeats.pictures:
        # two latent vectors are never the same
        word = "repeating"
    else:
        word = "too varied" if max(ratios) > SCATTERED else "as varied"
    return Verdict(about="diversity", word=word, is_good=word == "as varied")


def _copies(measures: Measures, *, is_trained_on: bool) -> Verdict:
    if measures.closest is None:
        return _open("copies", measures, "nearest")
    near, count = measures.closest.near, len(measures.closest.is_copy)
    if near == 0:
        if is_trained_on:
            return Verdict(about="copies", word="none found", is_good=True)
        reason = "these are not the pictures that it was trained on"
        return Verdict(about="copies", word="not judged", is_good=None, reason=reason)
    word = "learned by heart" if near >= BY_HEART * count else "some copies"
    return Verdict(about="copies", word=word, is_good=False)


def _open(about: About, measures: Measures, measure: str) -> Verdict:
    """What could not be measured, and why."""
    reason = dict(measures.missing).get(measure, "it was not measured")
    return Verdict(about=about, word="not judged", is_good=None, reason=reason)
