import math

import pytest
import torch
from torch import nn

from upstroke.diagnose import chain_gain
from upstroke.errors import OptionError
from upstroke.layers import from_module
from upstroke.probe import measured_values

SIZE = (40, 56)


def example(channels=1, batch=1, size=SIZE, seed=0):
    return torch.rand(batch, channels, *size, generator=torch.Generator().manual_seed(seed))


def seeded(*layers, seed=1):
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(*layers).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return net


def only(found):
    [output] = found.outputs
    return output


def offsets(output):
    return [axis.offset for axis in output.drift]


def uniform(layer):
    nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
    nn.init.constant_(layer.bias, 0.1)
    return layer


def test_a_balanced_model_is_at_chance_without_a_peak():
    net = nn.Sequential(nn.Upsample(scale_factor=(2, 3)), uniform(nn.Conv2d(2, 3, 3, padding=1)))
    output = only(measured_values(net, [example(2)], periods=[(2, 3), (2, 1)]))
    for noise, constant in zip(output.noise, output.constant, strict=True):
        assert noise.p_value > 0.05
        assert noise.ratio < 1
        assert set(constant.peaks_db.values()) == {-math.inf}
        assert set(constant.gain_db.values()) == {-math.inf}
    assert offsets(output) == pytest.approx([-1 / 4, -1 / 3], abs=2e-3)
    assert [axis.edge for axis in output.drift] == pytest.approx([0, 0], abs=2e-3)


def test_an_activation_makes_a_pattern_of_unequal_variances():
    # the triangle keeps constants, but its phases pass different parts of noise
    grow = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1, bias=False)
    with torch.no_grad():
        grow.weight.copy_(torch.outer(*[torch.tensor([0.5, 1, 0.5])] * 2)[None, None])
    for last, values in ((nn.Identity(), False), (nn.ELU(alpha=3), True)):
        net = nn.Sequential(grow, last)
        output = only(measured_values(net, [example() - 0.5], periods=[2]))
        assert (output.noise[0].p_value < 0.01) is values
        assert output.constant[0].worst_db == -math.inf


def test_an_unbalanced_last_layer_shows_its_image_gain_and_a_variance_far_above_chance():
    linear = seeded(nn.Conv2d(1, 4, 3, padding=1), nn.ConvTranspose2d(4, 2, (3, 4), stride=(2, 3)))
    output = only(measured_values(linear, [example()], periods=[(2, 3)]))
    closed = chain_gain([from_module(layer) for layer in linear])
    analytic = {
        j: 20 * math.log10(level / closed.reference) for j, level in closed.level.items() if j != (0, 0)
    }
    assert len(analytic) == 5
    assert output.constant[0].gain_db == pytest.approx(analytic, abs=0.02)
    assert output.noise[0].p_value == pytest.approx(1 / 501)
    assert output.noise[0].ratio > 100
    assert output.noise[0].psv > output.noise[0].null_99


def test_the_peak_is_relative_to_what_the_model_draws_of_noise():
    stripes = 0.3 * torch.tensor([1.0, -1.0]).repeat(28)
    output = only(measured_values(lambda x: 5 * x + stripes, [example()], periods=[(1, 2), 2]))
    heights = [constant.peaks_db for constant in output.constant]
    assert output.noise_rms == pytest.approx(5 * 0.29, rel=0.05)
    wanted = 20 * math.log10(0.3 / output.noise_rms)
    assert heights[0] == pytest.approx({(0, 1): wanted}, abs=0.01)
    assert heights[1] == pytest.approx({(0, 1): wanted, (1, 0): -math.inf, (1, 1): -math.inf}, abs=0.01)
    # the stripes do not follow the constant
    assert output.constant[0].gain_db == {(0, 1): -math.inf}
    picture = torch.tensor(output.constant[0].picture)
    torch.testing.assert_close(picture, stripes[:28].expand(20, 28).roll(1, -1) * -1)


@pytest.mark.parametrize("invert", [1, -1])
def test_a_shift_is_measured(invert):
    output = only(measured_values(lambda x: invert * nn.functional.pad(x, (-3, 3, 5, -5)), [example()]))
    assert offsets(output) == pytest.approx([-5, 3], abs=1e-3)
    assert [axis.spacing for axis in output.drift] == [1, 1]
    assert [axis.method for axis in output.drift] == ["ramp", "ramp"]


def test_steps_are_small_beside_what_the_model_is_used_to():
    net = nn.Sequential(nn.Hardtanh(0, 2e-3), nn.ZeroPad2d((-3, 3, 5, -5)))
    output = only(measured_values(net, [1e-3 * example()]))
    assert [axis.method for axis in output.drift] == ["ramp", "ramp"]
    assert offsets(output) == pytest.approx([-5, 3], abs=1e-2)


def test_max_pools_are_measured_as_means():
    net = nn.Sequential(nn.MaxPool2d((3, 2), stride=2), nn.Upsample(scale_factor=2))
    output = only(measured_values(net, [example()]))
    # pools over 3 and 2 sit at 1 and 1/2, the resize moves by -1/2 input pixels
    assert offsets(output) == pytest.approx([1 / 2, 0], abs=1e-2)


def test_a_lopsided_kernel_is_found_at_its_centroid_and_not_at_its_middle():
    kernel = nn.Conv2d(1, 1, (1, 5), padding=(0, 2), bias=False)
    with torch.no_grad():
        kernel.weight.copy_(torch.tensor([0.0, 0.0, 0.5, 0.4, 0.1]).reshape(1, 1, 1, 5))
    assert offsets(only(measured_values(kernel, [example()]))) == pytest.approx([0, 0.6], abs=1e-3)


def test_aligned_corners_have_their_own_spacing():
    net = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
    output = only(measured_values(net, [example()], periods=[2]))
    assert [axis.spacing for axis in output.drift] == pytest.approx([39 / 79, 55 / 111])
    assert offsets(output) == pytest.approx([0, 0], abs=1e-3)


def test_a_crop_without_padding_keeps_the_spacing():
    net = nn.Sequential(nn.AvgPool2d((5, 3), stride=1), nn.AvgPool2d((5, 3), stride=1))
    output = only(measured_values(net, [example()]))
    assert [axis.spacing for axis in output.drift] == [1, 1]
    assert offsets(output) == pytest.approx([4, 2], abs=1e-3)


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d(1), nn.GroupNorm(1, 1)])
def test_behind_a_normalisation_waves_measure(norm):
    net = nn.Sequential(nn.ZeroPad2d((-3, 3, 2, -2)), norm, nn.Upsample(scale_factor=(1, 2)))
    output = only(measured_values(net, [example()], periods=[2]))
    assert [axis.method for axis in output.drift] == ["waves", "waves"]
    for axis, wanted in zip(output.drift, (-2, 3 - 1 / 4), strict=True):
        assert axis.error < 0.05
        assert axis.offset == pytest.approx(wanted, abs=max(0.02, 4 * axis.error))


def test_a_derivative_has_a_place_though_no_zeroth_moment():
    down, right = only(measured_values(lambda x: x[..., 2:] - x[..., :-2], [example()])).drift
    assert down.offset is None
    assert right.method == "waves"
    assert right.offset == pytest.approx(1, abs=1e-3)


def test_what_mixes_the_whole_map_is_not_measured():
    torch.manual_seed(0)
    mix = torch.randn(SIZE[0], SIZE[0])
    down, right = only(measured_values(lambda x: mix @ x, [example()])).drift
    assert down.offset is None
    assert down.reason.startswith("waves come out changed: one place explains ")
    assert right.offset is not None


def test_three_axes_have_their_own_numbers():
    net = nn.Sequential(nn.ConstantPad3d((1, -1, 0, 0, -2, 2), 0.0), nn.Upsample(scale_factor=(1, 2, 3)))
    found = measured_values(net, [example(size=(16, 12, 14))], periods=[(1, 2, 3)])
    output = only(found)
    assert found.size == (16, 12, 14)
    assert offsets(output) == pytest.approx([2, -1 / 4, -1 - 1 / 3], abs=1e-2)


def test_one_axis():
    net = nn.Upsample(scale_factor=4, mode="linear")
    output = only(measured_values(net, [example(size=(64,))], periods=[4]))
    assert offsets(output) == pytest.approx([-3 / 8], abs=1e-3)


def test_only_maps_of_the_first_ones_size_are_replaced():
    seen = []

    def model(small, times, maps, tokens, same):
        seen.append((small, times, maps, tokens, same))
        return {"sample": maps + same.mean(dim=1, keepdim=True), "length": times, "rest": (maps.mean(),)}

    inputs = [
        torch.zeros(1, 4, 1, 1),
        torch.tensor([3.0]),
        example(),
        torch.arange(5),
        example(3, seed=1),
    ]
    found = measured_values(model, inputs)
    assert found.replaced == (2, 4)
    assert only(found).middle.output == "sample"
    for call in seen:
        assert [torch.equal(call[i], inputs[i]) for i in (0, 1, 3)] == [True] * 3
    assert not torch.equal(seen[1][2], inputs[2])


def test_what_is_no_map_is_left_out_and_a_batched_output_is_read():
    def model(x):
        return x.mean(dim=1), x[:, None], x.flatten(1), x.argmax(dim=1), x[..., :1]

    found = measured_values(model, [example(3)])
    assert [each.middle.output for each in found.outputs] == ["0", "1"]
    assert measured_values(lambda x: x.mean(), [example()]).reason == "no output is a map of 2 axes"


def test_a_generator_draws_latents_and_says_what_does_not_apply():
    net = seeded(nn.ConvTranspose2d(8, 4, 4), nn.ReLU(), nn.ConvTranspose2d(4, 1, 5, stride=4, padding=0))
    latents = torch.randn(4, 8, 1, 1, generator=torch.Generator().manual_seed(0))
    found = measured_values(net, [latents], periods=[2])
    assert found.size == ()
    assert found.reason == (
        "a generator from latents has no place for a constant map or a ramp; noise was drawn for them"
    )
    assert (only(found).constant, only(found).drift) == ((), ())
    assert only(found).noise[0].psv > 0


def test_numbers_are_the_same_again_and_random_numbers_are_left_alone():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout(0.5))
    net.train()
    before = torch.random.get_rng_state()
    first = measured_values(net, [example()])
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(5)
    second = measured_values(net, [example()])
    assert only(first).noise == only(second).noise
    assert only(first).drift == only(second).drift
    assert only(first).noise != only(measured_values(net, [example()], seed=1)).noise


def test_levels_and_spreads_are_the_examples():
    assert measured_values(nn.Identity(), [3 + 0.5 * example()]).level[0] == pytest.approx(3.25, abs=0.02)
    # around zero a kernel shows nothing of what it makes of a level
    normal = torch.randn(1, 1, *SIZE, generator=torch.Generator().manual_seed(0))
    assert measured_values(nn.Identity(), [normal]).level[0] == pytest.approx(0.5, abs=0.02)
    zeros = measured_values(nn.Identity(), [torch.zeros(1, 1, *SIZE)])
    assert (zeros.level, zeros.spread) == ((0.5,), (1.0,))


def test_half_precision_is_measured_more_coarsely():
    output = only(measured_values(nn.Upsample(scale_factor=2), [example().bfloat16()], periods=[2]))
    assert offsets(output) == pytest.approx([-0.25, -0.25], abs=0.05)


def test_small_maps_say_so():
    output = only(measured_values(nn.Upsample(scale_factor=2), [example(size=(4, 40))], periods=[4]))
    assert output.noise[0].reason == "the middle of the map, 4x40, holds no two periods"
    assert output.constant[0].reason == "the middle of the map, 4x40, holds no three periods"


@pytest.mark.parametrize(
    ("model", "inputs", "options", "message"),
    [
        (
            nn.Identity(),
            [torch.zeros(3, dtype=torch.long)],
            {},
            (
                "the model must take at least one tensor of floating numbers for noise to take its place; got "
                "1 inputs, none of which is"
            ),
        ),
        (
            nn.Identity(),
            [torch.full((1, 1, 8, 8), math.nan)],
            {},
            "an example input must be finite to be probed around; got NaN or infinity; give another",
        ),
        (
            nn.Identity(),
            [example()],
            {"draws": 1},
            "draws must be at least 2, for there to be chance; got 1",
        ),
        (
            nn.Linear(3, 3),
            [example()],
            {},
            (
                "a model must take a test signal in the place of the example to be probed; got: mat1 and mat2 "
                "shapes cannot be multiplied (40x56 and 3x3)"
            ),
        ),
        (
            lambda x: x[..., : int(8 + 8 * x.flatten()[0])],
            [torch.ones(1, 1, 16, 16)],
            {},
            None,
        ),
    ],
)
def test_refusals(model, inputs, options, message):
    with pytest.raises(OptionError) as caught:
        measured_values(model, inputs, **options)
    if message is None:
        assert str(caught.value).startswith(
            "a model must answer a test signal with the shapes that it gives the example; got (1, 1, 16, "
        )
    else:
        assert str(caught.value) == message


def test_the_mnist_generator_shows_its_checkerboard(data_dir):
    sizes = ((64, 256, 3, 2), (256, 128, 4, 1), (128, 64, 3, 2), (64, 1, 4, 2))
    blocks = [
        nn.Sequential(nn.ConvTranspose2d(into, out, kernel, stride), nn.BatchNorm2d(out), nn.ReLU())
        for into, out, kernel, stride in sizes
    ]
    blocks[-1] = nn.Sequential(blocks[-1][0], nn.Tanh())
    net = nn.Sequential()
    net.add_module("gen", nn.Sequential(*blocks))
    net.load_state_dict(torch.load(data_dir / "models/dcgan_mnist/generator.pth", weights_only=True))
    latents = torch.randn(8, 64, 1, 1, generator=torch.Generator().manual_seed(0))
    by_period = {each.period: each for each in only(measured_values(net.eval(), [latents])).noise}
    # the last layer is nearly balanced; the one before it, k3 s2, leaves a pattern of 4
    assert by_period[4, 4].p_value == pytest.approx(1 / 501)
    assert by_period[4, 4].psv > 3 * by_period[4, 4].null_99
    # a map of latents has a middle, in which a constant leaves the same patterns
    wide = only(measured_values(net, [latents[:1].repeat(1, 1, 8, 8)], periods=[2, 4, 8]))
    assert wide.noise[1].p_value == pytest.approx(1 / 501)
    assert all(constant.worst_db > -60 for constant in wide.constant)
    assert wide.constant[2].worst_db > wide.constant[0].worst_db


def test_a_resnet_encoder_under_a_nearest_decoder_drifts_by_fifteen_and_a_half_pixels():
    convolutions = [(7, 3), (3, 1), (3, 1), (3, 1)]
    stem, *stages = (
        uniform(nn.Conv2d(1, 1, kernel, stride=2, padding=padding)) for kernel, padding in convolutions
    )
    pool = nn.MaxPool2d(3, stride=2, padding=1)
    net = nn.Sequential(stem, nn.ReLU(), pool, *stages, nn.Upsample(scale_factor=32))
    output = only(measured_values(net, [example(size=(512, 384))], periods=[32], draws=2))
    assert [axis.method for axis in output.drift] == ["ramp", "ramp"]
    assert offsets(output) == pytest.approx([-15.5, -15.5], abs=0.05)
