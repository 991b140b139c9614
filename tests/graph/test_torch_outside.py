"""What a model makes where nothing is recorded is said to be unread, and what it returns that is no map, too."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from upstroke.audit import check
from upstroke.errors import OptionError
from upstroke.graph import sites
from upstroke.graph.steps import TransposedConvolution, Unread
from upstroke.graph.torch import record

REASON = "it was made outside of what is recorded, in another thread or in numpy, for instance"


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(2, 2, (4, 3), stride=(2, 3), padding=1)
        self.register_buffer("table", torch.rand(1, 2, 9, 11))
        self.kept = torch.rand(1, 2, 3, 4)
        self.listed = [torch.rand(1, 2, 4, 3)]

    def through_numpy(self, x):
        return torch.from_numpy(x.numpy().repeat(2, 2).repeat(3, 3))


class Threaded(Layers):
    def forward(self, x):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self.up, x).result()


class Numpy(Layers):
    def forward(self, x):
        return {"map": [self.through_numpy(x.relu())]}


class CopiedFromNumpy(Layers):
    def forward(self, x):
        return torch.tensor(self.through_numpy(x).numpy()) * 2 + self.kept.mean()


@pytest.mark.parametrize("kind", [Threaded, Numpy, CopiedFromNumpy])
def test_an_output_that_no_recorded_operator_made_is_not_read(kind):
    graph = record(kind(), [torch.rand(1, 2, 5, 7)], geometry=True)
    (site,) = sites(graph)
    assert isinstance(site.node.step, Unread)
    assert (site.name, site.node.step.reason) == ("outside", REASON)
    assert (graph.inputs, site.node.inputs, graph.outputs) == (("input",), ("input",), (site.node.output,))
    assert graph.size(site.node.output)[1] in (19, 21)
    summary = check(kind(), torch.rand(1, 2, 5, 7)).as_json()["summary"]
    assert (summary["sites"], summary["skipped"]) == (1, 1)


class GrownAfterNumpy(Layers):
    def forward(self, x):
        return self.up(self.through_numpy(x))


def test_what_grows_such_a_map_is_a_site_behind_it():
    outside, up = sites(record(GrownAfterNumpy(), [torch.rand(1, 2, 5, 7)]))
    assert outside.node.step.reason == REASON
    assert outside.name == "outside"
    assert (up.name, type(up.node.step)) == ("up", TransposedConvolution)
    assert up.node.inputs == (outside.node.output,)


CONSTANTS = {
    "parameter": lambda net, _: net.up.weight,
    "buffer": lambda net, _: net.table[:, :1],
    "attribute": lambda net, _: (net.kept * 2, net.listed[0].exp()),
    "positions": lambda _, x: torch.stack(torch.meshgrid(*map(torch.arange, x.shape[2:]), indexing="ij")),
    "drawn": lambda _, x: torch.randn_like(x),
    "empty": lambda _, x: torch.zeros_like(x) + torch.zeros(x.shape),
    "padded": lambda net, _: F.pad(net.table, (1, 2, 3, 4), mode="circular"),
    "scalar": lambda net, x: torch.tensor(float(net.through_numpy(x).mean())),
    "vector": lambda net, x: net.through_numpy(x).flatten(),
    "input": lambda _, x: x,
    "beside a map": lambda net, x: (x.exp(), net.through_numpy(x)),
}


class Gives(Layers):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, x):
        return CONSTANTS[self.what](self, x)


@pytest.mark.parametrize("what", CONSTANTS)
def test_constants_are_no_such_outputs(what):
    assert sites(record(Gives(what), [torch.rand(1, 2, 5, 7)])) == ()


def test_a_generator_that_takes_no_map_is_none_either():
    class FromLatent(Layers):
        def forward(self, latent):
            return torch.from_numpy(latent.numpy()).view(1, 2, 3, 4)

    assert sites(record(FromLatent(), [torch.rand(1, 24)])) == ()


class Yields(Layers):
    def forward(self, x):
        yield self.up(x)


class Awaits(Layers):
    async def forward(self, x):
        return self.up(x)


@pytest.mark.parametrize(("kind", "said"), [(Yields, "a generator"), (Awaits, "a coroutine")])
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_forward_that_has_not_run_is_refused(kind, said):
    msg = (
        f"the model's forward returned {said}, whose tensors are made only when they are asked for, so there "
        "is nothing to check; give a module whose forward returns its tensors"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(msg)}$"):
        record(kind(), [torch.rand(1, 2, 5, 7)])


class HoldsItself(Layers):
    def forward(self, x):
        held = [x]
        held.append(held)
        return held


def test_an_output_that_holds_itself_is_refused():
    msg = (
        "the model returned a list that holds itself, so its tensors have no end; give a module that returns "
        "them once"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(msg)}$"):
        record(HoldsItself(), [torch.rand(1, 2, 5, 7)])


@pytest.mark.parametrize(("given", "said"), [(None, "None"), ("done", "a str without tensors")])
def test_an_output_without_tensors_is_named(given, said):
    class Returns(Layers):
        def forward(self, x):
            x.exp()
            return given

    assert record(Returns(), [torch.rand(1, 2, 5, 7)]).source == f"PyTorch, where the model returned {said}"


def test_a_site_of_more_axes_than_operators_have_says_why_it_is_not_read():
    class Stuffs(nn.Module):
        """Zero stuffing as upfirdn written in PyTorch does it, with channels in the batch."""

        def forward(self, x):
            batch, channels, rows, columns = x.shape
            x = x.reshape(-1, rows, columns, 1)
            x = F.pad(x.view(-1, rows, 1, columns, 1, 1), [0, 0, 0, 1, 0, 0, 0, 2])
            x = F.pad(x.view(-1, rows * 3, columns * 2, 1), [0, 0, 2, 1, 2, 1])
            return x.permute(0, 3, 1, 2).reshape(batch, channels, rows * 3 + 3, columns * 2 + 3)

    (judged,) = check(Stuffs(), torch.rand(1, 2, 5, 7), select=["UP102"]).sites
    assert judged.reading.reason == "constant_pad_nd grows 7x1 to 14x1 in a way that is not read"
