"""Hold what is found out about the sizes that PyTorch modules take, against running them at these sizes."""

import functools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import zoo
from upstroke.graph.torch import record
from upstroke.graph.torch_sizes import REAL, WITHOUT_VALUES, torch_sizes

WAYS = {REAL: 0.0, WITHOUT_VALUES: math.inf}


def sizes(module, *inputs, capture=0.0, seconds=20.0, **kwargs):
    graph = record(module, inputs, kwargs=kwargs)
    return torch_sizes(module, inputs, graph, kwargs=kwargs, capture=capture, seconds=seconds)


class UNet(nn.Module):
    """Two levels that halve the first axis and third the second, with a join of a kind."""

    def __init__(self, meet):
        super().__init__()
        self.down = nn.Conv2d(2, 3, 3, stride=(2, 3), padding=1)
        self.deep = nn.MaxPool2d((2, 1))
        self.up = nn.ConvTranspose2d(3, 3, (2, 1), stride=(2, 1))
        self.last = nn.ConvTranspose2d(3, 2, (2, 3), stride=(2, 3))
        self.meet = meet

    def forward(self, x):
        low = self.down(x)
        return self.meet(self.last(self.meet(self.up(self.deep(low)), low)), x)


class Joined(nn.Module):
    def forward(self, grown, skip):
        return torch.cat([grown, skip], 1)[:, : grown.shape[1]]


class Cropped(nn.Module):
    def forward(self, grown, skip):
        return grown + skip[..., : grown.shape[-2], : grown.shape[-1]]


class Resized(nn.Module):
    def forward(self, grown, skip):
        return F.interpolate(grown, size=skip.shape[2:]) + skip


IMAGE = torch.rand(1, 2, 16, 15, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_unet_that_joins_fails_at_all_but_multiples_of_its_strides(way):
    found = sizes(UNet(Joined()), IMAGE, capture=WAYS[way])
    assert found.how == way
    assert [(each.period, each.remainders) for each in found.along] == [(4, (0,)), (3, (0,))]
    failed = found.along[0].failed[0]
    assert (failed.size, failed.place) == ((17, 15), "meet")
    assert failed.error.startswith("Sizes of tensors must match except in dimension 1. Expected")
    assert not any(each.changed for each in found.along)


@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_unet_that_crops_its_skips_changes_the_size_silently(way):
    found = sizes(UNet(Cropped()), IMAGE, capture=WAYS[way])
    first, second = found.along
    assert not second.changed
    # along the first axis 17 has 9, then 4 and 8 samples, so that nothing is longer than what it meets
    assert (first.changed[0].size, first.changed[0].came, first.changed[0].due) == ((17, 15), 16, 17)
    assert (first.period, first.remainders) == (4, (0,))


@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_unet_that_resizes_to_its_skips_takes_every_size(way):
    found = sizes(UNet(Resized()), IMAGE, capture=WAYS[way])
    assert all(each.takes_all for each in found.along)
    assert [each.period for each in found.along] == [1, 1]


@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize("meet", [Joined(), Cropped(), Resized()], ids=lambda meet: type(meet).__name__)
def test_every_size_said_to_be_right_is_and_every_other_is_not(way, meet):
    net = UNet(meet)
    found = sizes(net, IMAGE, capture=WAYS[way]).along
    assert [len(each.tried) > 2 for each in found] == [True, True]
    for along in found:
        for n in along.tried:
            size = [n if axis in along.axes else m for axis, m in enumerate(IMAGE.shape[2:])]
            try:
                right = list(net(torch.zeros(1, 2, *size)).shape[2:]) == size
            except RuntimeError:
                right = False
            assert right == (n in along.right), n


def test_a_position_embedding_leaves_one_size():
    class Vision(nn.Module):
        def __init__(self):
            super().__init__()
            self.cut = nn.Conv2d(1, 4, 4, stride=4)
            self.where = nn.Parameter(torch.zeros(1, 4, 4, 6))
            self.up = nn.ConvTranspose2d(4, 1, 4, stride=4)

        def forward(self, x):
            return self.up(self.cut(x) + self.where)

    first, second = sizes(Vision(), torch.rand(1, 1, 16, 24)).along
    # the cut leaves up to three samples out, so that 17 to 19 work, and come out as 16
    assert (first.right, first.period) == ((16,), None)
    assert first.changed[0].size == (17, 24)
    assert first.failed[0].size == (20, 24)
    assert second.right == (24,)


def test_inputs_of_one_size_vary_together_and_others_in_proportion():
    class Guided(nn.Module):
        def __init__(self):
            super().__init__()
            self.low = nn.Conv1d(2, 2, 3, padding=1)
            self.high = nn.Conv1d(1, 2, 3, padding=1)

        def forward(self, features, picture, *, mask):
            grown = F.interpolate(self.low(features), scale_factor=2.0)
            return (grown + self.high(picture)) * mask[:, None]

    low, high, mask = torch.rand(1, 2, 8), torch.rand(1, 1, 16), torch.ones(1, 16, dtype=torch.bool)
    (along,) = sizes(Guided(), low, high, mask=mask).along
    assert along.takes_all
    assert along.tried[:3] == (8, 9, 10)

    class Turned(Guided):
        def forward(self, picture, features, *, mask):
            return super().forward(features, picture, mask=mask)

    (along,) = sizes(Turned(), high, low, mask=mask).along
    assert along.takes_all
    # a picture of 17 samples has no features of half the size
    assert along.tried[:3] == (16, 18, 20)


def test_inputs_inside_containers_and_scalars_are_found():
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.ConvTranspose2d(1, 1, 2, stride=2)

        def forward(self, batch, step):
            return {"out": self.net(batch["picture"][0]) * step}

    batch = {"picture": [torch.rand(1, 1, 3, 5)]}
    found = sizes(Nested(), batch, 2.0)
    assert found.start == (3, 5)
    assert [each.takes_all for each in found.along] == [True, True]


class Wandering(nn.Module):
    """Does one thing or another by what it sees, as no tensor without values can tell."""

    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose1d(1, 1, 2, stride=2)

    def forward(self, x):
        return self.up(x) if x.sum().item() > 0 else self.up(x) + 1


def test_models_that_need_values_get_real_ones():
    found = sizes(Wandering(), torch.rand(1, 1, 8), capture=0.5)
    assert found.how == REAL
    assert found.along[0].takes_all


def test_models_that_need_values_and_take_long_are_not_tried():
    found = sizes(Wandering(), torch.rand(1, 1, 8), capture=2.5)
    assert found.reason == (
        "it does not run on tensors that have a shape and no values (what it does depends on values), and takes 2.5 s "
        "on real ones"
    )
    assert not found.along


class Reader(nn.Module):
    def forward(self, x):
        return nn.functional.linear(x, torch.ones(6, x.shape[-1]))


def test_inputs_that_are_no_maps_are_not_varied():
    found = sizes(Reader(), torch.rand(1, 7, 5))
    assert found.reason == "no convolution, pool or resize takes an input of the model as it comes"
    found = sizes(nn.ConvTranspose2d(1, 1, 2), torch.rand(1, 1, 1, 1))
    assert found.reason == "the input has one sample on every axis"


@functools.lru_cache
def ramp(n):
    return torch.arange(float(n))


class Keeper(nn.Module):
    """Keeps what it makes: in an attribute, a buffer, a dict, a list, a set and a function that remembers."""

    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose1d(1, 1, 2, stride=2)
        self.last, self.tables, self.seen, self.lengths = None, {}, [], set()
        self.register_buffer("steps", torch.zeros(1), persistent=False)

    def forward(self, x):
        n = x.shape[-1]
        self.last = torch.arange(float(n))
        self.tables[n] = torch.zeros(n)
        self.seen.append(self.last)
        self.lengths.add(n)
        self.register_buffer("table", torch.ones(n))
        self.steps += 1
        return self.up(x + self.last + self.tables[n] + self.table + ramp(n))


@pytest.mark.parametrize("way", sorted(WAYS))
def test_modules_are_left_as_they_were(way):
    keeper, x = Keeper().train(), torch.rand(1, 1, 8)
    graph = record(keeper, [x])
    ramp.cache_clear()
    keeper(x)
    before = {key: value for key, value in vars(keeper).items() if key != "_buffers"}
    buffers = dict(keeper._buffers)
    contents = [dict(keeper.tables), list(keeper.seen), set(keeper.lengths)]
    steps, state, values = keeper.steps.clone(), torch.get_rng_state(), x.clone()
    found = torch_sizes(keeper, [x], graph, capture=WAYS[way])
    assert found.how == way
    assert found.along[0].takes_all
    assert all(vars(keeper)[key] is value for key, value in before.items())
    assert keeper._buffers.keys() == buffers.keys()
    assert all(keeper._buffers[key] is value for key, value in buffers.items())
    assert [dict(keeper.tables), list(keeper.seen), set(keeper.lengths)] == contents
    assert keeper.training
    assert torch.equal(keeper.steps, steps)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, values)
    # nothing without values may be left where the next real run finds it
    assert keeper(x).isfinite().all()
    assert keeper(torch.rand(1, 1, 9)).isfinite().all()


# What their authors say of them, or what follows from their strides.
REAL_ONES = {
    "autoencoder_kl": (4, "changed"),
    "unet2d": (4, "failed"),
    "monai_basic_unet": (1, ""),
    "monai_unet": (4, "failed"),
    "monai_segresnet_ds": (4, "failed"),
    "depth_anything": (14, "changed"),
    "vit_pose": (None, "failed"),
}


@pytest.mark.parametrize("name", sorted(REAL_ONES))
def test_what_is_found_in_models_that_people_have(name):
    specimen = zoo.MODELS[name]()
    found = sizes(specimen.module, *specimen.inputs, seconds=3.0, **specimen.keywords)
    period, kind = REAL_ONES[name]
    assert [each.period for each in found.along] == [period] * len(found.start)
    for each in found.along:
        assert bool(each.failed or each.changed) == bool(kind)
        assert not kind or getattr(each, kind)
