"""Model to graph, one form for all sources: its upsampling sites, their linear chains, its joins."""

from upstroke.graph.affine_of import affine_of, is_linear
from upstroke.graph.form import Graph, Node, Shape
from upstroke.graph.measured import Measured, Unmeasured
from upstroke.graph.patterns import (
    CommutedPointwise,
    FoldedPointwise,
    MergedResize,
    commuted_pointwise,
    folded_pointwise,
    merged_resize,
)
from upstroke.graph.places import Lost, Place, places
from upstroke.graph.rearrange import pixel_shuffle_of, with_shuffles
from upstroke.graph.sites import Branch, Branching, Site, joins, reductions, sites

__all__ = [
    "Branch",
    "Branching",
    "CommutedPointwise",
    "FoldedPointwise",
    "Graph",
    "Lost",
    "Measured",
    "MergedResize",
    "Node",
    "Place",
    "Shape",
    "Site",
    "Unmeasured",
    "affine_of",
    "commuted_pointwise",
    "folded_pointwise",
    "is_linear",
    "joins",
    "merged_resize",
    "pixel_shuffle_of",
    "places",
    "reductions",
    "sites",
    "with_shuffles",
]
