"""Model to graph, one form for all sources: its upsampling sites, their linear chains, its joins."""

from upstroke.graph.affine_of import affine_of, is_linear
from upstroke.graph.form import Graph, Node, Shape
from upstroke.graph.places import Lost, Place, places
from upstroke.graph.rearrange import pixel_shuffle_of, with_shuffles
from upstroke.graph.sites import Branch, Branching, Site, joins, reductions, sites

__all__ = [
    "Branch",
    "Branching",
    "Graph",
    "Lost",
    "Node",
    "Place",
    "Shape",
    "Site",
    "affine_of",
    "is_linear",
    "joins",
    "pixel_shuffle_of",
    "places",
    "reductions",
    "sites",
    "with_shuffles",
]
