"""The native form is the formula, its gradients are the formula's, in every layout, dtype and set of instructions."""

import os
import re
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from strategies import depthwise_operators, sizes, tensors
from tolerance import assert_same
from upstroke import choose, upsample
from upstroke.errors import BackendError, OptionError, ShapeError
from upstroke.ops import adjoint, native
from upstroke.ops.kernels import instructions
from upstroke.ops.layout import empty, is_channels_last
from upstroke.polyphase import cubic, linear, nearest, shuffle, transposed

MISSING = instructions() is None
pytestmark = pytest.mark.skipif(
    MISSING and os.environ.get("CI") != "true",
    reason="the compiled kernels are missing: install a C++17 compiler, then upstroke again",
)
OPS = torch.ops.upstroke
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
SETS = [] if MISSING else native.native().available_instructions()


@contextmanager
def running(kernels, threads):
    """Run one set of instructions on so many threads."""
    before = instructions(), torch.get_num_threads()
    native.native().use_instructions(kernels)
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        native.native().use_instructions(before[0])
        torch.set_num_threads(before[1])


def laid(x, *, channels_last):
    return empty(x, x.shape, channels_last=channels_last).copy_(x)


def numbers(operator):
    border = [("zero", "clamp", "circular").index(each) for each in operator.border]
    return list(operator.scale), list(operator.origin), list(operator.excess), border


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
    taps = operator.taps[:, :, 0].clone().requires_grad_()
    rest = numbers(operator)
    y = OPS.upsample(x, taps, *rest).detach().requires_grad_()
    three = (
        (lambda x, taps: OPS.upsample(x, taps, *rest), (x, taps)),
        (lambda y, taps: OPS.upsample_adjoint(y, taps, list(size), *rest), (y, taps)),
        (lambda y, x: OPS.upsample_taps_gradient(y, x, list(taps.shape[2:]), shared, *rest), (y, x)),
    )
    for apply, given_ in three:
        assert torch.autograd.gradcheck(apply, given_)
        assert torch.autograd.gradgradcheck(apply, given_)


# torch's own forward mode scripts its decompositions; can go when it no longer does
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_tangents_of_forward_mode():
    x, taps, rest = torch.randn(1, 3, 4, 5), torch.randn(4, 3, 2, 2), ([2, 2], [0, 1], [0, 1], [0, 1])
    dx, dtaps = torch.randn_like(x), torch.randn_like(taps)
    forward = torch.autograd.forward_ad
    with forward.dual_level():
        y = OPS.upsample(forward.make_dual(x, dx), forward.make_dual(taps, dtaps), *rest)
        tangent = forward.unpack_dual(y).tangent
    assert_same(tangent, OPS.upsample(dx, taps, *rest) + OPS.upsample(x, dtaps, *rest))


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
    rest = numbers(operator)
    taps = operator.taps[:, :, 0].to(torch.promote_types(dtype, torch.float32))
    x = laid(torch.randn(2, 3, *(4, 5, 3)[:ndim]).to(dtype), channels_last=last)
    y = OPS.upsample(x, taps, *rest)
    kernel = list(taps.shape[2:])
    for wanted in (False, True):
        x, y, taps = (each.detach().requires_grad_(wanted) for each in (x, y, taps))
        torch.library.opcheck(OPS.upsample.default, (x, taps, *rest), **near)
        torch.library.opcheck(OPS.upsample_adjoint.default, (y, taps, list(x.shape[2:]), *rest), **near)
        torch.library.opcheck(
            OPS.upsample_taps_gradient.default, (y, x, kernel, channels == 1, *rest), **near
        )


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
    taps = linear(2).taps[:, :, 0].float().requires_grad_()
    y = OPS.upsample(x, taps, *numbers(linear(2)))
    assert y.shape == (*shape[:2], 10, 14)
    by_x, by_taps = torch.autograd.grad(y.sum(), (x, taps))
    assert by_x.shape == shape
    assert torch.equal(by_taps, torch.zeros_like(taps))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_taps_keep_their_own_dtype(dtype):
    x = torch.randn(2, 3, 5, 7, dtype=torch.bfloat16, requires_grad=True)
    taps = linear(2).taps[:, :, 0].to(dtype).requires_grad_()
    by_x, by_taps = torch.autograd.grad(OPS.upsample(x, taps, *numbers(linear(2))).sum(), (x, taps))
    assert by_x.dtype == torch.bfloat16
    assert by_taps.dtype == dtype


def test_bfloat16_is_rounded_once():
    # 1 + 2^-9 in every tap: rounded to bfloat16 it would be 1
    taps = torch.full((2, 1, 3), 1 + 2.0**-9)
    x = torch.full((1, 1, 4), 256.0, dtype=torch.bfloat16)
    y = OPS.upsample(x, taps, [2], [1], [0], [1])
    assert torch.equal(y, torch.full((1, 1, 8), 3 * 256 * (1 + 2.0**-9)).to(torch.bfloat16))


def test_one_kernel_for_all_channels_is_not_repeated(monkeypatch):
    seen = []
    kernels = native.native()

    class Spy:
        @staticmethod
        def upsample(*args):
            seen.append(args[5])
            kernels.upsample(*args)

    monkeypatch.setattr(native, "native", lambda: Spy)
    upsample(torch.randn(1, 64, 5, 6), linear(2), impl="native")
    assert seen == [1]


@given(drawn=operators_and_maps(), data=st.data())
def test_without_kernels_pytorchs_forms_serve(drawn, data):
    operator, x = drawn
    dtype, last = data.draw(st.sampled_from(DTYPES)), data.draw(st.booleans())
    x = laid(x.to(dtype), channels_last=last)
    taps, rest = operator.taps[:, :, 0], numbers(operator)
    y = OPS.upsample(x, taps, *rest)
    three = (
        (OPS.upsample, (x, taps, *rest)),
        (OPS.upsample_adjoint, (y, taps, list(x.shape[2:]), *rest)),
        (OPS.upsample_taps_gradient, (y, x, list(taps.shape[2:]), operator.shared, *rest)),
    )
    for apply, arguments in three:
        ours = apply(*arguments)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "native", lambda: None)
            theirs = apply(*arguments)
        assert theirs.stride() == ours.stride()
        assert_same(theirs, ours)


def test_without_kernels_a_named_form_refuses_and_no_choice_takes_it(monkeypatch):
    monkeypatch.setattr(native, "native", lambda: None)
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


X, TAPS, REST = torch.zeros(2, 3, 5, 7), torch.zeros(4, 3, 2, 2), ([2, 2], [0, 0], [0, 0], [0, 1])


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: OPS.upsample(X.long(), TAPS, *REST),
            OptionError,
            (
                "x must be float64, float32, bfloat16 or float16 and taps floating; got torch.int64 and "
                "torch.float32, so convert them, for instance by .float()"
            ),
        ),
        (
            lambda: OPS.upsample(X, TAPS.to(torch.complex64), *REST),
            OptionError,
            (
                "x must be float64, float32, bfloat16 or float16 and taps floating; got torch.float32 and "
                "torch.complex64, so convert them, for instance by .float()"
            ),
        ),
        (
            lambda: OPS.upsample(X, TAPS.to("meta"), *REST),
            OptionError,
            "x and taps must be on one device; got cpu and meta, so move one by .to()",
        ),
        (
            lambda: OPS.upsample(X[0], TAPS, *REST),
            ShapeError,
            (
                "x must have shape (batch, channels, *size) with 1 to 3 spatial axes, and taps (phases, "
                "channels, *kernel) with as many; got shapes (3, 5, 7) and (4, 3, 2, 2)"
            ),
        ),
        (
            lambda: OPS.upsample(X, TAPS, [2], *REST[1:]),
            ShapeError,
            "scale must have one number per axis, 2 of them; got (2,)",
        ),
        (
            lambda: OPS.upsample(X, TAPS, *REST[:3], [0, 3]),
            OptionError,
            (
                "scale must be at least 1 and border one of 0 (zero), 1 (clamp) and 2 (circular) on every axis; "
                "got (2, 2) and (0, 3)"
            ),
        ),
        (
            lambda: OPS.upsample(X, TAPS, [2, 3], *REST[1:]),
            ShapeError,
            (
                "taps must have one entry for each of the 6 phases of scale (2, 3) and at least one tap; got "
                "shape (4, 3, 2, 2)"
            ),
        ),
        (
            lambda: OPS.upsample(X[:, :2], TAPS, *REST),
            ShapeError,
            "taps must have 1 channel, or 2 to match x; got shape (4, 3, 2, 2)",
        ),
        (
            lambda: OPS.upsample(X, TAPS, *REST[:2], [0, -14], REST[3]),
            ShapeError,
            (
                "the input must be large enough to leave at least one output sample per axis; got size (5, 7), "
                "which gives (10, 0) at scale (2, 2) and excess (0, -14)"
            ),
        ),
        (
            lambda: OPS.upsample(X, TAPS, *REST[:2], [0, 2**62], REST[3]),
            ShapeError,
            (
                "a map may have up to 2^60 numbers and up to 2^40 along an axis; got shape (2, 3, 5, 7), which "
                "gives size (10, 4611686018427387918), so use a smaller one"
            ),
        ),
        (
            lambda: OPS.upsample(X, TAPS, REST[0], [0, 2**62], *REST[2:]),
            ShapeError,
            (
                "a map may have up to 2^60 numbers and up to 2^40 along an axis; got shape (2, 3, 5, 7), which "
                "gives size (10, 14), so use a smaller one"
            ),
        ),
        (
            lambda: OPS.upsample_adjoint(X, TAPS, [5, 7], *REST),
            ShapeError,
            "y must have the shape (2, 3, 10, 14) of the output; got (2, 3, 5, 7)",
        ),
        (
            lambda: OPS.upsample_taps_gradient(torch.zeros(2, 3, 10, 14).double(), X, [2, 2], False, *REST),
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


@pytest.mark.parametrize("dims", [(0, None), (0, 0), (None, 0), (2, 1)])
@pytest.mark.parametrize("shared", [True, False])
def test_many_at_once(dims, shared):
    rest, kernel, size = numbers(cubic((2, 3))), [5, 5], [4, 5]
    x, taps = torch.randn(2, 3, *size).double(), torch.randn(6, 1 if shared else 3, *kernel).double()
    y = OPS.upsample(x, taps, *rest)

    def many(tensor, dim):
        return tensor if dim is None else torch.stack([tensor, -2 * tensor, tensor**2], dim=dim)

    three = (
        (lambda x, taps: OPS.upsample(x, taps, *rest), (x, taps)),
        (lambda y, taps: OPS.upsample_adjoint(y, taps, size, *rest), (y, taps)),
        (lambda y, x: OPS.upsample_taps_gradient(y, x, kernel, shared, *rest), (y, x)),
    )
    for apply, pair in three:
        first, second = (many(tensor, dim) for tensor, dim in zip(pair, dims, strict=True))
        expected = torch.stack(
            [
                apply(
                    *(
                        t if dim is None else t.select(dim, i)
                        for t, dim in zip((first, second), dims, strict=True)
                    )
                )
                for i in range(3)
            ]
        )
        assert_same(torch.vmap(apply, in_dims=dims)(first, second), expected)


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
