"""The file of a trained network refines coarse fields, of any size and place, keeping their block means."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upstroke.apps.downscale.cells import Cells
from upstroke.apps.downscale.downscaler import Downscaler, Quantity, downscaler
from upstroke.apps.downscale.fill import LandFill, land_fill
from upstroke.apps.downscale.learned.maps import Ground, maps_of, parts_of, tiles
from upstroke.apps.downscale.learned.model import Network, statics_of, unpacked
from upstroke.apps.downscale.learned.statics import Static
from upstroke.axes import times
from upstroke.errors import FileError, OptionError, ShapeError
from upstroke.files.safetensors import read_safetensors
from upstroke.ops import corrected

__all__ = ["Learned", "LearnedDownscaler", "load_learned"]

# Coarse cells along a side of what is refined at once: the channels of a network take some 100 MB for as
# many.
TILE = 256
# Of a cell's length: cells that differ more are not those that were learnt from.
ALIKE = 0.01
MOST_MASKS = 8


def load_learned(run: str | Path) -> "Learned":
    """Read what `upstroke downscale train` wrote: its folder, or the file model.safetensors in it.

    Nothing in the file is run.

    Raises:
        FileError: there is no such file, or it holds something else.
    """
    path = Path(run)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.exists():
        msg = (
            f"there must be a trained network at {path}; there is none; train one by upstroke downscale train"
        )
        raise FileError(msg)
    tensors, metadata = read_safetensors(path)
    learned = Learned(tensors=tensors, metadata=metadata, source=str(path))
    _ = learned.network
    return learned


@dataclass(frozen=True, kw_only=True, eq=False)
class Learned:
    """A trained network with all that is needed to apply it; may be pickled.

    Attributes:
        tensors: Weights and static fields by name.
        metadata: What they are: `held_out` in it has the errors where nothing was learnt from.
        source: Where it was read from.
    """

    tensors: Mapping[str, Tensor] = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False)
    source: str

    def __getstate__(self) -> dict[str, Any]:
        """The parts that it was made from: a network whose weights are held to laws cannot be pickled."""
        return {name: self.__dict__[name] for name in ("tensors", "metadata", "source")}

    @cached_property
    def network(self) -> Network:
        """The network, ready to be applied."""
        return unpacked(self.tensors, self.metadata, source=self.source)

    @cached_property
    def statics(self) -> list[Static]:
        """The static fields that were learnt with."""
        return statics_of(self.tensors, self.metadata)

    @property
    def variables(self) -> tuple[str, ...]:
        """What was learnt, in the order of a joint call."""
        return tuple(self.metadata["variables"])

    @property
    def factor(self) -> tuple[int, int]:
        """Parts of a cell along y and x."""
        return self.network.factor

    def downscaler(
        self,
        coarse: Cells,
        *,
        variable: str | None = None,
        fraction: NDArray[np.float64] | None = None,
        quantity: Quantity = "mean",
        statics: Mapping[str, NDArray[Any]] | None = None,
        conserve: bool = True,
    ) -> "LearnedDownscaler":
        """What refines fields on these cells.

        Args:
            coarse: the cells that fields come on, as long as those that were learnt from, anywhere.
            variable: which of those that were learnt; None: all together, on an axis before y and x, which is
                better than one by one where they were learnt together.
            fraction: of each fine cell, the part that is valid; None: all of it.
            quantity: whether a value is a mean over its cell or the total in it.
            statics: static fields on the fine cells by name, in place of those in the file.
            conserve: make block means exact at the end. A transposed convolution whose mass is not 1 is never
                corrected.

        Raises: OptionError: the variable was not learnt, the cells are of another size, or a static field
        does not cover them.
        """
        if variable is not None and variable not in self.variables:
            msg = (
                f"the variable must be one that was learnt, {', '.join(self.variables)}; got {variable}; "
                "rename it, "
                "or train on it"
            )
            raise OptionError(msg)
        self._check_spacing(coarse)
        fine, _ = coarse.refined(self.factor)
        fields = [self._static(each, fine, (statics or {}).get(each.name)) for each in self.statics]
        fixed = downscaler(coarse, self.factor, method="cubic", quantity=quantity, fraction=fraction)
        return LearnedDownscaler(
            learned=self,
            fixed=fixed,
            ground=Ground.of(coarse, self.factor, np.stack(fields) if fields else None),
            variable=variable,
            conserve=conserve and getattr(self.network, "mass", 1.0) == 1.0,
        )

    def _check_spacing(self, coarse: Cells) -> None:
        trained = self.metadata["trained_on"]
        wanted = [length * f for length, f in zip(trained["spacing"], self.factor, strict=True)]
        got = [abs(coarse.y.spacing), abs(coarse.x.spacing)]
        alike = all(abs(one - two) <= ALIKE * two for one, two in zip(got, wanted, strict=True))
        if not alike or trained["kind"] != coarse.y.kind:
            shown = [f"{each[0]:.6g} x {each[1]:.6g}" for each in (wanted, got)]
            msg = (
                f"the coarse cells must be as long as those that were learnt from, {shown[0]} along "
                f"{trained['kind']} and the other axis; got {shown[1]} of {coarse.y.kind}; train on fields "
                "of this size"
            )
            raise OptionError(msg)

    @staticmethod
    def _static(static: Static, fine: Cells, given: NDArray[Any] | None) -> NDArray[np.float32]:
        if given is None:
            return static.on(fine)
        if given.shape != fine.shape:
            msg = (
                f"the static field {static.name} must have shape {times(fine.shape)}, one number for each "
                "fine cell; "
                f"got {times(given.shape)}"
            )
            raise ShapeError(msg)
        return static.normalised(given)


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedDownscaler:
    """Refines fields as `Downscaler` does, by a network; made by `Learned.downscaler`, may be pickled.

    Attributes:
        learned: The network.
        fixed: The cubic that keeps means, which is its baseline.
        ground: Cells and static fields.
        variable: What the fields are; None: all that were learnt, together.
        conserve: Whether block means, or totals, come out as they went in.
        tile: Coarse cells along a side of what is refined at once.
    """

    learned: Learned
    fixed: Downscaler
    ground: Ground
    variable: str | None
    conserve: bool
    tile: int = TILE
    _fills: OrderedDict[bytes, LandFill] = field(default_factory=OrderedDict, repr=False)

    @property
    def coarse(self) -> Cells:
        """The cells that fields come on."""
        return self.fixed.coarse

    @property
    def fine(self) -> Cells:
        """The cells that they go to."""
        return self.fixed.fine

    @property
    def factor(self) -> tuple[int, int]:
        """Parts of a cell along y and x."""
        return self.fixed.factor

    @property
    def method(self) -> str:
        """Where the network was read from."""
        return self.learned.source

    @property
    def quantity(self) -> Quantity:
        """Whether a value is a mean over its cell or the total in it."""
        return self.fixed.quantity

    @property
    def fraction(self) -> NDArray[np.float64] | None:
        """Of each fine cell, the part that is valid."""
        return self.fixed.fraction

    def block_means(self, fine_fields: NDArray[Any]) -> NDArray[np.float64]:
        """What the coarse cells hold of fine fields, as of `Downscaler`."""
        return self.fixed.block_means(fine_fields)

    def lost(self, fields: NDArray[Any]) -> int:
        """Number of values that cannot be kept, as of `Downscaler`."""
        return self.fixed.lost(fields)

    def __call__(self, fields: NDArray[Any]) -> NDArray[Any]:
        """Refine fields (..., y, x), or (..., variables, y, x) of all together; NaN is no value.

        What comes out has the dtype that went in.

        Raises:
            ShapeError: The fields are not on the coarse cells, or there is not one for each variable.
            OptionError: The fields are neither float32 nor float64, or a value is infinite.
        """
        names = self.learned.variables
        together = 1 if self.variable is not None else len(names)
        # the checks are those of the fixed methods
        steps = self.fixed._checked(fields)
        if self.variable is None and (fields.ndim < 3 or fields.shape[-3] != together):
            msg = (
                f"fields that are refined together must be {', '.join(names)} along the axis before y and x; "
                "got "
                f"shape {fields.shape}; name one variable to refine it alone"
            )
            raise ShapeError(msg)
        fine = np.empty((len(steps), *self.fine.shape), steps.dtype)
        for start in range(0, len(steps), together):
            fine[start : start + together] = self._step(steps[start : start + together])
        return fine.reshape(*fields.shape[:-2], *self.fine.shape)

    def _step(self, given: NDArray[Any]) -> NDArray[Any]:
        """Refine one step of the variables that are asked for."""
        ground, network = self.ground, self.learned.network
        counted = self._counted.astype(given.dtype)
        means = given / self._totals.astype(given.dtype) if self.quantity == "total" else given
        where = [
            number for number, name in enumerate(self.learned.variables) if self.variable in (None, name)
        ]
        all_means = np.full((len(self.learned.variables), *means.shape[1:]), np.nan, given.dtype)
        all_means[where] = means
        maps = maps_of(
            ground,
            all_means,
            fractions=self._counted[None],
            refine=[self._cubic if number in where else None for number in range(len(all_means))],
            fill=self._fill,
        )
        fine = np.empty((len(where), *ground.part_areas.shape), given.dtype)
        for rows, columns in tiles(ground.cells.shape, self.tile):
            inputs = maps.cut(rows, columns, halo=network.halo)
            with torch.inference_mode():
                y = network.uncorrected(inputs)[0, where]
                if self.conserve:
                    y = corrected(y, inputs.means[0, where], self.factor, weights=inputs.weights[0, where])
            at = [
                parts_of(np.arange(r.start, r.stop), f)
                for r, f in zip((rows, columns), self.factor, strict=True)
            ]
            fine[:, at[0][0] : at[0][-1] + 1, at[1][0] : at[1][-1] + 1] = y.to(inputs.means.dtype).numpy()
        here = np.isfinite(means).repeat(self.factor[0], axis=-2).repeat(self.factor[1], axis=-1) & (
            counted > 0
        )
        if self.quantity == "total":
            fine *= self._counted * ground.part_areas
        fine = np.where(here, fine, np.nan)
        first, last = ground.dropped
        return fine[:, first : fine.shape[1] - last]

    @cached_property
    def _cubic(self) -> Downscaler:
        """The baseline, of means."""
        return replace(self.fixed, quantity="mean")

    @cached_property
    def _counted(self) -> NDArray[np.float64]:
        """What is valid of each part of a cell, 0 beyond a pole."""
        fraction = np.ones(self.fine.shape) if self.fraction is None else self.fraction
        return np.pad(fraction, (self.ground.dropped, (0, 0)))

    @cached_property
    def _totals(self) -> NDArray[np.float64]:
        """Valid area of each cell; NaN where there is none."""
        (rows, columns), (fy, fx) = self.coarse.shape, self.factor
        weights = self._counted * self.ground.part_areas
        totals = weights.reshape(rows, fy, columns, fx).sum(axis=(1, 3))
        return np.where(totals > 0, totals, np.nan)

    def _fill(self, valid: NDArray[np.bool_]) -> LandFill:
        key = np.packbits(valid).tobytes()
        made = self._fills.get(key)
        if made is None:
            made = land_fill(valid, is_periodic=self.ground.is_periodic)
            if len(self._fills) < MOST_MASKS:
                self._fills[key] = made
        return made
