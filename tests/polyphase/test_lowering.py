"""Three exact forms and back: no form loses or invents anything."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies import fixed_operators, operators
from upstroke.errors import NotRepresentableError
from upstroke.polyphase import (
    TransposedForm,
    as_conv_shuffle,
    as_phase_convs,
    as_transposed,
    convolution,
    from_conv_shuffle,
    from_kernel_form,
    from_phase_convs,
    from_transposed,
    kernel_form,
    linear,
    transposed,
)

FORMS = [
    (as_transposed, from_transposed),
    (as_conv_shuffle, from_conv_shuffle),
    (as_phase_convs, from_phase_convs),
]


@pytest.mark.parametrize(("there", "back"), FORMS)
@given(operator=operators(ndims=(1, 2, 3)) | fixed_operators(ndims=(1, 2, 3)))
def test_there_and_back(there, back, operator):
    again = back(there(operator))
    assert again.isclose(operator, rtol=0.0, atol=0.0)
    assert (again.groups, again.shared, again.border) == (operator.groups, operator.shared, operator.border)


@given(operator=operators(ndims=(1, 2)))
def test_the_tie_between_taps_and_kernel(operator):
    form = kernel_form(operator)
    taps = operator.taps.reshape(*operator.scale, *operator.taps.shape[1:])
    sizes = [*operator.scale, *operator.kernel]
    for index in torch.cartesian_prod(*(torch.arange(n) for n in sizes)).reshape(-1, len(sizes)).tolist():
        phase, tap = index[: operator.ndim], index[operator.ndim :]
        element = [
            p + crop + s * (origin - k)
            for p, crop, s, origin, k in zip(
                phase, form.crop, operator.scale, operator.origin, tap, strict=True
            )
        ]
        drawn = form.kernel[:, :, *[slice(e, e + 1) for e in element]].flatten()
        assert torch.equal(drawn, taps[(*phase, slice(None), slice(None), *tap)].flatten())
        assert bool(form.support[tuple(element)]) == bool(
            operator.mask.reshape(*operator.scale, *operator.kernel)[(*phase, *tap)]
        )


@given(operator=operators(ndims=(1, 2, 3)))
def test_kernel_form_and_back(operator):
    again = from_kernel_form(
        kernel_form(operator),
        scale=operator.scale,
        excess=operator.excess,
        border=operator.border,
        groups=operator.groups,
    )
    assert again.isclose(operator, rtol=0.0, atol=0.0)
    assert again.mask.sum() == operator.mask.sum()


@given(
    sizes=st.tuples(*[st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))] * 2),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_a_transposed_convolution_lowers_to_itself(sizes, padding):
    kernel, stride, dilation = zip(*sizes, strict=True)
    weight = torch.randn(4, 3, *kernel)
    form = as_transposed(transposed(weight, stride=stride, padding=padding, dilation=dilation, groups=2))
    assert torch.equal(form.weight, weight)
    assert form.dilation == tuple(d if k > 1 else 1 for k, d in zip(kernel, dilation, strict=True))
    assert form.pad == ((0, 0), (0, 0))
    assert form.crop == tuple((p, p) for p in padding)


def test_a_weight_of_zero_is_a_tap_all_the_same():
    weight = torch.tensor([[[0.0, 1.0, 2.0, 0.0]]])
    operator = transposed(weight, stride=2, padding=1)
    assert int(operator.mask.sum()) == 4
    assert torch.equal(as_transposed(operator).weight, weight)
    assert int(convolution(weight, padding=1).mask.sum()) == 4


def test_phase_convolutions_have_no_taps_to_spare():
    form = as_phase_convs(transposed(torch.ones(1, 1, 3, 5), stride=2, padding=1))
    assert [tuple(weight.shape[2:]) for weight in form.weights] == [(1, 2), (1, 3), (2, 2), (2, 3)]


def test_a_crop_that_leaves_unpadded_reads_is_refused():
    form = as_transposed(linear(2, ndim=1))
    short = TransposedForm(
        weight=form.weight,
        stride=form.stride,
        dilation=form.dilation,
        pad=((0, 0),),
        crop=((1, 1),),
        border=form.border,
        groups=1,
        shared=True,
    )
    message = (
        "a transposed convolution with border clamp must crop every sample that reads beyond its pad; "
        "axis 0 reads (1, 1) cells beyond the input with a pad of (0, 0)"
    )
    with pytest.raises(NotRepresentableError, match=f"^{re.escape(message)}$"):
        from_transposed(short)
