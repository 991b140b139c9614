"""A lifted layer is the layer: to rounding, borders included, or outside a margin it states."""

import re

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from drawn_layers import FAMILIES, resizes, sequences, single_layers
from tolerance import assert_same
from upstroke import from_module, to_module, upsample
from upstroke.errors import NotRepresentableError
from upstroke.layers import Interleave, adjoint_of
from upstroke.ops import IMPLS, adjoint
from upstroke.ops.native import is_depthwise


def layer_output(layer, x):
    """What the layer gives, if it takes this size at all."""
    try:
        y = layer(x)
    except RuntimeError:  # PyTorch says so of kernels and pads larger than the map
        assume(False)
    assume(0 < y.numel() < 3e5)
    return y.detach()


def inside(y, margin):
    sizes = zip(margin, y.shape[2:], strict=True)
    return y[:, :, *(slice(left, max(left, size - right)) for (left, right), size in sizes)]


@pytest.mark.parametrize("impl", sorted(IMPLS))
@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
def test_a_layer_and_its_operator_give_the_same_map(family, impl, data):
    layer, x = data.draw(single_layers(family))
    expected = layer_output(layer, x)
    affine = from_module(layer, ndim=x.ndim - 2)
    assert all(side == 0 for axis in affine.operator.margin for side in axis)
    if impl == "native" and not is_depthwise(affine.operator):
        impl = "auto"
    assert_same(upsample(x, affine, impl=impl).detach(), expected)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family is not resizes])
@given(data=st.data())
def test_in_float32_too(family, data):
    layer, x = data.draw(single_layers(family))
    layer, x = layer.float(), x.float()
    expected = layer_output(layer, x)
    assert_same(from_module(layer)(x).detach(), expected)


@given(drawn=sequences())
def test_a_sequence_and_its_operator_agree_outside_the_stated_margin(drawn):
    layers, x = drawn
    expected = layer_output(layers, x)
    affine = from_module(layers)
    actual = affine(x).detach()
    assert actual.shape == expected.shape
    margin = affine.operator.margin
    if inside(expected, margin).numel():
        assert_same(inside(actual, margin), inside(expected, margin))


@given(drawn=sequences(most=2), form=st.sampled_from(["auto", "shuffle"]))
def test_layers_made_from_an_operator_compute_it(drawn, form):
    layers, x = drawn
    layer_output(layers, x)
    affine = from_module(layers)
    assume(not affine.operator.shared)
    made = to_module(affine, form=form)
    try:
        actual = made(x)
    except RuntimeError as error:  # PyTorch wraps a map around only once
        assume("wrapping" not in str(error))
        raise
    assert_same(actual.detach(), affine(x).detach())


@given(drawn=single_layers(FAMILIES[0]))
def test_a_transposed_convolution_comes_back_as_one(drawn):
    layer, x = drawn
    layer_output(layer, x)
    back = to_module(from_module(layer), form="transposed")
    assert_same(back(x).detach(), layer(x).detach())
    if type(back) is type(layer):
        assert back.weight.shape[:2] == layer.weight.shape[:2]
    else:
        kernel = zip(layer.kernel_size, layer.stride, strict=True)
        # only a kernel shorter than the stride, or one that is cropped whole, needs more than the layer
        assert any(k < s for k, s in kernel) or max(layer.output_padding) > 0


@pytest.mark.parametrize(
    ("layers", "margin"),
    [
        ([nn.Conv2d(2, 3, 3, padding=2), nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1)], ((0, 0),) * 2),
        ([nn.Conv2d(2, 3, 3, padding=1), nn.ConvTranspose2d(3, 2, 2, stride=2)], ((0, 0),) * 2),
        ([nn.Conv2d(2, 8, 3, padding=1), nn.PixelShuffle(2)], ((0, 0),) * 2),
        ([nn.ConvTranspose2d(2, 3, 4, stride=2), nn.Conv2d(3, 2, 3, padding=1)], ((0, 0),) * 2),
        ([nn.Conv2d(2, 3, 3, padding=1), nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1)], ((1, 1),) * 2),
        ([nn.Upsample(scale_factor=2.0), nn.Conv2d(2, 3, (3, 5), padding=(1, 2))], ((0, 0),) * 2),
        (
            [nn.Upsample(scale_factor=2.0, mode="bilinear"), nn.Conv2d(2, 3, (3, 5), padding=(1, 2))],
            ((1, 1), (2, 2)),
        ),
        ([nn.Upsample(scale_factor=2.0, mode="bilinear"), nn.Conv2d(2, 3, 3)], ((0, 0),) * 2),
        (
            [
                nn.Upsample(scale_factor=2.0, mode="bilinear"),
                nn.Conv2d(2, 3, 3, padding=1, padding_mode="replicate"),
            ],
            ((0, 0),) * 2,
        ),
        (
            [
                nn.Upsample(scale_factor=2.0, mode="bicubic"),
                nn.Conv2d(2, 3, 3, padding=1, padding_mode="replicate"),
            ],
            ((1, 1),) * 2,
        ),
        (
            [nn.ReplicationPad2d(1), nn.Conv2d(2, 3, 3), nn.ConvTranspose2d(3, 2, 2, stride=2)],
            ((0, 0),) * 2,
        ),
    ],
)
def test_where_a_sequence_is_exact_is_known(layers, margin):
    for layer in layers:
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)
    layers = nn.Sequential(*layers).double().eval()
    x = torch.randn(2, 2, 6, 9, dtype=torch.float64)
    affine = from_module(layers)
    assert affine.operator.margin == margin
    expected, actual = layers(x).detach(), affine(x).detach()
    assert_same(inside(actual, margin), inside(expected, margin))
    for axis, (left, right) in enumerate(margin):
        difference = (actual - expected).abs().movedim(2 + axis, 0).flatten(1).amax(dim=1)
        if left:
            assert difference[left - 1] > 1e-6
            assert difference[-right] > 1e-6


def test_a_bias_before_zero_padding_widens_the_margin():
    layers = (
        nn.Sequential(nn.BatchNorm2d(2), nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1)).double().eval()
    )
    assert from_module(layers).operator.margin == ((0, 0), (0, 0))
    layers[0].bias.data.fill_(0.5)
    affine, x = from_module(layers), torch.randn(1, 2, 5, 7, dtype=torch.float64)
    assert affine.operator.margin == ((1, 1), (1, 1))
    assert_same(affine(x).detach()[:, :, 1:-1, 1:-1], layers(x).detach()[:, :, 1:-1, 1:-1])


def test_a_bias_before_a_pixel_shuffle_becomes_one_per_phase():
    layers = nn.Sequential(nn.Conv2d(2, 12, 1), nn.PixelShuffle(2))
    affine = from_module(layers)
    assert torch.equal(affine.bias, layers[0].bias.reshape(3, 4).T)


def test_batch_norm_folds_into_the_layer_before_it():
    layers = nn.Sequential(nn.ConvTranspose2d(2, 4, (3, 4), stride=(2, 3), padding=1), nn.BatchNorm2d(4))
    layers = layers.double().eval()
    layers[1].running_mean.uniform_(-1, 1)
    layers[1].running_var.uniform_(0.5, 2)
    x = torch.randn(2, 2, 5, 7, dtype=torch.float64)
    made = to_module(from_module(layers))
    assert isinstance(made, nn.ConvTranspose2d)
    assert_same(made(x).detach(), layers(x).detach())


def test_odd_scales_of_pytorchs_resize_in_float64():
    # PyTorch computes the coordinates of scale 3 in float32 only if scale_factor is given as such
    x = torch.randn(1, 2, 5, 7, dtype=torch.float64)
    for mode in ("bilinear", "bicubic"):
        expected = nn.functional.interpolate(x, scale_factor=3, mode=mode)
        assert_same(from_module(nn.Upsample(scale_factor=3, mode=mode))(x), expected)


def test_a_nearest_resize_takes_its_axes_from_its_neighbours():
    layers = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv3d(2, 3, 3, padding=1)).double()
    x = torch.randn(1, 2, 3, 4, 5, dtype=torch.float64)
    assert_same(from_module(layers)(x).detach(), layers(x).detach())


@pytest.mark.parametrize("scale", [(2,), (3, 2), (2, 1, 3)])
def test_interleave_is_a_pixel_shuffle_of_any_scale(scale):
    layer = Interleave(scale)
    phases = int(torch.tensor(scale).prod())
    x = torch.randn(2, 2 * phases, *(4, 5, 3)[: len(scale)], dtype=torch.float64)
    assert_same(from_module(layer)(x), layer(x))
    assert repr(layer) == f"Interleave(scale={scale})"


@given(drawn=single_layers(FAMILIES[1]), stride=st.integers(1, 3))
def test_a_strided_convolution_is_the_adjoint_of_its_operator(drawn, stride):
    layer, x = drawn
    ndim = x.ndim - 2
    layer = type(layer)(
        2, 3, layer.kernel_size, stride=stride, padding=1, dilation=layer.dilation, bias=False
    ).double()
    x = torch.randn(2, 2, *(9, 8, 10)[:ndim], dtype=torch.float64)
    expected = layer_output(layer, x)
    reach = [d * (k - 1) + 1 for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
    # PyTorch refuses an output_padding of the stride or more, which a remainder never is
    left = tuple((size + 2 - length) % stride for size, length in zip(x.shape[2:], reach, strict=True))
    assert_same(adjoint(x, adjoint_of(layer, output_padding=left)).detach(), expected.detach())


def test_gradients_reach_the_layers_weights():
    layer = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1).double()
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64)
    expected = torch.autograd.grad(layer(x).square().sum(), [layer.weight, layer.bias])
    actual = torch.autograd.grad(from_module(layer)(x).square().sum(), [layer.weight, layer.bias])
    for one, two in zip(actual, expected, strict=True):
        assert_same(one, two)


def test_a_reparametrized_weight_is_seen_as_it_acts():
    layer = nn.utils.parametrizations.weight_norm(nn.ConvTranspose1d(2, 3, 4, stride=2).double())
    x = torch.randn(1, 2, 6, dtype=torch.float64)
    assert_same(from_module(layer)(x).detach(), layer(x).detach())


class Twice(nn.Conv2d):
    """A convolution that does something else."""

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            nn.ReLU(),
            (
                "only layers that are linear in their input have an operator; got ReLU, so lift the layers before "
                "and after it one by one"
            ),
        ),
        (
            nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU()),
            (
                "layer 1 of the sequence has no operator: only layers that are linear in their input have an "
                "operator; got ReLU, so lift the layers before and after it one by one"
            ),
        ),
        (
            Twice(1, 1, 1),
            (
                "Twice replaces the forward of Conv2d, so what it computes is unknown; lift a plain Conv2d with its "
                "weights instead"
            ),
        ),
        (
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            (
                "bilinear with align_corners=True samples at a spacing that depends on the input size, so no fixed "
                "set of phases describes it; use align_corners=False"
            ),
        ),
        (
            nn.UpsamplingBilinear2d(scale_factor=2),
            (
                "bilinear with align_corners=True samples at a spacing that depends on the input size, so no fixed "
                "set of phases describes it; use align_corners=False"
            ),
        ),
        (
            nn.Upsample(scale_factor=1.5),
            (
                "Upsample(scale_factor=1.5) is no whole number of output samples per cell, so its phases never "
                "repeat in step with the cells; use a whole scale_factor"
            ),
        ),
        (
            nn.Upsample(size=(8, 8)),
            (
                "Upsample(size=(8, 8)) has a scale that depends on the input size, so no fixed set of phases "
                "describes it; use scale_factor"
            ),
        ),
        (
            nn.Conv2d(1, 1, 3, stride=2),
            (
                "a convolution with stride (2, 2) makes maps smaller, so it is no upsampler; adjoint_of(layer) "
                "gives the operator whose adjoint it is"
            ),
        ),
        (
            nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
            (
                "padding_mode='reflect' continues the map as no border of an operator does; use zeros, replicate or "
                "circular"
            ),
        ),
        (
            nn.BatchNorm2d(3),
            (
                "BatchNorm2d that normalises by the batch's own mean and variance is not linear; call eval() on a "
                "layer that tracks running statistics"
            ),
        ),
        (
            nn.Sequential(nn.Identity()),
            "a sequence without layers that compute anything has no number of axes; lift one that has some",
        ),
    ],
)
def test_what_has_no_operator_is_refused_by_name(layer, message):
    with pytest.raises(NotRepresentableError, match=f"^{re.escape(message)}$"):
        from_module(layer)


@pytest.mark.usefixtures("_unchecked")
def test_refusals_on_the_way_back():
    from upstroke.errors import OptionError, ShapeError
    from upstroke.polyphase import nearest

    message = (
        "PyTorch's layers have a number of channels and this operator serves any; "
        "use to_module(operator.expand(channels))"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        to_module(nearest(2))
    message = "impl must be auto or one of reference, native, transposed, shuffle, phases; got 'fast'"
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        upsample(torch.zeros(1, 1, 2, 2), nearest(2), impl="fast")
    layers = nn.Sequential(nn.Conv2d(2, 12, 1), nn.PixelShuffle(2))
    message = (
        "a transposed convolution has one bias per channel; this map has one per phase, so use form='shuffle'"
    )
    with pytest.raises(NotRepresentableError, match=f"^{re.escape(message)}$"):
        to_module(from_module(layers), form="transposed")
    message = (
        "a convolution is the adjoint of a transposed convolution only with equal zero padding on both sides; "
        "got padding=(1, 1), padding_mode='circular'"
    )
    with pytest.raises(NotRepresentableError, match=f"^{re.escape(message)}$"):
        adjoint_of(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"))


def test_a_layer_that_stands_in_a_sequence_twice_acts_twice():
    up, conv = nn.Upsample(scale_factor=2), nn.Conv2d(2, 2, 3, padding=1)
    layers = nn.Sequential(up, conv, up, conv).double()
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64)
    affine = from_module(layers)
    assert affine.operator.scale == (4, 4)
    margin = affine.operator.margin
    assert_same(inside(affine(x).detach(), margin), inside(layers(x).detach(), margin))


def test_old_weight_norm_is_seen_as_it_will_act():
    # as after load_state_dict: the hook has not yet made the weight from the new g and v
    with pytest.warns(FutureWarning, match="weight_norm"):
        layer = nn.utils.weight_norm(nn.ConvTranspose1d(2, 3, 4, stride=2).double())
    layer.weight_g.data.mul_(3)
    x = torch.randn(1, 2, 6, dtype=torch.float64)
    affine = from_module(layer)
    assert_same(affine(x).detach(), layer(x).detach())


def test_a_pruned_layer_is_seen_as_it_will_act():
    layer = nn.utils.prune.random_unstructured(nn.ConvTranspose1d(2, 3, 4, stride=2).double(), "weight", 0.5)
    layer.weight_orig.data.mul_(2)
    x = torch.randn(1, 2, 6, dtype=torch.float64)
    assert_same(from_module(layer)(x).detach(), layer(x).detach())


class Standardised(nn.Conv2d):
    """A convolution whose weight is standardised in a method that forward calls."""

    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, weight / weight.std(), bias)


def patched():
    layer = nn.Conv2d(1, 1, 1)
    layer.forward = lambda x: 2 * x
    return layer


def hooked():
    layer = nn.Conv2d(1, 1, 1)
    layer.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
    return layer


def spectral():
    return nn.utils.parametrizations.spectral_norm(nn.Conv2d(2, 2, 1)).train()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Standardised(1, 1, 1), r"Standardised replaces the _conv_forward of Conv2d, so .*"),
        (patched, r"Conv2d replaces the forward of Conv2d, so .*"),
        (
            hooked,
            r"Conv2d has a forward pre-hook, function, that may change its input or weights; remove it, .*",
        ),
        (
            spectral,
            r".* under spectral_norm changes its weight when it is read in training; call eval\(\) first",
        ),
        (
            lambda: nn.LazyConv2d(3, 1),
            r"LazyConv2d has no weights before its first input; run it once, then lift it",
        ),
    ],
)
def test_what_hides_what_it_computes_is_refused(make, message):
    with pytest.raises(NotRepresentableError, match=f"^{message}$"):
        from_module(make())


def test_a_resize_and_a_convolution_keep_the_layers_dtype():
    layers = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3, padding=1))
    x = torch.rand(1, 4, 5, 7)
    made = to_module(from_module(layers))
    assert made(x).dtype == torch.float32
    assert_same(made(x).detach(), layers(x).detach())


def test_area_by_a_whole_factor_is_nearest():
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64)
    layer = nn.Upsample(scale_factor=2, mode="area")
    assert_same(from_module(layer)(x), layer(x))
