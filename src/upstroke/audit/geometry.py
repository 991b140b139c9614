"""Turn what a geometry probe located into how far it is from what the grids say, join by join."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from upstroke.graph import Branching, Graph, Lost, Measured, Place, Unmeasured, places

__all__ = ["TOLERANCE", "JoinGeometry", "geometry_record", "join_geometry"]

Plain = Any
Located = Mapping[str, Measured | Unmeasured]

# In input pixels: what is left of a ramp in float32 is far below, and half a sample of any layer far above.
TOLERANCE = 0.05
UNMET = Unmeasured(reason="it was not met by the probe")


@dataclass(frozen=True, kw_only=True)
class JoinGeometry:
    """The drift of a join as its grids say and as uniform kernels show it, in input pixels per axis.

    Attributes:
        name: what the model calls the join.
        nominal: mean drift by the algebra; None where branches cannot be compared.
        measured: the same, read off the positions that went through the model.
        difference: largest distance, over axes, branches and their outermost parts, between the positions
            that the algebra gives and those that were measured.
        reason: why there is nothing to compare; empty where there is.
    """

    name: str
    nominal: tuple[float, ...] | None
    measured: tuple[float, ...] | None
    difference: float | None
    reason: str

    @property
    def agrees(self) -> bool | None:
        """Whether both say the same to `TOLERANCE`; None where there is nothing to compare."""
        return None if self.difference is None else self.difference <= TOLERANCE


def join_geometry(branching: Branching, measured: Located) -> JoinGeometry:
    """Compare the drift of a join with what was measured of its branches."""
    nominal = None if branching.mean_drift is None else tuple(map(float, branching.mean_drift))
    reason = branching.reason
    pairs = [
        (branch.place, found)
        for branch in sorted(branching.branches, key=lambda branch: branch.site is None)
        if isinstance(branch.place, Place)
        for found in [measured.get(branch.tensor, UNMET)]
    ]
    seen = [(place, found) for place, found in pairs if isinstance(found, Measured)]
    reason = reason or next((why for place, found in pairs if (why := _incomparable(place, found))), "")
    if reason:
        return JoinGeometry(
            name=branching.node.name, nominal=nominal, measured=None, difference=None, reason=reason
        )
    distances = [
        tuple(x - y for x, y in zip(a.offset, b.offset, strict=True))
        for (_, a), (_, b) in combinations(seen, 2)
    ]
    return JoinGeometry(
        name=branching.node.name,
        nominal=nominal,
        measured=tuple(max(axis, key=abs) for axis in zip(*distances, strict=True)),
        difference=max(distance(place, found) for place, found in seen),
        reason="",
    )


def distance(place: Place, found: Measured) -> float:
    """How far a place is from what was measured: the largest difference of an offset or a spacing."""
    grids = ((place.grid, found.offset), (place.first, found.first), (place.last, found.last))
    numbers = [*((grid.offset, offset) for grid, offset in grids), (place.grid.spacing, found.spacing)]
    return max(abs(float(a) - b) for said, seen in numbers for a, b in zip(said, seen, strict=True))


def _incomparable(place: Place | Lost, found: Measured | Unmeasured) -> str:
    """Why a place and a measurement cannot be compared; empty where they can."""
    for each in (place, found):
        if isinstance(each, Lost | Unmeasured):
            return each.reason
    assert isinstance(place, Place)
    assert isinstance(found, Measured)
    if len(place.grid.offset) != len(found.offset):
        return f"its grid has {len(place.grid.offset)} axes, and {len(found.offset)} were measured"
    return ""


def geometry_record(
    graph: Graph, branchings: Sequence[Branching], measured: Located, *, reason: str = ""
) -> dict[str, Plain]:
    """Write what a geometry probe found of a model's joins and outputs, and whether its grids say the same.

    Where it could not be made, `reason` says why.

    >>> import torch
    >>> from upstroke.graph.torch import record
    >>> down, up = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1), torch.nn.Upsample(scale_factor=2)
    >>> net = torch.nn.Sequential(down, up)
    >>> graph = record(net, [torch.rand(1, 3, 16, 24)], geometry=True)
    >>> [output] = geometry_record(graph, [], graph.measured)["outputs"]
    >>> output["nominal"], output["agrees"]
    ([-0.5, -0.5], True)
    """
    joined = [_join(join_geometry(each, measured)) for each in branchings]
    outputs = list(_outputs(graph, measured))
    compared = [each["difference"] for each in (*joined, *outputs) if each["difference"] is not None]
    return {
        "tolerance": TOLERANCE,
        "joins": joined,
        "outputs": outputs,
        "compared": len(compared),
        "disagreeing": sum(difference > TOLERANCE for difference in compared),
        "largest_difference": max(compared, default=None),
        "reason": reason or None,
    }


def _join(geometry: JoinGeometry) -> dict[str, Plain]:
    return {
        "name": geometry.name,
        "nominal": None if geometry.nominal is None else list(geometry.nominal),
        "measured": None if geometry.measured is None else list(geometry.measured),
        "difference": geometry.difference,
        "agrees": geometry.agrees,
        "reason": geometry.reason or None,
    }


def _outputs(graph: Graph, measured: Located) -> Iterator[dict[str, Plain]]:
    located = places(graph)
    for name in graph.outputs:
        place = located.get(name, Lost(reason="it is no map of the model"))
        found = measured.get(name, UNMET)
        reason = _incomparable(place, found)
        apart = None
        if not reason and isinstance(place, Place) and isinstance(found, Measured):
            apart = distance(place, found)
        yield {
            "name": name,
            "nominal": [float(each) for each in place.grid.offset] if isinstance(place, Place) else None,
            "measured": list(found.offset) if isinstance(found, Measured) else None,
            "difference": apart,
            "agrees": None if apart is None else apart <= TOLERANCE,
            "reason": reason or None,
        }
