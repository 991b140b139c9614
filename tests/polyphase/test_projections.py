"""Projections reach their law, change least, and change nothing the second time."""

import re
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from strategies import operators
from upstroke.errors import NotRepresentableError, OptionError, ShapeError
from upstroke.polyphase import balanced, kernel_form, nearest, symmetric, transposed, trimmed, with_mass


@st.composite
def with_taps_everywhere(draw, **settings):
    operator = draw(operators(**settings))
    assume(bool(operator.mask.flatten(1).any(dim=1).all()))
    return operator


def gains(operator):
    return operator.taps.flatten(3).sum(dim=-1)


def masses(operator):
    return gains(operator).sum(dim=0)


def least_change(operator, rows, goals):
    """The projection by linear algebra: least squares under rows @ taps = goals, for every channel pair."""
    present = operator.mask.flatten()
    constraint = rows[:, present]
    shape = operator.taps.shape
    taps = operator.taps.movedim(0, 2).reshape(shape[1], shape[2], -1)
    result = taps.clone()
    correction = torch.linalg.pinv(constraint)
    result[..., present] += (goals - taps[..., present] @ constraint.T) @ correction.T
    return result.reshape(shape[1], shape[2], shape[0], *shape[3:]).movedim(2, 0)


def phase_rows(operator):
    taps = operator.mask[0].numel()
    return torch.kron(torch.eye(operator.phases), torch.ones(1, taps)).double()


def equal_gain_rows(operator):
    """Each phase's gain minus the next one's."""
    rows = phase_rows(operator)
    return rows[1:] - rows[:-1]


@given(operator=with_taps_everywhere())
def test_balanced_is_the_least_change_to_equal_gains(operator):
    rows = equal_gain_rows(operator)
    expected = least_change(operator, rows, torch.zeros(len(rows), dtype=torch.float64))
    assert torch.allclose(balanced(operator).taps, expected, atol=1e-9)


@given(operator=with_taps_everywhere())
def test_balanced_with_its_mass_kept(operator):
    rows = torch.cat([equal_gain_rows(operator), torch.ones(1, operator.mask.numel()).double()])
    goals = torch.zeros(*operator.taps.shape[1:3], len(rows), dtype=torch.float64)
    goals[..., -1] = masses(operator)
    result = balanced(operator, mass="kept")
    assert torch.allclose(result.taps, least_change(operator, rows, goals), atol=1e-9)
    assert torch.allclose(masses(result), masses(operator))


@given(operator=with_taps_everywhere(), mass=st.floats(-3, 3))
def test_balanced_with_a_given_mass_is_the_joint_projection(operator, mass):
    rows = torch.cat([equal_gain_rows(operator), torch.ones(1, operator.mask.numel()).double()])
    goals = torch.zeros(*operator.taps.shape[1:3], len(rows), dtype=torch.float64)
    goals[..., -1] = mass
    result = balanced(operator, mass=mass)
    assert torch.allclose(result.taps, least_change(operator, rows, goals), atol=1e-9)
    assert torch.allclose(masses(result), torch.tensor(mass, dtype=torch.float64))
    assert torch.allclose(gains(result), gains(result)[:1].expand_as(gains(result)))


@given(operator=operators(), mass=st.floats(-3, 3))
def test_with_mass_is_the_least_change(operator, mass):
    rows = torch.ones(1, operator.mask.numel()).double()
    goals = torch.full((*operator.taps.shape[1:3], 1), mass, dtype=torch.float64)
    result = with_mass(operator, mass)
    assert torch.allclose(result.taps, least_change(operator, rows, goals), atol=1e-9)


@given(operator=with_taps_everywhere())
def test_a_mass_per_channel_pair(operator):
    wanted = torch.randn(operator.taps.shape[1:3], dtype=torch.float64)
    assert torch.allclose(masses(with_mass(operator, wanted)), wanted)
    assert torch.allclose(masses(balanced(operator, mass=wanted)), wanted)


@given(operator=operators())
def test_symmetric_is_the_nearest_kernel_equal_to_its_mirror_images(operator):
    before, after = trimmed(kernel_form(operator)), trimmed(kernel_form(symmetric(operator)))
    result = torch.zeros_like(before.kernel)
    starts = [one - two for one, two in zip(before.crop, after.crop, strict=True)]
    window = [slice(s, s + n) for s, n in zip(starts, after.kernel.shape[2:], strict=True)]
    result[:, :, *window] = after.kernel
    common = before.support
    for axis in range(operator.ndim):
        assert torch.allclose(result, result.flip(2 + axis))
        common = common & common.flip(axis)
    assert not bool(result[:, :, ~common].any())
    # least change: what was taken off is at right angles to every symmetric kernel on the taps that remain
    mean = before.kernel - result
    for axis in range(operator.ndim):
        mean = (mean + mean.flip(2 + axis)) / 2
    assert (mean * common).abs().max() < 1e-9


@pytest.mark.parametrize(
    "project", [balanced, lambda o: balanced(o, mass="kept"), lambda o: with_mass(o, 2.0), symmetric]
)
@given(operator=with_taps_everywhere())
def test_once_is_enough(project, operator):
    once = project(operator)
    assert project(once).isclose(once, rtol=1e-9, atol=1e-9)


@given(
    kernel=st.tuples(st.integers(2, 5), st.integers(3, 5)),
    dilation=st.tuples(st.sampled_from([1, 3]), st.integers(1, 1)),
)
def test_symmetry_commutes_with_the_others(kernel, dilation):
    operator = transposed(torch.randn(2, 3, *kernel).double(), stride=(2, 3), padding=1, dilation=dilation)
    for project in (balanced, lambda o: balanced(o, mass=1.5), lambda o: with_mass(o, 0.7)):
        one, two = symmetric(project(operator)), project(symmetric(operator))
        assert one.isclose(two, rtol=1e-9, atol=1e-9)


def test_balance_and_mass_do_not_commute_where_coverage_is_uneven():
    operator = transposed(torch.randn(1, 1, 3, 3).double(), stride=2, padding=1, output_padding=1)
    one, two = with_mass(balanced(operator), 1.0), balanced(with_mass(operator, 1.0))
    assert not one.isclose(two)
    joint = balanced(operator, mass=1.0)
    assert torch.allclose(masses(joint), torch.ones(1, 1).double())
    assert float(gains(joint).std(dim=0)) < 1e-12


def test_one_axis_can_be_made_symmetric_alone():
    operator = transposed(torch.randn(1, 1, 3, 4).double(), stride=2, padding=1)
    kernel = trimmed(kernel_form(symmetric(operator, axes=[1]))).kernel
    assert torch.allclose(kernel, kernel.flip(3))
    assert not torch.allclose(kernel, kernel.flip(2))


def test_holes_stay_holes():
    operator = transposed(torch.randn(2, 2, 3).double(), stride=2, dilation=3)
    for result in (balanced(operator), with_mass(operator, 1.0), symmetric(operator)):
        assert int(result.mask.sum()) == 3
        assert not bool(result.taps[~result.mask[:, None, None].expand_as(result.taps)].any())


def test_a_phase_without_taps_cannot_be_balanced():
    short = transposed(torch.ones(1, 1, 1, 2), stride=2)
    message = (
        "an operator can only be balanced if every phase has a tap; phases [2, 3] of scale (2, 2) have none, "
        "so use a kernel at least as long as the stride, and no dilation that shares a factor with it"
    )
    with pytest.raises(NotRepresentableError, match=f"^{re.escape(message)}$"):
        balanced(short)


@pytest.mark.usefixtures("_unchecked")
def test_what_is_not_meant_is_said():
    with pytest.raises(OptionError, match=r"^mass must be 'free', 'kept' or a number; got 'same'$"):
        balanced(nearest(2), mass="same")
    with pytest.raises(OptionError, match=r"^axes must be among 0 to 1; got 2$"):
        symmetric(nearest(2), axes=[2])


def test_gradients_pass_through():
    weight = torch.randn(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)

    def project(weight):
        operator = transposed(weight, stride=2, padding=1)
        return symmetric(balanced(operator, mass=1.0)).taps

    assert torch.autograd.gradcheck(project, (weight,))
    assert replace(nearest(2)).shared


def test_symmetry_takes_away_a_tap_whose_mirror_image_is_not_there():
    weight = torch.tensor([[[1.0, 2.0, 4.0]]])
    operator = transposed(weight, stride=2)
    lopsided = replace(operator, support=operator.mask & operator.taps[:, 0, 0].ne(4))
    assert int(lopsided.mask.sum()) == 2
    assert torch.equal(trimmed(kernel_form(symmetric(lopsided))).kernel, torch.tensor([[[1.5, 1.5]]]))


def test_half_precision_is_projected_in_double():
    operator = transposed(torch.randn(8, 8, 3, 3).bfloat16(), stride=2)
    result = balanced(operator, mass=1.0)
    assert result.taps.dtype == torch.bfloat16
    assert (gains(replace(result, taps=result.taps.double())) - 0.25).abs().max() < 0.02


@pytest.mark.parametrize("project", [lambda o, m: balanced(o, mass=m), with_mass])
@pytest.mark.usefixtures("_unchecked")
def test_a_mass_of_another_shape_is_refused(project):
    operator = transposed(torch.randn(3, 2, 2), stride=2)
    message = "mass must be one number, or have shape (out, in) = (2, 3); got shape (3,)"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        project(operator, torch.ones(3))


def test_without_taps_there_is_no_mass():
    empty = replace(nearest(2), taps=torch.zeros(4, 1, 1, 1, 1), support=None)
    message = "an operator without taps has no mass to change; give it a kernel first"
    with pytest.raises(NotRepresentableError, match=f"^{message}$"):
        with_mass(empty, 1.0)
