"""A trained network becomes tensors and plain data with all that is needed to apply it, and comes back."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from upstroke.apps.downscale.cells import Cells
from upstroke.apps.downscale.learned.networks import Residual, TransposedMass
from upstroke.apps.downscale.learned.statics import Static, axis_from_json, axis_to_json
from upstroke.errors import FileError

__all__ = ["NETWORKS", "SCHEMA", "Network", "made", "packed", "statics_of", "unpacked"]

SCHEMA = "upstroke.downscale-learned/1"
NETWORKS = {"residual": Residual, "transposed": TransposedMass}
NETWORK, STATIC = "network.", "static."

Network = Residual | TransposedMass


def made(kind: str, factor: Sequence[int], settings: Mapping[str, Any], *, dropout: float = 0.0) -> Network:
    """A network as it is before training."""
    pair = int(factor[0]), int(factor[1])
    if kind == "residual":
        return Residual(pair, **settings, dropout=dropout)
    return TransposedMass(pair, **settings)


def packed(
    network: Network,
    *,
    variables: Sequence[str],
    statics: Sequence[Static],
    trained_on: Mapping[str, Any],
    held_out: Mapping[str, Any] | None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name and plain data, for one file."""
    tensors = {f"{NETWORK}{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"{STATIC}{static.name}": torch.from_numpy(static.values) for static in statics}
    metadata = {
        "schema": SCHEMA,
        "network": next(kind for kind, one in NETWORKS.items() if isinstance(network, one)),
        "factor": list(network.factor),
        "settings": network.settings,
        "variables": list(variables),
        "statics": [
            {
                "name": static.name,
                "mean": static.mean,
                "spread": static.spread,
                "y": axis_to_json(static.cells.y),
                "x": axis_to_json(static.cells.x),
            }
            for static in statics
        ],
        "trained_on": dict(trained_on),
        "held_out": None if held_out is None else dict(held_out),
    }
    return tensors, metadata


def unpacked(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], *, source: str) -> Network:
    """The network of a file, ready to be applied.

    Raises:
        FileError: the file holds something else.
    """
    if metadata.get("schema") != SCHEMA:
        found = metadata.get("schema") or "none"
        msg = (
            f"a learned downscaling must have the schema {SCHEMA}; {source} has {found}; name the folder "
            "that upstroke downscale train wrote"
        )
        raise FileError(msg)
    try:
        network = made(metadata["network"], metadata["factor"], metadata["settings"])
        own = {name[len(NETWORK) :]: each for name, each in tensors.items() if name.startswith(NETWORK)}
        network.load_state_dict(own)
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        msg = f"the network in {source} does not fit what the file says of it; fetch it again, or train anew"
        raise FileError(msg) from error
    return network.eval().requires_grad_(requires_grad=False)


def statics_of(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> list[Static]:
    """The static fields of a file."""
    return [
        Static(
            name=words["name"],
            cells=Cells(y=axis_from_json(words["y"]), x=axis_from_json(words["x"])),
            values=tensors[f"{STATIC}{words['name']}"].numpy().astype(np.float32),
            mean=words["mean"],
            spread=words["spread"],
        )
        for words in metadata["statics"]
    ]
