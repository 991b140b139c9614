"""Hold the laws of augmentation: labels stay exact, nothing folds, and what is not drawn changes no bit."""

import re
from dataclasses import replace

import pytest
import torch

from upstroke.apps.segment.augment import Augmentation, drawn_turn, drawn_warp, with_other_values
from upstroke.apps.segment.deform import Turn, Warp, cut, displacements, piece
from upstroke.errors import OptionError

FULL = replace(Augmentation.preset("full"), warped=1.0, changed=1.0)
PATCHES = [((23, 31), (1.0, 1.0)), ((9, 14, 11), (3.0, 1.0, 0.5))]


def seeded_by(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(*space: int) -> tuple[torch.Tensor, torch.Tensor]:
    """An image of two channels, and labels without 1."""
    image = torch.randn(2, *space, generator=seeded_by(1))
    labels = torch.tensor([0, 2, 5], dtype=torch.int16)[torch.randint(3, space, generator=seeded_by(2))]
    return image, labels


def warp_of(seed: int, size: tuple[int, ...], spacing: tuple[float, ...]) -> Warp:
    warp = drawn_warp(FULL, size=size, spacing=spacing, generator=seeded_by(seed))
    assert warp is not None
    return warp


@pytest.mark.parametrize("start", [(1, 2), (-3, 4), (-40, 30), (5, 9)])
def test_a_piece_is_numpys_mirrored_padding_and_counts_no_voxel_beyond(start):
    image, labels = drawn(7, 10)
    wide = torch.nn.functional.pad
    padded, known = image, labels.float()[None]
    for _ in range(12):
        padded = wide(padded, (9, 9, 6, 6), mode="reflect")
        known = wide(known, (9, 9, 6, 6), value=-1.0)
    rows, columns = (
        slice(12 * e + s, 12 * e + s + n) for e, s, n in zip((6, 9), start, (8, 13), strict=True)
    )
    ours, numbers = piece(image, labels, start=start, size=(8, 13))
    torch.testing.assert_close(ours, padded[:, rows, columns], rtol=0, atol=0)
    torch.testing.assert_close(numbers.float(), known[0, rows, columns], rtol=0, atol=0)


def test_an_axis_of_one_voxel_is_mirrored_to_itself():
    image, labels = piece(torch.tensor([[[1.0, 2.0]]]), torch.tensor([[3, 4]]), start=(-1, 0), size=(3, 2))
    assert image.tolist() == [[[1.0, 2.0]] * 3]
    assert labels.tolist() == [[-1, -1], [3, 4], [-1, -1]]


def test_nothing_drawn_is_the_same_bits():
    image, labels = drawn(7, 10)
    ours, numbers = cut(image, labels, start=(0, 0), size=(7, 10))
    assert torch.equal(ours, image)
    assert torch.equal(numbers, labels)
    none = Augmentation.preset("none")
    generator = seeded_by(0)
    assert drawn_turn(none, spacing=(1.0, 2.0), generator=generator) == Turn.none(2)
    assert drawn_warp(none, size=(7, 10), spacing=(1.0, 2.0), generator=generator) is None
    assert with_other_values(image, none, spacing=(1.0, 1.0), generator=generator) is image


@pytest.mark.parametrize(("size", "spacing"), PATCHES)
def test_the_warp_that_moves_nothing_leaves_labels_exact_and_values_to_rounding(size, spacing):
    space = tuple(n + 3 for n in size)
    image, labels = drawn(*space)
    start = tuple(range(len(size)))
    warp = Warp(matrix=torch.eye(len(size), dtype=torch.float64), displacement=torch.zeros(*size, len(size)))
    ours, numbers = cut(image, labels, start=start, size=size, warp=warp)
    expected, known = piece(image, labels, start=start, size=size)
    assert torch.equal(numbers, known)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("axes", "mirrored"), [((1, 0), (True, False)), ((0, 1), (False, True)), ((1, 0), (True, True))]
)
def test_a_turn_moves_voxels_and_changes_none(axes, mirrored):
    image, labels = drawn(9, 10)
    turn = Turn(axes=axes, mirrored=mirrored)
    size = (5, 8) if axes == (1, 0) else (4, 9)
    ours, numbers = cut(image, labels, start=(0, 1), size=size, turn=turn)
    taken = turn.before(size)
    region = image[:, : taken[0], 1 : 1 + taken[1]]
    known = labels[: taken[0], 1 : 1 + taken[1]]
    if axes == (1, 0):
        region, known = region.transpose(1, 2), known.T
    backwards = [axis for axis in range(2) if mirrored[axis]]
    assert torch.equal(ours, region.flip([axis + 1 for axis in backwards]))
    assert torch.equal(numbers, known.flip(backwards))


def test_a_quarter_turn_by_the_warp_is_the_turn():
    image, labels = drawn(9, 9)
    quarter = Warp(matrix=torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64))
    ours, numbers = cut(image, labels, start=(0, 0), size=(9, 9), warp=quarter)
    torch.testing.assert_close(ours, image.rot90(1, (1, 2)), rtol=0, atol=1e-5)
    assert torch.equal(numbers, labels.rot90(1))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("size", "spacing"), PATCHES)
def test_labels_are_those_nearest_to_where_the_image_is_read(size, spacing, seed):
    """An image of the voxels' own positions says where each was read, by the image's own path."""
    # wide enough that no position is beyond an edge, where the image is mirrored
    space = tuple(4 * n for n in size)
    _, labels = drawn(*space)
    axes = torch.meshgrid(*(torch.arange(float(n)) for n in space), indexing="ij")
    start = tuple(3 * n // 2 for n in size)
    warp = warp_of(seed, size, spacing)
    where, numbers = cut(torch.stack(axes), labels, start=start, size=size, warp=warp)
    inside = torch.stack([(p > 0) & (p < n - 1) for p, n in zip(where, space, strict=True)]).all(0)
    clear = ((where - where.floor() - 0.5).abs() > 1e-3).all(0) & inside
    assert clear.float().mean() > 0.5
    nearest = tuple(axis.round().long() for axis in where[:, clear])
    assert torch.equal(numbers[clear], labels[nearest])
    assert set(numbers.unique().tolist()) <= {-1, 0, 2, 5}


@pytest.mark.parametrize(("size", "spacing"), PATCHES)
def test_one_hot_labels_warped_are_the_warped_labels_one_hot(size, spacing):
    _, labels = drawn(*size)
    warp, image = warp_of(3, size, spacing), torch.zeros(1, *size)
    start = (0,) * len(size)
    _, numbers = cut(image, labels, start=start, size=size, warp=warp)
    for value in (0, 2, 5):
        _, alone = cut(image, (labels == value).to(torch.int16), start=start, size=size, warp=warp)
        assert torch.equal(alone == 1, numbers == value)
        assert torch.equal(alone == -1, numbers == -1)


@pytest.mark.parametrize("seed", range(3))
def test_turning_is_done_in_millimetres(seed):
    """Between voxels, lengths in millimetres are kept by a rotation, whatever the voxels' shape."""
    only = Augmentation(warped=1.0, rotation=40.0)
    spacing = (3.0, 1.0, 0.5)
    warp = drawn_warp(only, size=(9, 14, 11), spacing=spacing, generator=seeded_by(seed))
    lengths = torch.tensor(spacing, dtype=torch.float64)
    in_mm = warp.matrix * lengths[:, None] / lengths
    torch.testing.assert_close(in_mm @ in_mm.T, torch.eye(3, dtype=torch.float64))
    assert (in_mm - torch.eye(3)).abs().max() > 0.05
    larger = replace(only, rotation=0.0, scaling=1.5)
    factor = drawn_warp(larger, size=(9, 14, 11), spacing=spacing, generator=seeded_by(seed)).matrix
    torch.testing.assert_close(factor, factor[0, 0] * torch.eye(3, dtype=torch.float64))
    assert 1 / 1.5 <= factor[0, 0] <= 1.5


def test_displacements_are_bicubic_and_as_large_as_said():
    coarse = torch.randn(2, 3, 3, generator=seeded_by(0))
    ours = displacements(coarse, (12, 21))
    x = coarse.double()[None]
    for axis, scale in ((2, 4), (3, 7)):
        size = list(x.shape[2:])
        size[axis - 2] *= scale
        x = torch.nn.functional.interpolate(x, size=size, mode="bicubic")
    assert ours.shape == (12, 21, 2)
    # PyTorch's slope is -0.75 and ours Keys' -0.5: equal at the coarse points, which odd scales hit
    torch.testing.assert_close(ours[:, 3::7].double(), x[0, :, :, 3::7].movedim(0, -1), rtol=0, atol=0.2)
    odd = displacements(coarse, (9, 15))
    torch.testing.assert_close(odd[1::3, 2::5], coarse.movedim(0, -1), rtol=0, atol=1e-6)
    elastic = Augmentation(warped=1.0, elastic=0.1)
    generator = seeded_by(0)
    several = [
        drawn_warp(elastic, size=(27, 45), spacing=(2.0, 1.0), generator=generator).displacement[4::9, 7::15]
        for _ in range(300)
    ]
    # points are 15 mm apart along the columns, 18 mm along the rows: 1.5 mm, in voxels of 2 and of 1 mm
    torch.testing.assert_close(
        torch.stack(several).std((0, 1, 2)), torch.tensor([0.75, 1.5]), rtol=0.05, atol=0
    )


@pytest.mark.parametrize(("size", "spacing"), [((48, 64), (1.0, 1.0)), ((12, 32, 30), (4.0, 1.0, 1.0))])
def test_the_full_preset_folds_nothing(size, spacing):
    generator = seeded_by(5)
    for _ in range(20):
        warp = drawn_warp(FULL, size=size, spacing=spacing, generator=generator)
        slopes = [torch.diff(warp.displacement, dim=axis) for axis in range(len(size))]
        inner = tuple(slice(0, n - 1) for n in size)
        jacobian = torch.stack([slope[inner] for slope in slopes], -1) + warp.matrix.float()
        assert torch.linalg.det(jacobian).min() > 0.05


@pytest.mark.parametrize("effect", ["contrast", "brightness", "gamma", "noise", "blur"])
def test_each_change_of_values_changes_them_and_leaves_what_came_in(effect):
    image, _ = drawn(13, 17)
    before = image.clone()
    how = Augmentation(changed=1.0, **{effect: getattr(FULL, effect)})
    result = with_other_values(image, how, spacing=(1.0, 1.0), generator=seeded_by(4))
    assert torch.equal(image, before)
    assert not torch.equal(result, image)
    again = with_other_values(image, how, spacing=(1.0, 1.0), generator=seeded_by(4))
    assert torch.equal(again, result)
    if effect == "gamma":
        torch.testing.assert_close(result.mean((1, 2)), image.mean((1, 2)))
        torch.testing.assert_close(result.std((1, 2)), image.std((1, 2)))
        order = image[0].flatten().argsort()
        assert (result[0].flatten()[order].diff() >= 0).all()
    if effect == "blur":
        assert (result.std((1, 2)) < image.std((1, 2))).all()
    constant = torch.full((1, 5, 6), 3.0)
    if effect in ("gamma", "blur"):
        same = with_other_values(constant, how, spacing=(1.0, 1.0), generator=seeded_by(4))
        torch.testing.assert_close(same, constant)


def test_blurring_is_scipys_mirrored_gaussian_and_as_wide_in_millimetres_on_every_axis():
    from scipy.ndimage import gaussian_filter

    image, _ = drawn(13, 17)
    how = Augmentation(changed=1.0, blur=1.0)
    result = with_other_values(image, how, spacing=(2.0, 1.0), generator=seeded_by(4))
    generator = seeded_by(4)
    torch.rand((), generator=generator)
    sigma = float(torch.rand((), generator=generator, dtype=torch.float64))
    theirs = gaussian_filter(image[0].double().numpy(), (sigma / 2, sigma), mode="mirror", truncate=6)
    torch.testing.assert_close(result[0].double(), torch.from_numpy(theirs), rtol=0, atol=1e-3)


def test_quarter_turns_exchange_axes_of_equal_spacing_only():
    how = Augmentation(turns=True)
    turns = {drawn_turn(how, spacing=(3.0, 1.0, 1.0), generator=seeded_by(seed)) for seed in range(200)}
    assert {turn.axes for turn in turns} == {(0, 1, 2), (0, 2, 1)}
    assert {turn.mirrored for turn in turns} == {(False, a, b) for a in (False, True) for b in (False, True)}


def test_flips_are_drawn_for_each_axis_by_its_own_share():
    how = Augmentation(flips=(0.0, 1.0, 0.5))
    turns = [drawn_turn(how, spacing=(1.0,) * 3, generator=seeded_by(seed)).mirrored for seed in range(50)]
    assert [sum(each) for each in zip(*turns, strict=True)][:2] == [0, 50]
    assert 10 < sum(turn[2] for turn in turns) < 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"flips": 1.5}, "flips is a share between 0 and 1; got 1.5"),
        ({"warped": -0.5}, "warped is a share between 0 and 1; got -0.5"),
        ({"scaling": 0.9}, "scaling is a factor from 1 up; got 0.9"),
        ({"noise": float("nan")}, "noise must be 0 or more; got nan"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        Augmentation(**settings)
    message = "flips has one share for all axes, or one for each of 2; got (0.5, 0.5, 0.5)"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        drawn_turn(Augmentation(flips=(0.5,) * 3), spacing=(1.0, 1.0), generator=seeded_by(0))
