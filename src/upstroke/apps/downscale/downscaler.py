"""Coarse fields become fine ones by a fixed kernel, with block means that are the coarse values.

Of means, x_B = sum of a f y over the block / sum of a f, with areas a and the valid fraction f of each fine
cell (1 where no mask is given). Of totals, x_B = sum of y: the density x / sum of a f is refined, and each
fine cell holds its a f of it. The steps: land is filled (`fill`), the prefilter (D T)^-1 of each axis makes
the kernel keep whole blocks, blocks with a coast are made right (`coasts`), and what has no value is NaN.

How exact: |D y - x| is at most 1e-6 in float32 and 1e-12 in float64 of max(|x|, D |y|) in every block, and
the same of the sum of |x| for the sum of all, both weighted by what counts. D |y|, the mean absolute value
in the block (for totals the sum), matters where positive and negative samples cancel: there no float is
exact to a part of x alone.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from dataclasses import fields as dataclass_fields
from functools import cached_property
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from upstroke.apps.downscale.cells import Cells
from upstroke.apps.downscale.coasts import Coasts, coasts
from upstroke.apps.downscale.fill import LandFill, land_fill
from upstroke.apps.downscale.rounding import mend_whole_blocks
from upstroke.axes import times, whole_per_axis
from upstroke.errors import OptionError, ShapeError
from upstroke.ops import Correction, Prefilter, corrected, prefilter, upsample
from upstroke.polyphase import Border, Polyphase, bspline, cubic, linear, nearest

__all__ = ["Downscaler", "FixedMethod", "Quantity", "downscaler"]

FixedMethod = Literal["nearest", "linear", "cubic"]
Quantity = Literal["mean", "total"]

# Masks that are kept; sea ice brings a new one with every step, and each takes a few bytes per fine cell.
MOST_MASKS = 8
# Of a block's mean: a sample at which the kernel falls below 0 keeps this much under softmax.
LEAST_SHARE = 1e-9

Kept = TypeVar("Kept")


class _Recent:
    """The few things made last, by key; safe in threads, empty again in a copy or another process."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def __reduce__(self) -> tuple[type["_Recent"], tuple[()]]:
        return _Recent, ()

    def get(self, key: bytes, make: Callable[[], Kept]) -> Kept:
        """What was kept under the key, or else what is made, which may happen in two threads at once."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                found: Kept = self._kept[key]
                return found
        made = make()
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > MOST_MASKS:
                self._kept.popitem(last=False)
        return made


@dataclass(frozen=True, kw_only=True, eq=False)
class _Mask:
    """What one mask of coarse cells makes of fields: how it is filled, and what becomes of each fine cell."""

    fill: LandFill | None  # None: nothing is missing
    finish: NDArray[np.floating] | None  # added to means, multiplied with densities; NaN: no value


@dataclass(frozen=True, kw_only=True, eq=False)
class Downscaler:
    """Refines fields from coarse cells to fine ones; made by `downscaler`, and may be pickled.

    Attributes:
        coarse: The cells that fields come on.
        fine: The cells that they go to: each coarse one in factor[0] x factor[1] equal parts, without rows of
            parts that lie beyond a pole.
        factor: Parts along y and x.
        method: The kernel.
        conserve: Whether block means, or totals, come out as they went in.
        form: How the last correction changes a block.
        quantity: Whether a value is a mean over its cell or the total in it.
        fraction: Of each fine cell, the part that is valid; None: all of it.
    """

    coarse: Cells
    fine: Cells
    factor: tuple[int, int]
    method: FixedMethod
    conserve: bool
    form: Correction
    quantity: Quantity
    fraction: NDArray[np.float64] | None
    _masks: _Recent = field(default_factory=_Recent, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # what is made of these takes megabytes to send and a tenth of a second to make again
        return {each.name: getattr(self, each.name) for each in dataclass_fields(self)}

    def __call__(self, fields: NDArray[Any]) -> NDArray[Any]:
        """Refine fields (..., y, x) to (..., fine y, fine x) of the same dtype; NaN is no value.

        Each step along the leading axes has its own mask. Where a coarse cell has no value its block has
        none, nor has any fine cell whose valid fraction is 0.

        Raises:
            ShapeError: The fields are not on the coarse cells.
            OptionError: The fields are neither float32 nor float64, or a value is infinite.
        """
        steps = self._checked(fields)
        groups = list(_by_mask(np.isfinite(steps)))
        if len(groups) == 1:
            fine = self._refined(steps, groups[0][1])
        else:
            fine = np.empty((len(steps), *self.fine.shape), steps.dtype)
            for which, valid in groups:
                fine[which] = self._refined(steps[which], valid)
        return fine.reshape(*fields.shape[:-2], *self.fine.shape)

    def block_means(self, fine_fields: NDArray[Any]) -> NDArray[np.float64]:
        """What coarse cells hold of fine fields (..., fine y, fine x): means over what is valid, or totals.

        This is what equals the fields that were refined. Summed in float64; NaN where a fine cell that counts
        has no value, and where none counts.

        Raises:
            ShapeError: The fields are not on the fine cells.
        """
        self._check_shape(fine_fields, self.fine, "fine")
        counted = self._weights > 0
        weights = self._weights if self.quantity == "mean" else counted.astype(np.float64)
        total = self._sums(weights)
        total = np.where(total > 0, total, np.nan)
        flat = fine_fields.reshape(-1, *self.fine.shape)
        means = np.empty((len(flat), *self.coarse.shape))
        for mean, fine in zip(means, flat, strict=True):
            whole = np.zeros(self._weights.shape)
            whole[self._kept_rows] = fine
            sums = self._sums(np.where(counted, whole, 0.0) * weights)
            mean[...] = sums / total if self.quantity == "mean" else np.where(total > 0, sums, np.nan)
        return means.reshape(*fine_fields.shape[:-2], *self.coarse.shape)

    def lost(self, fields: NDArray[Any]) -> int:
        """Number of values, over all steps, that cannot be kept: no fine cell of their block is valid.

        Raises:
            ShapeError: The fields are not on the coarse cells.
        """
        self._check_shape(fields, self.coarse, "coarse")
        return int(np.isfinite(fields[..., ~self._is_held]).sum())

    def _checked(self, fields: NDArray[Any]) -> NDArray[Any]:
        """The fields as steps (steps, y, x), in the byte order of this machine."""
        self._check_shape(fields, self.coarse, "coarse")
        if fields.dtype.kind != "f" or fields.dtype.itemsize not in (4, 8):
            msg = f"fields must be float32 or float64; got {fields.dtype}: convert them first"
            raise OptionError(msg)
        infinite = np.isinf(fields)
        if infinite.any():
            first = tuple(int(i) for i in np.argwhere(infinite)[0])
            msg = (
                f"fields must be finite, or NaN where there is no value; got {int(infinite.sum())} infinite "
                f"values, the first at {first}: mask them"
            )
            raise OptionError(msg)
        return fields.astype(fields.dtype.newbyteorder("="), copy=False).reshape(-1, *self.coarse.shape)

    @staticmethod
    def _check_shape(fields: NDArray[Any], cells: Cells, name: str) -> None:
        if fields.shape[-2:] != cells.shape:
            msg = (
                f"fields must end in {times(cells.shape)}, the {name} cells along {cells.y.name} and "
                f"{cells.x.name}; got shape {fields.shape}"
            )
            raise ShapeError(msg)

    def _refined(self, x: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
        """Refine steps that share one mask."""
        mask = self._masks.get(np.packbits(valid).tobytes(), lambda: self._mask(valid))
        wanted = x.astype(np.float64)
        if self.quantity == "total":
            wanted = wanted / self._totals
        y = _upsampled(self._coefficients(wanted, valid, mask).astype(x.dtype, order="C"), self._kernel)
        if self._is_solved:
            self._correct(y, wanted)
        if mask.finish is not None:
            change = np.add if self.quantity == "mean" else np.multiply
            finish = mask.finish.astype(x.dtype, copy=False)
            for step in y:
                change(step, finish, out=step)
        return y[:, self._kept_rows]

    def _coefficients(
        self, wanted: NDArray[np.float64], valid: NDArray[np.bool_], mask: _Mask
    ) -> NDArray[np.float64]:
        """What the kernel has to refine (steps, y, x), without a gap."""
        if mask.fill is None and self._coasts is None:
            return self._solved(wanted, (-2, -1))
        # what follows reads single cells, each with all its steps
        steps_last = np.ascontiguousarray(np.moveaxis(wanted, 0, -1))
        filled = steps_last if mask.fill is None else mask.fill.steps_last(steps_last)
        coefficients = self._solved(filled, (0, 1))
        if self._coasts is not None:
            coefficients = self._coasts.improved(
                coefficients, steps_last, valid, lambda missing: self._solved(missing, (0, 1))
            )
        return np.moveaxis(coefficients, -1, 0)

    def _solved(self, x: NDArray[np.float64], axes: tuple[int, int]) -> NDArray[np.float64]:
        """(D T)^-1 of whole blocks, axis by axis; x itself where nothing is to be solved."""
        solved = torch.from_numpy(x)
        for dim, one in zip(axes, self._prefilters, strict=True):
            solved = solved if one is None else one(solved, dim=dim)
        array: NDArray[np.float64] = solved.numpy()
        return array

    def _correct(self, y: NDArray[Any], wanted: NDArray[np.float64]) -> None:
        """Make the means of the blocks those that are wanted, in place."""
        if self.form != "additive":
            self._correct_by_form(y, wanted)
            return
        if self._coasts is not None:
            self._coasts.correct(y, wanted)
        if y.dtype == np.float32:
            besides = None if self._coasts is None else self._coasts.blocks
            mend_whole_blocks(y, wanted, self._rows, self.factor, besides=besides)

    def _correct_by_form(self, y: NDArray[Any], wanted: NDArray[np.float64]) -> None:
        weights = torch.from_numpy(self._weights)
        for step, means in zip(y, wanted, strict=True):
            changed = self._logits(step, means) if self.form == "softmax" else step.astype(np.float64)
            new = corrected(
                torch.from_numpy(changed),
                torch.from_numpy(means),
                self.factor,
                weights=weights,
                form=self.form,
            )
            step[...] = new.numpy()

    def _logits(self, y: NDArray[Any], means: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithms of what has the sign of its block's mean: softmax scales it and drops the rest."""
        spread = means.repeat(self.factor[0], axis=0).repeat(self.factor[1], axis=1)
        spread = np.where(np.isfinite(spread), spread, 0.0)
        size = np.maximum(y * np.sign(spread), LEAST_SHARE * np.abs(spread))
        logits: NDArray[np.float64] = np.log(np.maximum(size, np.finfo(np.float64).tiny))
        return logits

    def _mask(self, valid: NDArray[np.bool_]) -> _Mask:
        """What fields that have a value in these cells need."""
        known = valid & (self._totals > 0) if self.quantity == "total" else valid
        fill = None if known.all() else land_fill(known, is_periodic=self._is_periodic)
        if valid.all() and self.fraction is None and self.quantity == "mean":
            return _Mask(fill=fill, finish=None)
        here = valid.repeat(self.factor[0], axis=0).repeat(self.factor[1], axis=1) & (self._weights > 0)
        factors = np.zeros(here.shape) if self.quantity == "mean" else self._weights
        finish = np.where(here, factors, np.nan)
        # 0 and NaN are the same in both; half the bytes to read for every step
        return _Mask(fill=fill, finish=finish.astype(np.float32) if self.quantity == "mean" else finish)

    @property
    def _is_periodic(self) -> tuple[bool, bool]:
        return self.coarse.y.is_periodic, self.coarse.x.is_periodic

    @property
    def _is_solved(self) -> bool:
        """Whether the kernel has to be prefiltered: nearest keeps any mean as it is."""
        return self.conserve and self.method != "nearest"

    @cached_property
    def _dropped(self) -> tuple[int, int]:
        """Fine rows that were dropped beyond the poles, before the first and after the last."""
        return self.coarse.refined(self.factor)[1]

    @cached_property
    def _kept_rows(self) -> slice:
        return slice(self._dropped[0], self._dropped[0] + self.fine.shape[0])

    @cached_property
    def _rows(self) -> NDArray[np.float64]:
        """What the rows of all parts of coarse cells count, 0 for those that are dropped."""
        return np.pad(self.fine.y.weights, self._dropped)

    @cached_property
    def _areas(self) -> NDArray[np.float64]:
        """Areas of all parts of coarse cells, 0 in rows that are dropped."""
        return np.pad(self.fine.areas(), (self._dropped, (0, 0)))

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        """What all parts of coarse cells count: area times valid fraction."""
        if self.fraction is None:
            return self._areas
        return self._areas * np.pad(self.fraction, (self._dropped, (0, 0)))

    @cached_property
    def _totals(self) -> NDArray[np.float64]:
        """What counts in each block."""
        totals = self._sums(self._weights)
        return np.where(totals > 0, totals, np.nan)

    @cached_property
    def _is_held(self) -> NDArray[np.bool_]:
        """Blocks in which anything counts."""
        return self._totals > 0

    @cached_property
    def _axes(self) -> tuple[Polyphase, Polyphase]:
        """The kernel of each axis."""
        borders: list[Border] = ["circular" if periodic else "clamp" for periodic in self._is_periodic]
        y, x = (
            replace(_kernel(self.method, s, conserve=self.conserve), border=(border,))
            for s, border in zip(self.factor, borders, strict=True)
        )
        return y, x

    @cached_property
    def _kernel(self) -> Polyphase:
        """Both axes in one operator."""
        borders = tuple(axis.border[0] for axis in self._axes)
        return replace(_kernel(self.method, self.factor, conserve=self.conserve), border=borders)

    @cached_property
    def _prefilters(self) -> tuple[Prefilter | None, Prefilter | None]:
        if not self._is_solved:
            return None, None
        weights = self._rows, self.fine.x.weights
        y, x = (
            prefilter(axis, size, weights=torch.from_numpy(one))
            for axis, size, one in zip(self._axes, self.coarse.shape, weights, strict=True)
        )
        return y, x

    @cached_property
    def _coasts(self) -> Coasts | None:
        if self.fraction is None or not self._is_solved:
            return None
        return coasts(self._areas, np.pad(self.fraction, (self._dropped, (0, 0))), self._axes)

    def _sums(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over blocks of (all fine y, fine x)."""
        (rows, columns), (sy, sx) = self.coarse.shape, self.factor
        sums: NDArray[np.float64] = samples.reshape(rows, sy, columns, sx).sum(axis=(1, 3))
        return sums


def downscaler(
    coarse: Cells,
    factor: int | tuple[int, int],
    *,
    method: FixedMethod = "cubic",
    conserve: bool = True,
    correction: Correction = "additive",
    quantity: Quantity = "mean",
    fraction: NDArray[np.float64] | None = None,
) -> Downscaler:
    """What refines fields on these cells by a whole factor.

    Args:
        coarse: The cells that fields come on.
        factor: Parts of a cell along y and x, or one number for both.
        method: "nearest" copies, "linear" and "cubic" (the B-spline of degree 3) are smooth.
        conserve: Keep the mean, or the total, of every block; False gives the plain kernel for comparison,
            and then "cubic" is cubic convolution, PyTorch's bicubic (a = -0.75): a B-spline without its
            prefilter only blurs.
        correction: How a block is brought to its mean: "additive", "multiplicative", or "softmax", under
            which all samples of a block have the sign of its mean: for fields that are nowhere negative.
        quantity: Whether a value is a mean over its cell, as a temperature, or the total in it, as a mass.
        fraction: Of each fine cell, the part that is valid, from 0 to 1; None: all of it.

    Raises:
        ShapeError: The fraction is not on the fine cells, or there is not one factor per axis.
        OptionError: There is no such method, correction or quantity, a factor is below 1, or a fraction is
            outside 0 to 1.

    >>> from upstroke.apps.downscale.cells import CellAxis
    >>> axes = [CellAxis(name=n, kind="projected", edges=np.arange(5.0), is_periodic=False) for n in "yx"]
    >>> refine = downscaler(Cells(y=axes[0], x=axes[1]), 2)
    >>> field = np.arange(16.0).reshape(4, 4) ** 2
    >>> fine = refine(field)
    >>> fine.shape, np.allclose(fine.reshape(4, 2, 4, 2).mean(axis=(1, 3)), field, rtol=1e-12)
    ((8, 8), True)
    """
    for name, given, known in (
        ("method", method, FixedMethod),
        ("correction", correction, Correction),
        ("quantity", quantity, Quantity),
    ):
        if given not in get_args(known):
            msg = f"{name} must be one of {', '.join(get_args(known))}; got {given!r}"
            raise OptionError(msg)
    rows, columns = whole_per_axis(factor, 2, name="the factor", least=1)
    fine, _ = coarse.refined((rows, columns))
    made = Downscaler(
        coarse=coarse,
        fine=fine,
        factor=(rows, columns),
        method=method,
        conserve=conserve,
        form=correction,
        quantity=quantity,
        fraction=None if fraction is None else _checked_fraction(fraction, fine),
    )
    # made here and not in the first of many threads
    _ = made._kernel, made._prefilters, made._coasts
    return made


def _checked_fraction(fraction: NDArray[np.float64], fine: Cells) -> NDArray[np.float64]:
    if fraction.shape != fine.shape:
        msg = (
            f"fraction must have shape {times(fine.shape)}, one number for each fine cell along "
            f"{fine.y.name} and {fine.x.name}; got {times(fraction.shape)}"
        )
        raise ShapeError(msg)
    outside = ~((fraction >= 0) & (fraction <= 1))
    if outside.any():
        msg = (
            f"fraction must be from 0 to 1 everywhere; got {int(outside.sum())} others, "
            f"such as {fraction[outside][0]}"
        )
        raise OptionError(msg)
    return fraction.copy()


def _kernel(method: FixedMethod, scale: int | tuple[int, int], *, conserve: bool) -> Polyphase:
    ndim = 1 if isinstance(scale, int) else len(scale)
    if method == "nearest":
        return nearest(scale, ndim=ndim)
    if method == "linear":
        return linear(scale, ndim=ndim)
    return bspline(scale, ndim=ndim) if conserve else cubic(scale, ndim=ndim)


def _upsampled(coefficients: NDArray[Any], kernel: Polyphase) -> NDArray[Any]:
    array: NDArray[Any] = upsample(torch.from_numpy(coefficients)[:, None], kernel)[:, 0].numpy()
    return array


def _by_mask(valid: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.bool_]]]:
    """Bring steps (steps, y, x) of one mask together: the numbers of the steps, and their mask."""
    if len(valid) and (valid == valid[0]).all():
        yield np.arange(len(valid)), valid[0]
        return
    together: dict[bytes, list[int]] = {}
    for step, mask in enumerate(valid):
        together.setdefault(np.packbits(mask).tobytes(), []).append(step)
    for steps in together.values():
        yield np.array(steps), valid[steps[0]]
