"""Projections reach their law, change least, and change nothing the second time."""

import re
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from strategies import operators
from upstroke.errors import NotRepresentableError, OptionError
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
    result = symmetric(operator)
    kernel = trimmed(kernel_form(result)).kernel
    for axis in range(operator.ndim):
        assert torch.allclose(kernel, kernel.flip(2 + axis))
    # least change: what was taken off is at right angles to every symmetric kernel
    before = trimmed(kernel_form(operator))
    change = before.kernel - trimmed(kernel_form(replace_kernel_like(operator, result))).kernel
    mean = change
    for axis in range(operator.ndim):
        mean = (mean + mean.flip(2 + axis)) / 2
    assert mean.abs().max() < 1e-9


def replace_kernel_like(operator, result):
    # symmetric extents: both kernels trim to the same window
    assert trimmed(kernel_form(result)).kernel.shape == trimmed(kernel_form(operator)).kernel.shape
    return result


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
