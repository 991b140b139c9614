"""The native form is the formula, its gradients are the formula's, in every layout, dtype and set of instructions."""

import os
import re
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from strategies import depthwise_operators, sizes, tensors
from tolerance import assert_same
from upstroke import choose, upsample
from upstroke.errors import BackendError, OptionError, ShapeError
from upstroke.ops import adjoint
from upstroke.ops import kernels as loading
from upstroke.ops.kernels import instructions
from upstroke.ops.layout import empty, is_channels_last
from upstroke.polyphase import cubic, kernel_form, linear, nearest, shuffle, transposed

MISSING = instructions() is None
pytestmark = pytest.mark.skipif(
    MISSING and os.environ.get("CI") != "true",
    reason="the compiled kernels are missing: install a C++17 compiler, then upstroke again",
)
OPS = torch.ops.upstroke
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
SETS = [] if MISSING else loading.native().available_instructions()


@contextmanager
def running(kernels, threads):
    """Run one set of instructions on so many threads."""
    before = instructions(), torch.get_num_threads()
    loading.native().use_instructions(kernels)
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        loading.native().use_instructions(before[0])
        torch.set_num_threads(before[1])


def laid(x, *, channels_last):
    return empty(x, x.shape, channels_last=channels_last).copy_(x)


def drawn_by(operator, dtype=None):
    """What every cell draws, and the numbers behind it, as the operators take them."""
    form = kernel_form(operator)
    border = [("zero", "clamp", "circular").index(each) for each in operator.border]
    numbers = list(operator.scale), list(form.crop), list(operator.excess), border
    return form.kernel.to(dtype or form.kernel.dtype).clone(), numbers


@st.composite
def operators_and_maps(draw, **settings):
    operator = draw(depthwise_operators(**settings))
    channels = draw(st.sampled_from((1, 2, 3, 5, 16, 33))) if operator.shared else operator.in_channels
    size = draw(sizes(operator.ndim, least=1, most={1: 40, 2: 9, 3: 5}[operator.ndim]))
    assume(all(s * n + e > 0 for s, n, e in zip(operator.scale, size, operator.excess, strict=True)))
    return operator, draw(tensors((draw(st.integers(1, 3)), channels, *size)))


def test_the_kernels_are_here():
    assert instructions() in SETS


@pytest.mark.parametrize("kernels", SETS)
@given(drawn=operators_and_maps(), data=st.data())
def test_native_is_the_formula(kernels, drawn, data):
    operator, x = drawn
    dtype, last = data.draw(st.sampled_from(DTYPES)), data.draw(st.booleans())
    x = laid(x.to(dtype), channels_last=last)
    with running(kernels, data.draw(st.integers(1, 2))):
        y = upsample(x, operator, impl="native")
    assert_same(y, upsample(x.double(), operator, impl="reference").to(dtype))
    assert is_channels_last(y) == is_channels_last(x)


@pytest.mark.parametrize("kernels", SETS)
@given(drawn=operators_and_maps(), data=st.data())
def test_gradients_are_those_of_the_formula(kernels, drawn, data):
    operator, x = drawn
    dtype, last = data.draw(st.sampled_from((torch.float64, torch.float32))), data.draw(st.booleans())
    x = laid(x.to(dtype), channels_last=last).requires_grad_()
    taps = operator.taps.to(dtype).requires_grad_()
    operator = replace(operator, taps=taps, support=None)
    y = upsample(x, operator, impl="reference")
    weight = data.draw(tensors(tuple(y.shape))).to(dtype)
    expected = torch.autograd.grad((y * weight).sum(), (x, taps))
    with running(kernels, data.draw(st.integers(1, 2))):
        ours = torch.autograd.grad((upsample(x, operator, impl="native") * weight).sum(), (x, taps))
    for one, two in zip(ours, expected, strict=True):
        assert_same(one, two)
    # a map of one cell lies either way
    assert x[0, 0].numel() == 1 or is_channels_last(ours[0]) == is_channels_last(x)


@given(drawn=operators_and_maps(), last=st.booleans())
def test_nothing_is_left_unwritten_nor_read_before(drawn, last):
    operator, x = drawn
    x = laid(x, channels_last=last).requires_grad_()
    taps = operator.taps.clone().requires_grad_()
    operator = replace(operator, taps=taps, support=None)
    with poisoned():
        y = upsample(x, operator, impl="native")
        gradients = torch.autograd.grad(y.square().sum(), (x, taps))
    assert all(torch.isfinite(each).all() for each in (y, *gradients))


@contextmanager
def poisoned():
    """Fill fresh memory with NaN."""
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.utils.deterministic.fill_uninitialized_memory
        assert torch.empty(3).isnan().all()
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("shared", [True, False])
@settings(max_examples=4)
@given(data=st.data())
def test_gradients_of_any_order(shared, data):
    operator = data.draw(depthwise_operators(ndims=(1, 2), max_scale=2, shared=shared))
    operator = replace(operator, taps=operator.taps[:, :2], groups=min(operator.groups, 2), support=None)
    channels = 2 if shared else operator.in_channels
    size = data.draw(sizes(operator.ndim, least=1, most=3))
    assume(all(0 < s * n + e < 6 for s, n, e in zip(operator.scale, size, operator.excess, strict=True)))
    x = data.draw(tensors((1, channels, *size))).requires_grad_()
    kernel, rest = drawn_by(operator)
    kernel, bias = kernel.requires_grad_(), data.draw(tensors((channels,))).requires_grad_()
    length = list(kernel.shape[2:])
    y = OPS.upsample(x, kernel, bias, *rest).detach().requires_grad_()
    three = (
        (lambda x, kernel, bias: OPS.upsample(x, kernel, bias, *rest), (x, kernel, bias)),
        (lambda y, kernel: OPS.upsample_adjoint(y, kernel, list(size), *rest), (y, kernel)),
        (lambda y, x: OPS.upsample_kernel_gradient(y, x, length, shared, *rest), (y, x)),
    )
    for apply, given_ in three:
        assert torch.autograd.gradcheck(apply, given_)
        assert torch.autograd.gradgradcheck(apply, given_)


# torch's own forward mode scripts its decompositions; can go when it no longer does
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_tangents_of_forward_mode():
    tensors = torch.randn(1, 3, 4, 5), torch.randn(3, 1, 4, 3), torch.randn(3)
    steps, rest = [torch.randn_like(each) for each in tensors], ([2, 2], [0, 1], [0, 1], [0, 1])
    forward = torch.autograd.forward_ad

    def tangent_by(*moved):
        with forward.dual_level():
            duals = (
                forward.make_dual(each, step) if place in moved else each
                for place, (each, step) in enumerate(zip(tensors, steps, strict=True))
            )
            return forward.unpack_dual(OPS.upsample(*duals, *rest)).tangent

    (x, kernel, _), (dx, dkernel, dbias) = tensors, steps
    by_x, by_kernel = OPS.upsample(dx, kernel, None, *rest), OPS.upsample(x, dkernel, None, *rest)
    by_bias = dbias[:, None, None].expand_as(by_x)
    assert_same(tangent_by(0, 1, 2), by_x + by_kernel + by_bias)
    assert_same(tangent_by(0), by_x)
    assert_same(tangent_by(1, 2), by_kernel + by_bias)
    assert_same(tangent_by(2), by_bias)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_depthwise_transposed_convolution_agrees(ndim, dtype, last):
    layer = (torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d)[ndim - 1]
    kernel, stride = (4, 3, 2)[:ndim], (2, 3, 1)[:ndim]
    layer = layer(19, 19, kernel, stride=stride, padding=1, groups=19, bias=False).to(dtype)
    operator = transposed(layer.weight.detach().double(), stride=stride, padding=1, groups=19)
    x = laid(torch.randn(2, 19, *(5, 7, 6)[:ndim]).to(dtype), channels_last=last)
    expected = layer.double()(x.double()).to(dtype)
    assert_same(upsample(x, operator, impl="native"), expected.detach())


@pytest.mark.parametrize(("mode", "make"), [("bilinear", linear), ("bicubic", cubic)])
def test_pytorchs_resize_agrees(mode, make):
    x = torch.randn(2, 5, 6, 9, dtype=torch.float64)
    expected = torch.nn.functional.interpolate(x, scale_factor=4, mode=mode)
    assert_same(upsample(x, make(4), impl="native"), expected)


@pytest.mark.parametrize(
    ("ndim", "dtype", "channels", "last"),
    [
        (1, torch.float32, 3, True),
        (1, torch.float64, 1, False),
        (2, torch.float32, 3, True),
        (2, torch.bfloat16, 3, False),
        (2, torch.float16, 1, True),
        (3, torch.float32, 1, True),
    ],
)
@pytest.mark.usefixtures("_unchecked")
def test_pytorch_finds_no_fault_in_the_operators(ndim, dtype, channels, last):
    operator = linear((2, 3, 2)[:ndim], ndim=ndim).expand(channels)
    near = {} if dtype.itemsize > 2 else {"atol": 1e-1, "rtol": 1e-1}
    kernel, rest = drawn_by(operator, torch.promote_types(dtype, torch.float32))
    bias = torch.randn(3, dtype=kernel.dtype)
    x = laid(torch.randn(2, 3, *(4, 5, 3)[:ndim]).to(dtype), channels_last=last)
    y = OPS.upsample(x, kernel, None, *rest)
    size, length = list(x.shape[2:]), list(kernel.shape[2:])
    for wanted in (False, True):
        x, y, kernel, bias = (each.detach().requires_grad_(wanted) for each in (x, y, kernel, bias))
        torch.library.opcheck(OPS.upsample.default, (x, kernel, None, *rest), **near)
        torch.library.opcheck(OPS.upsample.default, (x, kernel, bias, *rest), **near)
        torch.library.opcheck(OPS.upsample_adjoint.default, (y, kernel, size, *rest), **near)
        gradient = (y, x, length, channels == 1, *rest)
        torch.library.opcheck(OPS.upsample_kernel_gradient.default, gradient, **near)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_strides_that_are_neither_layout(ndim):
    operator = linear(2, ndim=ndim)
    whole = torch.randn(3, 8, *(6, 7, 5)[:ndim], dtype=torch.float64)
    views = (whole[::2, 1:7:2], whole[..., 1:-1], whole.flip(-1), whole[:1].expand(4, *whole.shape[1:]))
    for x in (*views, whole.movedim(0, -1)[..., :1].movedim(-1, 0)):
        assert_same(upsample(x, operator, impl="native"), upsample(x, operator, impl="reference"))


@pytest.mark.parametrize("shape", [(0, 3, 5, 7), (2, 0, 5, 7)])
def test_maps_without_numbers(shape):
    x = torch.zeros(shape, requires_grad=True)
    kernel, rest = drawn_by(linear(2), torch.float32)
    y = OPS.upsample(x, kernel.requires_grad_(), None, *rest)
    assert y.shape == (*shape[:2], 10, 14)
    by_x, by_kernel = torch.autograd.grad(y.sum(), (x, kernel))
    assert by_x.shape == shape
    assert torch.equal(by_kernel, torch.zeros_like(kernel))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kernel_and_bias_keep_their_own_dtype(dtype):
    kernel, rest = drawn_by(linear(2), dtype)
    wanted = torch.randn(2, 3, 5, 7, dtype=torch.bfloat16), kernel, torch.randn(3).to(dtype)
    wanted = [each.requires_grad_() for each in wanted]
    by_x, by_kernel, by_bias = torch.autograd.grad(OPS.upsample(*wanted, *rest).sum(), wanted)
    assert by_x.dtype == torch.bfloat16
    assert by_kernel.dtype == by_bias.dtype == dtype
    assert torch.equal(by_bias, torch.full((3,), 2.0 * 10 * 14, dtype=dtype))


@pytest.mark.parametrize("kernels", SETS)
@given(drawn=operators_and_maps(), data=st.data())
def test_a_bias_is_added_to_every_sample_before_it_is_rounded(kernels, drawn, data):
    operator, x = drawn
    dtype, last = data.draw(st.sampled_from(DTYPES)), data.draw(st.booleans())
    x, bias = laid(x.to(dtype), channels_last=last), data.draw(tensors((x.shape[1],))).to(dtype)
    kernel, rest = drawn_by(operator)
    with running(kernels, data.draw(st.integers(1, 2))):
        y = OPS.upsample(x, kernel, bias, *rest)
    expected = upsample(x.double(), operator, impl="reference")
    assert_same(y, (expected + bias.double().reshape(-1, *[1] * operator.ndim)).to(dtype))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "native", lambda: None)
        assert_same(OPS.upsample(x, kernel, bias, *rest), y)


def test_bfloat16_is_rounded_once():
    # 1 + 2^-9 everywhere: rounded to bfloat16 it would be 1
    kernel = torch.full((1, 1, 6), 1 + 2.0**-9)
    x = torch.full((1, 1, 4), 256.0, dtype=torch.bfloat16)
    y = OPS.upsample(x, kernel, None, [2], [2], [0], [1])
    assert torch.equal(y, torch.full((1, 1, 8), 3 * 256 * (1 + 2.0**-9)).to(torch.bfloat16))


def test_one_kernel_for_all_channels_is_not_repeated(monkeypatch):
    seen = []
    kernels = loading.native()

    def spy(*args):
        seen.append(args[-1].kernel_channels)
        kernels.upsample(*args)

    every = {name: getattr(kernels, name) for name in dir(kernels) if not name.startswith("_")}
    watched = SimpleNamespace(**every | {"upsample": spy})
    monkeypatch.setattr(loading, "native", lambda: watched)
    upsample(torch.randn(1, 64, 5, 6), linear(2), impl="native")
    assert seen == [1]


def cut(kernel, rest, data):
    """A kernel of any length, not only of whole cells: some of its numbers taken off either end."""
    scale, crop, *others = rest
    for axis, length in enumerate(kernel.shape[2:]):
        first = data.draw(st.integers(0, length - 1))
        kernel = kernel.narrow(2 + axis, first, data.draw(st.integers(1, length - first)))
        crop[axis] -= first
    return kernel, (scale, crop, *others)


@given(drawn=operators_and_maps(), data=st.data())
def test_without_kernels_pytorchs_forms_serve(drawn, data):
    operator, x = drawn
    dtype, last = data.draw(st.sampled_from(DTYPES)), data.draw(st.booleans())
    x = laid(x.to(dtype), channels_last=last)
    kernel, rest = cut(*drawn_by(operator), data)
    y = OPS.upsample(x, kernel, None, *rest)
    three = (
        (OPS.upsample, (x, kernel, None, *rest)),
        (OPS.upsample_adjoint, (y, kernel, list(x.shape[2:]), *rest)),
        (OPS.upsample_kernel_gradient, (y, x, list(kernel.shape[2:]), operator.shared, *rest)),
    )
    for apply, arguments in three:
        ours = apply(*arguments)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loading, "native", lambda: None)
            theirs = apply(*arguments)
        assert theirs.stride() == ours.stride()
        assert_same(theirs, ours)


def test_without_kernels_a_named_form_refuses_and_no_choice_takes_it(monkeypatch):
    monkeypatch.setattr(loading, "native", lambda: None)
    message = (
        "native needs the compiled kernels, which this installation lacks; install a C++17 compiler and then "
        "upstroke again, or use impl='auto'"
    )
    with pytest.raises(BackendError, match=f"^{re.escape(message)}$"):
        upsample(torch.zeros(1, 3, 5, 7), linear(2), impl="native")
    choice = choose(linear(2), x_shape=(1, 64, 128, 128))
    assert choice.impl != "native"
    assert choice.reason.endswith("; native is left out, its compiled kernels are not installed")
    x = torch.randn(1, 3, 5, 7, dtype=torch.float64)
    assert_same(upsample(x, linear(2)), upsample(x, linear(2), impl="reference"))
    assert_same(adjoint(upsample(x, linear(2)), linear(2)).sum(), upsample(x, linear(2)).sum())


@pytest.mark.parametrize(
    "operator", [shuffle(2).expand(4), transposed(torch.zeros(4, 3, 2, 2), stride=2), shuffle((1, 2))]
)
def test_channels_that_mix_are_refused(operator):
    message = (
        f"native works on every channel by itself, with one channel in and out per group; got "
        f"{operator.out_channels} outputs of {operator.in_channels} inputs in {operator.groups} groups, so use "
        "impl='auto'"
    )
    with pytest.raises(BackendError, match=f"^{re.escape(message)}$"):
        upsample(torch.zeros(1, 4, 5, 7), operator, impl="native")


X, KERNEL, REST = torch.zeros(2, 3, 5, 7), torch.zeros(3, 1, 4, 3), ([2, 2], [0, 0], [0, 0], [0, 1])


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: OPS.upsample(X.long(), KERNEL, None, *REST),
            OptionError,
            (
                "x must be float64, float32, bfloat16 or float16 and kernel floating; got torch.int64 and "
                "torch.float32, so convert them, for instance by .float()"
            ),
        ),
        (
            lambda: OPS.upsample(X, KERNEL.to(torch.complex64), None, *REST),
            OptionError,
            (
                "x must be float64, float32, bfloat16 or float16 and kernel floating; got torch.float32 and "
                "torch.complex64, so convert them, for instance by .float()"
            ),
        ),
        (
            lambda: OPS.upsample(X, KERNEL.to("meta"), None, *REST),
            OptionError,
            "x and kernel must be on one device; got cpu and meta, so move one by .to()",
        ),
        (
            lambda: OPS.upsample(X[0], KERNEL, None, *REST),
            ShapeError,
            (
                "x must have shape (batch, channels, *size) with 1 to 3 spatial axes, and kernel (channels, 1, "
                "*length) with as many; got shapes (3, 5, 7) and (3, 1, 4, 3)"
            ),
        ),
        (
            lambda: OPS.upsample(X, KERNEL, None, [2], *REST[1:]),
            ShapeError,
            "scale must have one number per axis, 2 of them; got (2,)",
        ),
        (
            lambda: OPS.upsample(X, KERNEL, None, *REST[:3], [0, 3]),
            OptionError,
            (
                "scale must be at least 1 and border one of 0 (zero), 1 (clamp) and 2 (circular) on every axis; "
                "got (2, 2) and (0, 3)"
            ),
        ),
        (
            lambda: OPS.upsample(X, KERNEL.transpose(0, 1), None, *REST),
            ShapeError,
            (
                "kernel must have 1 channel, or 3 to match x, then 1, and at least one number on every axis; "
                "got shape (1, 3, 4, 3)"
            ),
        ),
        (
            lambda: OPS.upsample(X[:, :2], KERNEL, None, *REST),
            ShapeError,
            (
                "kernel must have 1 channel, or 2 to match x, then 1, and at least one number on every axis; "
                "got shape (3, 1, 4, 3)"
            ),
        ),
        (
            lambda: OPS.upsample(X, KERNEL, torch.zeros(3, 1), *REST),
            ShapeError,
            "bias must have shape (3,) to match the channels of x; got (3, 1)",
        ),
        (
            lambda: OPS.upsample(X, KERNEL, torch.zeros(3).int(), *REST),
            OptionError,
            (
                "x must be float64, float32, bfloat16 or float16 and bias floating; got torch.float32 and "
                "torch.int32, so convert them, for instance by .float()"
            ),
        ),
        (
            lambda: OPS.upsample(X, KERNEL, None, *REST[:2], [0, -14], REST[3]),
            ShapeError,
            (
                "the input must be large enough to leave at least one output sample per axis; got size (5, 7), "
                "which gives (10, 0) at scale (2, 2) and excess (0, -14)"
            ),
        ),
        (
            lambda: OPS.upsample(X, KERNEL, None, *REST[:2], [0, 2**62], REST[3]),
            ShapeError,
            (
                "a map may have up to 2^60 numbers and up to 2^40 along an axis; got shape (2, 3, 5, 7), which "
                "gives size (10, 4611686018427387918), so use a smaller one"
            ),
        ),
        (
            lambda: OPS.upsample(X, KERNEL, None, REST[0], [0, 2**62], *REST[2:]),
            ShapeError,
            (
                "a map may have up to 2^60 numbers and up to 2^40 along an axis; got shape (2, 3, 5, 7), which "
                "gives size (10, 14), so use a smaller one"
            ),
        ),
        (
            lambda: OPS.upsample_adjoint(X, KERNEL, [5, 7], *REST),
            ShapeError,
            "y must have the shape (2, 3, 10, 14) of the output; got (2, 3, 5, 7)",
        ),
        (
            lambda: OPS.upsample_kernel_gradient(torch.zeros(2, 3, 10, 14).double(), X, [2, 2], False, *REST),
            OptionError,
            "y and x must have one dtype; got torch.float64 and torch.float32, so convert one by .to()",
        ),
    ],
)
def test_what_the_operators_cannot_take_is_said(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()


def test_a_map_on_the_meta_device_has_a_shape():
    y = upsample(torch.empty(2, 3, 5, 7, device="meta"), linear(2), impl="native")
    assert (y.device.type, tuple(y.shape)) == ("meta", (2, 3, 10, 14))


@pytest.mark.parametrize("dims", [(0, None, None), (0, 0, 0), (None, 0, None), (None, None, 0), (2, 1, None)])
@pytest.mark.parametrize("shared", [True, False])
def test_many_at_once(dims, shared):
    (_, rest), size = drawn_by(cubic((2, 3))), [4, 5]
    x, kernel = torch.randn(2, 3, *size).double(), torch.randn(1 if shared else 3, 1, 5, 4).double()
    bias = torch.randn(3).double()
    y = OPS.upsample(x, kernel, None, *rest)

    def many(tensor, dim):
        return tensor if dim is None else torch.stack([tensor, -2 * tensor, tensor**2], dim=dim)

    three = (
        (lambda x, kernel, bias: OPS.upsample(x, kernel, bias, *rest), (x, kernel, bias)),
        (lambda y, kernel: OPS.upsample_adjoint(y, kernel, size, *rest), (y, kernel)),
        (lambda y, x: OPS.upsample_kernel_gradient(y, x, [5, 4], shared, *rest), (y, x)),
    )
    for apply, given_ in three:
        over = dims[: len(given_)]
        if set(over) == {None}:
            continue
        every = [many(tensor, dim) for tensor, dim in zip(given_, over, strict=True)]
        expected = torch.stack(
            [
                apply(*(t if dim is None else t.select(dim, i) for t, dim in zip(every, over, strict=True)))
                for i in range(3)
            ]
        )
        assert_same(torch.vmap(apply, in_dims=over)(*every), expected)


def test_torch_func_is_served_by_pytorchs_forms_and_refused_by_the_kernels():
    x, operator = torch.randn(1, 2, 5, 6), linear(2)
    ours = torch.func.grad(lambda x: upsample(x, operator).square().sum())(x)
    assert_same(ours, adjoint(2 * upsample(x, operator), operator))
    message = (
        "torch.func takes no derivatives through the native kernels; got one of its transforms, so use "
        "torch.autograd, or upsample with impl='transposed'"
    )
    with pytest.raises(BackendError, match=f"^{re.escape(message)}$"):
        torch.func.grad(lambda x: upsample(x, operator, impl="native").square().sum())(x)


def test_taps_that_were_changed_in_place_are_seen():
    operator = replace(nearest(2), taps=torch.ones(4, 1, 1, 1, 1, dtype=torch.float64))
    x = torch.ones(1, 1, 2, 2)
    assert upsample(x, operator, impl="native").sum() == 16
    operator.taps.mul_(3)
    assert upsample(x, operator, impl="native").sum() == 48
    assert upsample(x, operator, impl="transposed").sum() == 48


def test_what_was_kept_in_inference_mode_serves_for_gradients():
    operator, x = linear(2), torch.randn(1, 2, 3, 4)
    for impl in ("native", "transposed", "shuffle", "phases"):
        with torch.inference_mode():
            before = upsample(x, operator, impl=impl)
        wanted = x.clone().requires_grad_()
        upsample(wanted, operator, impl=impl).sum().backward()
        assert wanted.grad is not None
        assert_same(upsample(x, operator, impl=impl), before.clone())
