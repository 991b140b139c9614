"""Fine fields for tests of training: random walks on a globe, with land."""

import numpy as np


def a_field(steps=1, rows=72, columns=96, *, seed=0, land=True, step=2.5, first=-90.0):
    import xarray

    draw = np.random.default_rng(seed)
    values = draw.standard_normal((steps, rows, columns)).cumsum(axis=1).cumsum(axis=2).astype(np.float32)
    if land:
        values[:, 20:31, 40:47] = np.nan
    turn = 360 / columns
    return xarray.Dataset(
        {"sst": (("time", "lat", "lon"), values), "ice": (("time", "lat", "lon"), values[:, ::-1].copy())},
        coords={
            "lat": ("lat", first + step * (np.arange(rows) + 0.5), {"units": "degrees_north"}),
            "lon": ("lon", turn * (np.arange(columns) + 0.5), {"units": "degrees_east"}),
        },
    )
