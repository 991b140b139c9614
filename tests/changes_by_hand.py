"""Changes made by hand from recorded modules, in double precision: nothing here looks for patterns."""

from dataclasses import fields, replace
from functools import reduce

from torch import Tensor, nn

from upstroke.graph import affine_of
from upstroke.graph.steps import Convolution, Pad, PixelShuffle, Resize
from upstroke.graph.torch import record
from upstroke.graph.torch_calls import Calls
from upstroke.polyphase import compose_affine
from upstroke.rewrite.change import Change, Commuted, Shuffled, Together


def doubled(step):
    """The step with its tensors in double precision, and reflection read as clamping."""
    step = replace(
        step,
        **{
            field.name: getattr(step, field.name).detach().double()
            for field in fields(step)
            if isinstance(getattr(step, field.name), Tensor)
        },
    )
    # one sample by reflection after a nearest resize is the sample that clamping gives
    return (
        replace(step, border="clamp") if isinstance(step, Pad | Convolution) and step.border is None else step
    )


def together(nodes, *, ndim, site="up", codes=("UP301",), forms=("transposed",)) -> Change:
    maps = [affine_of(doubled(node.step), ndim=ndim) for node in nodes]
    return change_of(nodes, Together(affine=reduce(compose_affine, maps)), codes, forms, site)


def commuted(nodes, *, site="up") -> Change:
    resize, convolution = nodes[0].step, nodes[-1].step
    return change_of(
        nodes, Commuted(convolution=convolution, resize=resize, bias=None), ("UP302",), ("commuted",), site
    )


def shuffled(node, *, site="up") -> Change:
    assert isinstance(node.step, PixelShuffle)
    return change_of((node,), Shuffled(shuffle=node.step), ("shuffle",), ("depth to space",), site)


def change_of(nodes, does, codes, forms, site) -> Change:
    return Change(
        site=site,
        codes=codes,
        nodes=tuple(nodes),
        first=nodes[0].inputs[0],
        last=nodes[-1].output,
        does=does,
        forms=forms,
        words="",
    )


def read(module: nn.Module, *inputs):
    """The graph of a module, and which maps its parts take and give."""
    calls = Calls()
    return record(module, list(inputs), calls=calls), calls


def resize_convs(graph, *, ndim) -> list[Change]:
    """Every nearest resize with what follows it up to a convolution that alone takes its map."""
    found = []
    for node in graph.nodes:
        if isinstance(node.step, Resize) and node.step.mode == "nearest":
            row, behind = [node], graph.only_consumer(node.output)
            while behind is not None and isinstance(behind.step, Pad):
                row, behind = [*row, behind], graph.only_consumer(behind.output)
            if behind is not None and isinstance(behind.step, Convolution):
                found.append(together([*row, behind], ndim=ndim, site=node.name))
    return found


def relative(actual: Tensor, expected: Tensor) -> float:
    """The largest difference, in units of the largest value."""
    assert actual.shape == expected.shape
    return float((actual - expected).detach().abs().max() / expected.detach().abs().max().clamp(min=1e-30))
