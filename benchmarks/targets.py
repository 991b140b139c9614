"""Hold what upstroke set out to reach, and turn rows of results into how far it got."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.cases import CASES, Case, ResizeConv, Separable
from benchmarks.reading import LEVEL, Shown, shown
from benchmarks.results import Row

CASE = {case.name: case for case in CASES}
# a map beyond the cache: more than the largest third-level cache of one group of cores
BEYOND_CACHE = 40e6
# what two readings of the same process's memory differ by
MEMORY_NOISE = 2**20


@dataclass(frozen=True, kw_only=True)
class Reached:
    """One number of a target.

    Attributes:
        where: row and layout.
        value: what was measured.
        needed: reached where value is no less.
    """

    where: str
    value: float
    needed: float


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is wanted, in words, and where its numbers come from."""

    words: str
    needed: str
    numbers: Callable[[Sequence[Row]], Iterator[Reached]]


def _ours(rows: Sequence[Row], wanted: Callable[[Row], bool]) -> Iterator[Shown]:
    for row in rows:
        if row["threads"] == 1 and wanted(row):
            yield from shown(row)


def _ratio(
    over: Callable[[Shown], float | None], needed: float, wanted: Callable[[Row], bool]
) -> Callable[[Sequence[Row]], Iterator[Reached]]:
    """The ratio of each row that is wanted, in each of our layouts."""

    def numbers(rows: Sequence[Row]) -> Iterator[Reached]:
        for one in _ours(rows, wanted):
            value = over(one)
            if value is not None:
                yield Reached(where=_where(one), value=value, needed=needed)

    return numbers


def _where(one: Shown) -> str:
    return f"{one.row['case']}, {one.row['dtype']}, {one.row['work']}, {one.layout}"


def _is(suite: str, work: str, dtype: str = "float32", holding: str = "") -> Callable[[Row], bool]:
    def wanted(row: Row) -> bool:
        same = (row["suite"], row["work"], row["dtype"]) == (suite, work, dtype)
        return same and holding in str(row["case"])

    return wanted


def _any(row: Row) -> bool:
    return True


def _is_nearest(row: Row) -> bool:
    layer = CASE[str(row["case"])].layer
    return isinstance(layer, ResizeConv) and (layer.mode, layer.kernel, row["dtype"]) == (
        "nearest",
        3,
        "float32",
    )


def _bf16_against_float32(rows: Sequence[Row]) -> Iterator[Reached]:
    """Our float32 time over our bfloat16 time of the same case."""
    wide = {
        (one.row["case"], one.row["work"], one.layout): one.ms
        for one in _ours(rows, lambda row: row["dtype"] == "float32")
    }
    for one in _ours(rows, lambda row: row["suite"] == "depthwise" and row["dtype"] == "bfloat16"):
        key = (one.row["case"], one.row["work"], one.layout)
        if key in wide:
            yield Reached(where=_where(one), value=wide[key] / one.ms, needed=1 / LEVEL)


def saving(case: Case) -> float:
    """Multiply-adds of the dense layer per one of the separable."""
    assert isinstance(case.layer, Separable)
    c, o, taps, phases = case.shape[1], case.layer.out, 16, 4
    own = taps * c + phases * c * o if case.layer.order == "depthwise-first" else c * o + taps * o
    return taps * c * o / own


def dense_over_separable(row: Row, layout: str) -> float | None:
    """How many times faster than our own fastest dense form, in whatever layout that is fastest."""
    dense = [t["ms"] for t in row["times"] if t["who"].startswith("dense ") and t["outputs"] == "reused"]
    own = [one.ms for one in shown(row) if one.layout == layout]
    return min(dense) / own[0] if dense and own else None


def _separable(rows: Sequence[Row]) -> Iterator[Reached]:
    for one in _ours(rows, lambda row: row["suite"] == "separable" and row["work"] == "forward"):
        value = dense_over_separable(one.row, one.layout)
        if value is not None:
            yield Reached(where=_where(one), value=value, needed=saving(CASE[str(one.row["case"])]) / 2)


def _training_step(rows: Sequence[Row]) -> Iterator[Reached]:
    """Ours in its own better layout, since a net may be given either."""
    for row in rows:
        if row["suite"] == "models" and row["work"] == "forward+backward" and row["threads"] == 1:
            best = min(shown(row), key=lambda one: one.ms)
            if best.over_best is not None:
                yield Reached(where=_where(best), value=best.over_best, needed=1.4)


def _memory(rows: Sequence[Row]) -> Iterator[Reached]:
    for one in _ours(rows, _any):
        if one.peak is not None and one.peak_of_pytorch is not None:
            value = (one.peak_of_pytorch + MEMORY_NOISE) / max(one.peak, 1)
            yield Reached(where=_where(one), value=value, needed=1.0)


def _beyond_cache(row: Row) -> bool:
    return (
        row["suite"] == "depthwise" and row["work"] == "forward" and float(str(row["bytes"])) > BEYOND_CACHE
    )


TARGETS = (
    Target(
        words="depthwise and fixed upsampling against PyTorch contiguous",
        needed="≥ 10×",
        numbers=_ratio(lambda one: one.over_contiguous, 10, _is("depthwise", "forward")),
    ),
    Target(
        words="the same against PyTorch's better layout",
        needed="≥ 1.5×",
        numbers=_ratio(lambda one: one.over_best, 1.5, _is("depthwise", "forward")),
    ),
    Target(
        words="the same, share of the copy rate for maps beyond the cache",
        needed="≥ 0.6",
        numbers=_ratio(lambda one: one.share, 0.6, _beyond_cache),
    ),
    Target(
        words="bfloat16 against PyTorch contiguous in bfloat16",
        needed="≥ 20×",
        numbers=_ratio(lambda one: one.over_contiguous, 20, _is("depthwise", "forward", "bfloat16")),
    ),
    Target(
        words="bfloat16 against our own float32",
        needed="not slower",
        numbers=_bf16_against_float32,
    ),
    Target(
        words="forward and backward against PyTorch contiguous",
        needed="≥ 5×",
        numbers=_ratio(lambda one: one.over_contiguous, 5, _is("depthwise", "forward+backward")),
    ),
    Target(
        words="forward and backward against PyTorch's better layout",
        needed="≥ 1.5×",
        numbers=_ratio(lambda one: one.over_best, 1.5, _is("depthwise", "forward+backward")),
    ),
    Target(
        words="bicubic against PyTorch contiguous",
        needed="≥ 15×",
        numbers=_ratio(lambda one: one.over_contiguous, 15, _is("depthwise", "forward", holding="bicubic")),
    ),
    Target(
        words="nearest ×2 and 3x3 convolution against PyTorch's better layout",
        needed="≥ 1.8×",
        numbers=_ratio(
            lambda one: one.over_best, 1.8, lambda row: _is_nearest(row) and row["work"] == "forward"
        ),
    ),
    Target(
        words="separable transposed convolution against our own fastest dense form",
        needed="≥ half its saving in multiply–adds",
        numbers=_separable,
    ),
    Target(
        words="training step of DCGAN's generator against PyTorch's better layout",
        needed="≥ 1.4×",
        numbers=_training_step,
    ),
    Target(
        words="nothing slower than PyTorch's better layout by more than 5 %",
        needed=f"≥ {1 / LEVEL:.2f}×",
        numbers=_ratio(lambda one: one.over_best, 1 / LEVEL, _any),
    ),
    Target(
        words="peak memory against PyTorch's in the same layout",
        needed="never above",
        numbers=_memory,
    ),
)
