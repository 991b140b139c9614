"""Turn a graph into the exact changes that its sites allow in one round, or the reasons for none."""

from collections.abc import Iterator, Sequence
from typing import get_args

from upstroke.graph import Graph, Site
from upstroke.graph import sites as sites_of
from upstroke.graph.steps import PixelShuffle, Resize, TransposedConvolution, Unread, Upsampling
from upstroke.rewrite.change import Change, Code, Left
from upstroke.rewrite.changes_asked import Asked, Found, Target
from upstroke.rewrite.changes_left import reason_to_leave
from upstroke.rewrite.changes_resize import commuted_change, resize_changes
from upstroke.rewrite.changes_scales import same_scales
from upstroke.rewrite.changes_shuffle import shuffle_changes
from upstroke.rewrite.changes_transposed import transposed_changes

__all__ = ["changes", "same_scales"]


def changes(
    graph: Graph,
    *,
    target: Target,
    select: Sequence[str] = (),
    sites: Sequence[str] = (),
    others: Sequence[Graph] = (),
) -> tuple[Change | Left, ...]:
    """The changes of one round, none of which touches what another does, and the sites that stay.

    What two sites share goes to the first; read the changed model again and ask again until no change is
    left.

    Args:
        graph: the model.
        target: what the changed model is to be.
        select: codes of what is to be changed, or what they begin with; by default all.
        sites: names of the sites to look at; by default all.
        others: the same model read at other sizes, odd ones too, for `same_scales`: a resize that was given
            a size is changed only where they confirm that its scale stays, unless the model has one size.

    >>> import torch
    >>> from upstroke.graph.torch import record
    >>> net = torch.nn.Sequential(torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(3, 4, 3, padding=1))
    >>> (change,) = changes(record(net, [torch.rand(1, 3, 5, 7)]), target="pytorch")
    >>> change.words, change.does.affine.operator.kernel, change.forms[0]
    ('Upsample 0 and Conv2d 1 become one operator', (3, 3), 'native')
    """
    every: tuple[Code, ...] = get_args(Code)
    asked = Asked(
        graph=graph,
        target=target,
        codes=tuple(code for code in every if not select or code.startswith(tuple(select))),
        confirmed=frozenset(same_scales(graph, others)),
    )
    found: list[Found] = []
    taken: set[str] = set()
    for site in sites_of(graph):
        if sites and site.name not in sites:
            continue
        for each in _of_site(site, asked):
            if isinstance(each, Change):
                maps = {node.output for node in each.nodes}
                if taken & maps:
                    continue
                taken |= maps
            found.append(each)
    return tuple(found)


def _of_site(site: Site, asked: Asked) -> Iterator[Found]:
    step = site.node.step
    if isinstance(step, Resize):
        yield from resize_changes(site, asked)
    elif isinstance(step, TransposedConvolution):
        yield from transposed_changes(site, asked)
    elif isinstance(step, PixelShuffle):
        yield from shuffle_changes(site, asked)
    elif isinstance(step, Upsampling):
        commuted = commuted_change(site, asked)
        yield from () if commuted is None else (commuted,)
    elif isinstance(step, Unread):
        reason = reason_to_leave([site.node], asked.graph, composed=False)
        if reason:
            yield Left(site=site.name, codes=(), reason=reason)
