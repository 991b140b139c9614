"""Turn a graph into the exact changes that its sites allow in one round, or the reasons for none."""

from collections.abc import Iterator, Sequence
from typing import get_args

from upstroke.graph import Graph, Site
from upstroke.graph import sites as sites_of
from upstroke.graph.patterns import resize_row
from upstroke.graph.steps import PerChannel, PixelShuffle, Resize, TransposedConvolution, Upsampling
from upstroke.rewrite.change import Change, Code, Left
from upstroke.rewrite.changes_asked import Asked, Found, Target
from upstroke.rewrite.changes_left import QUANTISED, is_quantised
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
    wanted = (select,) if isinstance(select, str) else tuple(select)
    asked = Asked(
        graph=graph,
        target=target,
        codes=tuple(code for code in every if not select or code.startswith(wanted)),
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
    if is_quantised(site.layer, asked.graph):
        yield Left(site=site.name, codes=(), reason=QUANTISED)
        return
    step, found = site.node.step, list[Found]()
    if isinstance(step, Resize):
        found += resize_changes(site, asked)
    elif isinstance(step, TransposedConvolution):
        found += transposed_changes(site, asked)
    elif isinstance(step, PixelShuffle):
        found += shuffle_changes(site, asked)
    elif isinstance(step, Upsampling):
        commuted = commuted_change(site, asked)
        found += [] if commuted is None else [commuted]
    yield from found
    if "fold" in asked.codes:
        yield from _norms_by_the_map(site, found, asked)


def _norms_by_the_map(site: Site, found: Sequence[Found], asked: Asked) -> Iterator[Left]:
    """A batch normalisation behind the site that is no numbers per channel, and so stays."""
    changed = [each.last for each in found if isinstance(each, Change)]
    row = resize_row(site, asked.graph)
    last = changed[0] if changed else (site.node if row is None else row.convolution).output
    behind = asked.graph.only_consumer(last)
    if behind is None or isinstance(behind.step, PerChannel):
        return
    if "batchnorm" in behind.operator.lower().replace("_", ""):
        reason = (
            f"{behind.operator} {behind.name} normalises by the statistics of the map itself, so that it has "
            "no numbers per channel to fold"
        )
        yield Left(site=site.name, codes=("fold",), reason=reason)
