"""Latent vectors follow from numbers, norms are settled for the weights at hand, and sheets hold every pixel."""

import math
import re

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upstroke.apps.generate.drawing import drawn, latents, settled
from upstroke.apps.generate.sheets import columns_for, sheet
from upstroke.errors import OptionError
from upstroke.nn import Generator


@given(
    numbers=st.lists(st.integers(0, 10**9), max_size=4), length=st.integers(1, 40), seed=st.integers(0, 2**62)
)
def test_a_latent_vector_follows_from_its_number(numbers, length, seed):
    rows = latents(numbers, length, seed=seed)
    assert rows.shape == (len(numbers), length)
    for number, row in zip(numbers, rows, strict=True):
        assert torch.equal(latents([number], length, seed=seed)[0], row)


def test_latent_vectors_are_normal_and_no_two_alike():
    rows = latents(range(400), 50, seed=3)
    assert abs(rows.mean()) < 0.03
    assert abs(rows.std() - 1) < 0.03
    covariance = rows.T @ rows / len(rows)
    assert (covariance - torch.eye(50)).abs().max() < 0.3
    assert len(torch.unique(rows, dim=0)) == 400
    assert not torch.equal(rows, latents(range(400), 50, seed=4))


@pytest.mark.parametrize("options", [{}, {"balanced": True}, {"norm": "none"}])
def test_norms_have_the_statistics_of_the_weights_at_hand(options):
    torch.manual_seed(0)
    net = Generator(6, 4, 1, 32, **options)
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(5 * torch.randn(8, 6))
    before = {name: each.clone() for name, each in net.state_dict().items()}
    made = settled(net)
    assert not made.training
    for name, each in net.state_dict().items():
        assert torch.equal(each, before[name])
    # in evaluation mode it does what norms do to a batch in training: each map has mean 0 and deviation 1
    seen = []
    norms = [each for each in made.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    assert len(norms) == (0 if options.get("norm") == "none" else 3)
    for norm in norms:
        assert norm.momentum == 0.1
        norm.register_forward_hook(
            lambda norm, _, y: seen.append((y - norm.bias[:, None, None]) / norm.weight[:, None, None])
        )
    with torch.no_grad():
        made(torch.randn(600, 6, generator=torch.Generator().manual_seed(5)))
    for maps in seen:
        assert maps.mean(dim=(0, 2, 3)).abs().max() < 0.2
        assert (maps.std(dim=(0, 2, 3)) - 1).abs().max() < 0.15
    again = settled(net)
    assert all(torch.equal(each, again.state_dict()[name]) for name, each in made.state_dict().items())


def test_pictures_do_not_depend_on_how_many_are_drawn_at_once():
    torch.manual_seed(0)
    net = settled(Generator(6, 4, 3, 32))
    z = latents(range(37), 6, seed=0)
    pictures = drawn(net, z)
    assert pictures.shape == (37, 3, 32, 32)
    with torch.no_grad():
        wanted = ((net(z) + 1) * 127.5).round().numpy()
    assert numpy.abs(pictures - wanted).max() <= 1


@given(
    count=st.integers(1, 11),
    columns=st.one_of(st.none(), st.integers(1, 13)),
    size=st.tuples(st.integers(1, 4), st.integers(1, 5)),
    channels=st.sampled_from([1, 3]),
    gap=st.integers(0, 3),
)
def test_every_picture_stands_in_its_place(count, columns, size, channels, gap):
    height, width = size
    pictures = numpy.random.default_rng(0).integers(0, 255, (count, channels, *size), dtype=numpy.uint8)
    made = sheet(pictures, columns=columns, gap=gap)
    across = min(count, columns or columns_for(count))
    down = math.ceil(count / across)
    assert made.shape[:2] == (down * height + (down - 1) * gap, across * width + (across - 1) * gap)
    assert made.ndim == (2 if channels == 1 else 3)
    rest = made.astype(int).reshape(*made.shape[:2], -1)
    for number, picture in enumerate(pictures):
        top, left = number // across * (height + gap), number % across * (width + gap)
        place = rest[top : top + height, left : left + width]
        assert numpy.array_equal(place, numpy.moveaxis(picture, 0, -1))
        place[:] = 255
    # white everywhere else
    assert (rest == 255).all()


@given(count=st.integers(1, 5000))
def test_a_sheet_is_about_as_wide_as_high(count):
    columns = columns_for(count)
    rows = math.ceil(count / columns)
    assert rows <= columns <= rows + 1


def test_no_picture_is_no_sheet():
    message = "a sheet has 1 or more pictures in 1 or more columns; got 0 pictures, 2 columns and a gap of 2"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        sheet(numpy.zeros((0, 1, 4, 4), numpy.uint8), columns=2)
