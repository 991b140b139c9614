"""Hold what counts as a site, which chain it stands in, and which joins grown maps come to."""

import pytest
import torch

from upstroke.errors import NotRepresentableError
from upstroke.graph import Graph, Node, joins, sites
from upstroke.graph.steps import (
    Convolution,
    Join,
    PerChannel,
    PixelShuffle,
    Pointwise,
    Pool,
    Resize,
    Same,
    TransposedConvolution,
    Unread,
)


def conv(channels=(4, 4), kernel=3, stride=1, border="zero"):
    pad = kernel // 2
    return Convolution(
        weight=torch.randn(channels[1], channels[0], kernel, kernel),
        bias=None,
        stride=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        dilation=(1, 1),
        border=border,
    )


def transposed(stride=2):
    return TransposedConvolution(
        weight=torch.randn(4, 4, 4, 4),
        bias=torch.zeros(4),
        stride=(stride, stride),
        padding=((1, 1), (1, 1)),
        output_padding=(0, 0),
        dilation=(1, 1),
    )


NORM = PerChannel(gain=torch.ones(4), shift=torch.zeros(4))
NEAREST = Resize(mode="nearest", scale=(2.0, 2.0), coordinates="asymmetric")
CORNERS = Resize(mode="linear", scale=(2.0, 2.0), coordinates="align_corners")
SHUFFLE = PixelShuffle(scale=(2, 1))


def graph_of(*rows, outputs=None):
    """Nodes given as (name, step, inputs); each gives a map of its own name."""
    nodes = tuple(
        Node(name=name, operator=type(step).__name__, inputs=tuple(inputs.split()), output=name, step=step)
        for name, step, inputs in rows
    )
    return Graph(
        model="m",
        source="by hand",
        nodes=nodes,
        inputs=("x",),
        outputs=outputs or (nodes[-1].output,),
        shapes={},
    )


def names(nodes):
    return " ".join(node.name for node in nodes)


def test_a_chain_runs_to_the_next_nonlinearity_on_both_sides():
    graph = graph_of(
        ("relu", Pointwise(), "x"),
        ("before", conv(), "relu"),
        ("up", transposed(), "before"),
        ("norm", NORM, "up"),
        ("after", conv(border=None), "norm"),
        ("tanh", Pointwise(), "after"),
    )
    (site,) = sites(graph)
    assert (names(site.before), names(site.layer), names(site.after)) == ("before", "up", "norm after")
    assert site.ends is not None
    assert site.ends.name == "tanh"
    assert [stage.operator.scale for stage in site.stages()] == [(1, 1), (2, 2), (1, 1), (1, 1)]


def test_a_shuffle_takes_the_convolution_before_it():
    graph = graph_of(("conv", conv(), "x"), ("shuffle", SHUFFLE, "conv"))
    (site,) = sites(graph)
    assert names(site.layer) == "conv shuffle"
    assert site.operator == "Convolution + PixelShuffle"
    assert site.affine().operator.scale == (2, 1)
    assert site.affine().operator.out_channels == 2
    assert site.ends is None


def test_a_shuffle_behind_anything_else_stands_alone():
    graph = graph_of(("conv", conv(), "x"), ("relu", Pointwise(), "conv"), ("shuffle", SHUFFLE, "relu"))
    (site,) = sites(graph)
    assert names(site.layer) == "shuffle"


@pytest.mark.parametrize(
    ("between", "why"),
    [
        (Join(kind="add"), "a join"),
        (Pool(kernel=(2, 2), stride=(2, 2), padding=((0, 0), (0, 0)), kind="max"), "a pool"),
        (conv(stride=2), "a strided convolution"),
        (CORNERS, "a resize that no operator describes"),
    ],
)
def test_a_chain_ends_at(between, why):
    inputs = "up other" if isinstance(between, Join) else "up"
    graph = graph_of(
        ("other", Pointwise(), "x"),
        ("up", transposed(), "x"),
        ("between", between, inputs),
        ("last", NORM, "between"),
    )
    site = sites(graph)[0]
    assert site.after == (), why
    assert site.ends is not None
    assert site.ends.name == "between"


def test_a_chain_ends_where_several_take_the_map_or_it_is_an_output():
    rows = [("up", transposed(), "x"), ("norm", NORM, "up"), ("relu", Pointwise(), "norm")]
    (forked,) = sites(graph_of(*rows, ("spy", Same(), "up")))
    assert forked.after == ()
    assert forked.ends is None
    (shown,) = sites(graph_of(*rows, outputs=("up", "relu")))
    assert shown.after == ()


def test_phases_that_a_strided_convolution_makes_are_not_the_shuffles_own():
    graph = graph_of(("conv", conv(stride=2), "x"), ("shuffle", SHUFFLE, "conv"))
    (site,) = sites(graph)
    assert names(site.layer) == "shuffle"


def test_nothing_stands_before_what_takes_several_maps():
    graph = graph_of(("norm", NORM, "x"), ("odd", Unread(reason="it is odd"), "norm x"))
    (site,) = sites(graph)
    assert site.before == ()


def test_what_cannot_be_read_is_a_site_with_its_reason():
    graph = graph_of(("odd", Unread(reason="it is odd"), "x"))
    (site,) = sites(graph)
    with pytest.raises(NotRepresentableError, match=r"^it is odd$"):
        site.affine()


def test_resizes_that_do_not_grow_are_no_sites():
    half = Resize(mode="linear", scale=(0.5, 1.0), coordinates="half_pixel")
    assert sites(graph_of(("half", half, "x"))) == ()
    assert len(sites(graph_of(("up", transposed(stride=1), "x")))) == 1


def test_joins_name_the_last_site_of_each_branch():
    graph = graph_of(
        ("skip", conv(), "x"),
        ("down", conv(stride=2), "skip"),
        ("up", NEAREST, "down"),
        ("smooth", conv(), "up"),
        ("cat", Join(kind="concatenate"), "smooth skip"),
        ("mix", conv((8, 4)), "cat"),
        ("add", Join(kind="add"), "mix skip"),
    )
    found = joins(graph, sites(graph))
    assert [branching.node.name for branching in found] == ["cat", "add"]
    assert [[site and site.name for site in each.sites] for each in found] == [["up", None], [None, None]]
    assert [branching.reason for branching in found] == [
        "2 branches have no place (its shape is not known)",
        "2 branches have no place (its shape is not known)",
    ]
