"""Importing this gives every xarray dataset and array the accessor `upstroke`."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from upstroke.apps.downscale.dataset import downscale
from upstroke.apps.downscale.wanted import Correction, Mask, Quantity, Statics, Surface
from upstroke.errors import MissingExtraError

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

try:
    import xarray
except ImportError as error:
    message = "the accessor `upstroke` is one of xarray; pip install 'upstroke[climate]'"
    raise MissingExtraError(message) from error

__all__ = ["ArrayAccessor", "DatasetAccessor"]


# xarray gives the two no types
_on_datasets: Any = xarray.register_dataset_accessor
_on_arrays: Any = xarray.register_dataarray_accessor


@_on_datasets("upstroke")
class DatasetAccessor:
    """What upstroke does with a dataset: `dataset.upstroke.downscale(4)`.

    >>> import upstroke.xarray, xarray
    >>> axes = {"lat": [45.0, 15.0], "lon": [15.0, 45.0, 75.0]}
    >>> coarse = xarray.Dataset({"sst": (("lat", "lon"), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])}, axes)
    >>> coarse.upstroke.downscale((2, 3)).sst.shape
    (4, 9)
    """

    def __init__(self, dataset: "Dataset") -> None:
        self._dataset = dataset

    def downscale(
        self,
        factor: int | tuple[int, int],
        *,
        method: str | os.PathLike[str] = "cubic",
        conserve: bool = True,
        correction: Correction = "additive",
        quantity: Quantity | None = None,
        mask: Mask = None,
        valid: Surface = "sea",
        variables: Sequence[str] | None = None,
        y: str | None = None,
        x: str | None = None,
        statics: Statics = None,
    ) -> "Dataset":
        """Refine every field on the horizontal cells, so that each coarse cell keeps its mean.

        Arguments and errors as for `apps.downscale.dataset.downscale`; lazy where arrays are of dask.
        """
        return downscale(
            self._dataset,
            factor,
            method=method,
            conserve=conserve,
            correction=correction,
            quantity=quantity,
            mask=mask,
            valid=valid,
            variables=variables,
            y=y,
            x=x,
            statics=statics,
        )


@_on_arrays("upstroke")
class ArrayAccessor:
    """What upstroke does with an array: `array.upstroke.downscale(4)`.

    >>> import upstroke.xarray, xarray
    >>> axes = {"lat": [45.0, 15.0], "lon": [15.0, 45.0, 75.0]}
    >>> coarse = xarray.DataArray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], axes)
    >>> fine = coarse.upstroke.downscale((2, 3), method="nearest")
    >>> fine[0].values.tolist()
    [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0]
    """

    def __init__(self, array: "DataArray") -> None:
        self._array = array

    def downscale(
        self,
        factor: int | tuple[int, int],
        *,
        method: str | os.PathLike[str] = "cubic",
        conserve: bool = True,
        correction: Correction = "additive",
        quantity: Quantity | None = None,
        mask: Mask = None,
        valid: Surface = "sea",
        y: str | None = None,
        x: str | None = None,
        statics: Statics = None,
    ) -> "DataArray":
        """Refine the array, so that each coarse cell keeps its mean.

        Arguments and errors as for `apps.downscale.dataset.downscale`; lazy where the array is of dask.
        """
        return downscale(
            self._array,
            factor,
            method=method,
            conserve=conserve,
            correction=correction,
            quantity=quantity,
            mask=mask,
            valid=valid,
            y=y,
            x=x,
            statics=statics,
        )
