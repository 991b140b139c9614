"""Hold that the cheaper forms are found where they are exact, and that they are as much cheaper as is said."""

from dataclasses import replace

import pytest
import torch
from test_rules import NEAREST, TANH, conv, grown, row, shaped, strided
from torch import nn

from upstroke.audit import check
from upstroke.graph import Graph, commuted_pointwise, folded_pointwise, merged_resize, sites
from upstroke.graph.steps import Convolution, Join, Pad, Resize, Same, TransposedConvolution
from upstroke.ops.peer_measured import PeerRow


def finding(model, code, inputs=None):
    """What a rule says of the first site."""
    return check(model, inputs, select=[code]).sites[0].verdicts[code]


def pointwise(into, out, *, bias=None, groups=1, ndim=2):
    return Convolution(
        weight=torch.rand(out, into // groups, *(1,) * ndim),
        bias=bias,
        stride=(1,) * ndim,
        padding=((0, 0),) * ndim,
        dilation=(1,) * ndim,
        groups=groups,
    )


def convolution(kernel, *, scale, groups=1, **changes):
    ndim = len(kernel)
    return row(
        Resize(mode="nearest", scale=tuple(map(float, scale)), coordinates="asymmetric"),
        Convolution(
            weight=torch.rand(4, 8 // groups, *kernel),
            bias=torch.rand(4),
            stride=(1,) * ndim,
            padding=tuple((k // 2, k // 2) for k in kernel),
            dilation=changes.pop("dilation", (1,) * ndim),
            groups=groups,
            **changes,
        ),
        size=(5, 7, 6)[:ndim],
    )


@pytest.mark.parametrize(("axes", "ratio"), [(1, 1.5), (2, 2.25), (3, 3.375)])
def test_nearest_and_k3_are_the_designs_ratios(axes, ratio):
    graph = replace(convolution((3,) * axes, scale=(2,) * axes), shapes={})
    found = finding(graph, "UP301")
    row_of_two = 6**axes * 8 * 4
    assert found.measure == row_of_two - row_of_two / ratio
    assert f" with {ratio:.4g} times fewer multiply–adds" in found.words
    assert found.words.endswith("per cell that comes in")


@pytest.mark.parametrize(
    ("kernel", "scale", "dilation", "elements"),
    [
        ((3, 5), (2, 3), (1, 1), 4 * 7),
        ((3, 3), (2, 3), (2, 1), 6 * 5),
        # of a dilated kernel the taps that meet no other keep their holes: s K of them
        ((3, 1), (2, 2), (3, 1), 6 * 2),
    ],
)
def test_elements_of_the_one_kernel_are_counted(kernel, scale, dilation, elements):
    graph = replace(convolution(kernel, scale=scale, dilation=dilation), shapes={})
    merged = merged_resize(sites(graph)[0], graph)
    assert int(merged.together.mask.sum()) == elements
    found = finding(graph, "UP301")
    saved = (scale[0] * kernel[0] * scale[1] * kernel[1] - elements) * 8 * 4
    assert found.measure == saved
    assert found.kind == ("finding" if saved else "ok")


def test_groups_stay_groups_and_sizes_are_those_of_the_map():
    graph = shaped(convolution((3, 3), scale=(2, 2), groups=2), t1=(1, 8, 10, 14), t2=(1, 4, 10, 14))
    found = finding(graph, "UP301")
    assert found.measure == 5 * 7 * (36 - 16) * 4 * 4
    assert found.words.endswith(": 8,960 for 20,160 at 5x7")


def test_a_measured_site_knows_its_cost():
    (site,) = check(row(grown())).as_json()["sites"]
    assert site["multiply_adds"] == 8 * 8 * 16 * 8 * 8
    (site,) = check(row(Resize(mode="linear", scale=(2.0, 2.0), coordinates="half_pixel"))).as_json()["sites"]
    assert site["multiply_adds"] == 8 * 8 * 4 * 4 * 8
    (site,) = check(row(NEAREST)).as_json()["sites"]
    assert site["multiply_adds"] == 0
    (site,) = check(replace(row(grown()), shapes={})).as_json()["sites"]
    assert site["multiply_adds"] is None


ZEROS = Pad(sides=((1, 1), (0, 2)))
APART = {
    "another resize": row(Resize(mode="linear", scale=(2.0, 2.0), coordinates="half_pixel"), conv(3)),
    "something between": row(NEAREST, TANH, conv(3)),
    "a stride": row(NEAREST, strided((3, 3))),
    "a 1x1 convolution": row(NEAREST, conv(1)),
    "too much reflection": row(NEAREST, replace(conv(5), border=None)),
    "another constant ahead": row(NEAREST, replace(ZEROS, border=None), conv(3)),
    "too much reflection ahead": row(NEAREST, replace(ZEROS, border=None, mirrored=True), conv(3)),
    "a shift that shows at the border": row(
        Resize(mode="nearest", scale=(2.0, 2.0), coordinates="half_pixel", rounding="floor"), conv(3)
    ),
    "a ratio that is not whole": row(
        Resize(mode="nearest", scale=(1.5, 2.0), coordinates="asymmetric"), conv(3)
    ),
}


@pytest.mark.parametrize("name", sorted(APART))
def test_what_is_not_the_same_is_not_merged(name):
    graph = APART[name]
    assert merged_resize(sites(graph)[0], graph) is None


def test_what_stands_between_and_moves_nothing_is_passed():
    graph = row(NEAREST, Same(), ZEROS, replace(conv(3), padding=((0, 0),) * 2))
    merged = merged_resize(sites(graph)[0], graph)
    assert [node.name for node in merged.between] == ["Same1", "Pad2"]
    replicate = row(NEAREST, replace(conv(3), border="clamp"))
    assert merged_resize(sites(replicate)[0], replicate) is not None


def taken_twice(*steps):
    """A row whose first map goes out as well."""
    graph = row(*steps)
    return Graph(
        model="two",
        source="by hand",
        nodes=graph.nodes,
        inputs=graph.inputs,
        outputs=(*graph.outputs, "t1"),
        shapes=graph.shapes,
    )


def test_a_map_that_others_take_too_stays():
    for second in (conv(3), conv(1)):
        graph = taken_twice(NEAREST, second)
        (site,) = sites(graph)
        assert merged_resize(site, graph) is commuted_pointwise(site, graph) is None
    graph = taken_twice(grown(), conv(1))
    assert folded_pointwise(sites(graph)[0], graph) == ()
    joined = row(NEAREST, Join(kind="add"))
    assert commuted_pointwise(sites(joined)[0], joined) is None


MODES = [("nearest", {}), ("bilinear", {"align_corners": True}), ("bicubic", {}), ("bilinear", {})]


@pytest.mark.parametrize(("mode", "how"), MODES)
@pytest.mark.parametrize("scale", [2, (1.5, 2.5)])
def test_a_matrix_over_channels_changes_places_with_any_resize(mode, how, scale):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Upsample(scale_factor=scale, mode=mode, **how), nn.Conv2d(8, 2, 1)).eval()
    x = torch.rand(1, 8, 8, 6)
    found = finding(net, "UP302", x)
    cells, samples = 8 * 6, net(x)[0, 0].numel()
    taps = {"nearest": 0, "bilinear": 4, "bicubic": 16}[mode]
    assert found.measure == pytest.approx((samples - cells) * 16 - samples * taps * (2 - 8))
    assert found.fix == "exact: moves the 1×1 convolution in front of the resize"
    with torch.no_grad():
        torch.testing.assert_close(net[0](net[1](x)), net(x), rtol=1e-4, atol=1e-5)


def test_moving_a_resize_to_more_channels_is_counted():
    many = row(Resize(mode="cubic", scale=(2.0, 2.0), coordinates="half_pixel"), pointwise(8, 64))
    found = finding(many, "UP302")
    assert (found.kind, found.measure) == ("ok", 64 * (3 * 512 - 4 * 16 * 56))


def test_depthwise_kernels_that_are_all_equal_are_a_resize_whose_bias_stays():
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=8, bias=False)
    reduce = nn.Conv2d(8, 2, 1)
    with torch.no_grad():
        layer.weight[:] = layer.weight[:1].clone()
    net, x = nn.Sequential(layer, reduce), torch.rand(1, 8, 8, 6)
    found = finding(net, "UP302", x)
    assert found.fix == (
        "exact: moves the 1×1 convolution in front of the resize; its bias stays where it is"
    )
    narrow = nn.ConvTranspose2d(2, 2, 4, 2, 1, groups=2, bias=False)
    with torch.no_grad():
        narrow.weight[:] = layer.weight[:2]
        low = torch.nn.functional.conv2d(x, reduce.weight)
        torch.testing.assert_close(narrow(low) + reduce.bias[:, None, None], net(x))
        layer.weight[0] += 1
    assert finding(net, "UP302", x).kind == "ok"


def wide(into, out):
    """A transposed convolution k4 s2 of these channels."""
    return TransposedConvolution(
        weight=torch.rand(into, out, 4, 4),
        bias=None,
        stride=(2, 2),
        padding=((1, 1), (1, 1)),
        output_padding=(0, 0),
        dilation=(1, 1),
    )


def test_a_matrix_behind_or_before_a_transposed_convolution_folds():
    behind = finding(row(wide(8, 8), pointwise(8, 4), size=(5, 7)), "UP302")
    assert behind.measure == 35 * (16 * 8 * 8 + 4 * 8 * 4 - 16 * 8 * 4)
    before = finding(row(pointwise(8, 16), wide(16, 4)), "UP302")
    assert before.measure == 8 * 16 + 16 * 16 * 4 - 16 * 8 * 4
    assert before.words.endswith(" per cell that comes in")
    assert (
        before.fix
        == behind.fix
        == ("exact: folds the 1×1 convolution into the weights of the transposed convolution")
    )


def test_a_bias_before_a_transposed_convolution_does_not_fold():
    graph = row(pointwise(8, 16, bias=torch.ones(16)), wide(16, 4))
    assert folded_pointwise(sites(graph)[0], graph) == ()
    graph = row(pointwise(8, 16, bias=torch.zeros(16)), wide(16, 4))
    assert [each.side for each in folded_pointwise(sites(graph)[0], graph)] == ["before"]


def test_a_bottleneck_or_a_group_is_left_alone():
    narrow = finding(row(pointwise(64, 4), wide(4, 64)), "UP302")
    assert (narrow.kind, narrow.words) == ("ok", "its 1×1 convolution is cheapest where it stands")
    assert finding(row(wide(8, 8), pointwise(8, 8, groups=2)), "UP302").measure is None


def border(graph):
    return check(graph, select=["UP205"]).sites[0].verdicts["UP205"]


def test_only_the_last_upsampler_is_judged_by_its_border():
    kinds = [
        each.verdicts["UP205"].kind
        for each in check(row(grown(), TANH, grown(), TANH, conv(3)), select=["UP205"]).sites
    ]
    assert kinds == ["ok", "finding"]
    graph = row(grown(), TANH, grown())
    both = replace(graph, outputs=("t2", "t3"))
    assert {each.verdicts["UP205"].kind for each in check(both, select=["UP205"]).sites} == {"finding"}


def test_the_dark_ends_are_named():
    line = torch.tensor([1.0, 3.0, 3.0, 1.0])
    weight = torch.outer(line, torch.ones(2))[None, None].repeat(8, 8, 1, 1)
    found = border(row(grown(weight=weight)))
    # along the second axis nothing overlaps, whatever is cropped
    assert found.measure == pytest.approx(25)
    assert found.words.startswith(
        "zeros stand outside its input: 25 % of a constant is missing at its top and bottom"
    )
    assert border(row(grown(), size=(1, 1))).kind == "ok"


def test_a_border_is_dark_from_one_per_cent_on():
    for outer, kind in ((0.009, "ok"), (0.011, "finding")):
        line = torch.tensor([outer, 1 - outer, 1 - outer, outer])
        weight = torch.outer(line, torch.ones(2))[None, None].repeat(8, 8, 1, 1)
        assert border(row(grown(weight=weight))).kind == kind


def test_untrained_borders_are_notes():
    torch.manual_seed(0)
    net = nn.Sequential(nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.Tanh())
    (found,) = check(net, torch.rand(1, 8, 5, 6), select=["UP205"]).findings
    assert found.severity == "note"
    assert found.verdict.words.endswith("; its weights look untrained")


def peers(monkeypatch, *rows):
    """Put other measurements in the place of the table."""
    monkeypatch.setattr("upstroke.ops.peer.MEASURED", tuple(PeerRow(*each) for each in rows))


DEPTHWISE = row(replace(grown(weight=torch.ones(8, 1, 4, 4)), groups=8))


@pytest.mark.parametrize(("pytorch", "kind"), [(1.49, "ok"), (1.51, "finding")])
def test_the_nearest_measured_case_decides(monkeypatch, pytorch, kind):
    near = ("near, 8 @8x8", "depthwise", 2, 2, 4, 8, 64, pytorch, 1.0)
    far = ("far", "depthwise", 2, 2, 4, 16, 64, 9.0, 1.0)
    others = [("mode", "linear", 2, 2, 4, 8, 64, 9.0, 1.0), ("axes", "depthwise", 1, 2, 4, 8, 64, 9.0, 1.0)]
    peers(monkeypatch, far, near, *others)
    found = finding(DEPTHWISE, "UP303")
    assert (found.kind, found.measure) == (kind, pytorch)
    assert found.words == (
        f"PyTorch takes {pytorch} times as long as upstroke for near, 8 @8x8 ({pytorch} ms and 1 ms, float32, "
        "contiguous, one CPU thread), the nearest case that was measured"
    )


def test_what_was_not_measured_is_not_called_slow(monkeypatch):
    peers(monkeypatch, ("far", "depthwise", 2, 2, 4, 8 * 2**5, 64, 9.0, 1.0))
    unlike = finding(DEPTHWISE, "UP303")
    assert (unlike.kind, unlike.words, unlike.aside) == ("skipped", "nothing like it was measured", True)
    peers(monkeypatch, ("nearest", "nearest", 2, 2, 2, 8, 64, 9.0, 1.0))
    assert finding(row(NEAREST), "UP303").kind == "finding"
    assert (
        finding(row(NEAREST, conv(3)), "UP303").words == "it is one operator with the convolution behind it"
    )
    unknown = replace(row(NEAREST), shapes={})
    unsized = finding(unknown, "UP303")
    assert (unsized.kind, unsized.words, unsized.aside) == (
        "skipped", "how large its map is, is not known", True,
    )  # fmt: skip
    assert finding(row(grown()), "UP303").measure is None
    # beside other rules the site counts as checked, and alone it does not
    some = check(unknown)
    assert some.sites[0].verdicts["UP303"] == unsized
    assert "UP303" not in some.as_text()
    assert "partly" not in some.as_text()
    alone = check(unknown, select="UP303").as_text()
    assert "is not known" in alone
    assert "Nothing could be checked" in alone


def separable(energy, *, size=(5, 7), mixing=(8, 6), stride=(2, 2)):
    """A layer, pointwise first, of which the nearest separable kernel keeps so much."""
    torch.manual_seed(0)
    weight = torch.rand(*mixing, 1, 1) * torch.rand(1, mixing[1], 4, 4)
    # what is orthogonal to every output channel's rank-1 matrix, by its complement on both sides
    noise = torch.randn_like(weight)
    for out in range(mixing[1]):
        rows, kernel = weight[:, out, :1, 0], weight[0, out].flatten()
        left = torch.eye(len(rows)) - rows @ rows.T / rows.square().sum()
        right = torch.eye(16) - torch.outer(kernel, kernel) / kernel.square().sum()
        noise[:, out] = (left @ noise[:, out].flatten(1) @ right).reshape(-1, 4, 4)
    noise *= (weight.square().sum() / noise.square().sum() * (1 - energy) / energy).sqrt()
    return row(grown(weight=weight + noise, stride=stride), size=size)


def test_a_kernel_close_to_separable_states_its_error_and_its_saving():
    found = finding(separable(0.995), "UP304")
    assert (found.kind, found.measure) == ("finding", pytest.approx(0.995, abs=1e-4))
    assert found.words == (
        "the nearest separable kernel (pointwise-first) keeps 99.5 % of its energy: its output differs by 7.1 % "
        "(root mean square, for white input), with 5.333 times fewer multiply–adds: 5,040 for 26,880 at 5x7"
    )
    assert not found.fix
    assert finding(separable(0.985), "UP304").kind == "ok"


def test_separable_forms_that_save_nothing_are_not_proposed():
    assert finding(row(grown(kernel=(2, 2), weight=torch.ones(2, 2, 2, 1))), "UP304").words == (
        "a separable form of it would not be cheaper"
    )
    depthwise = replace(grown(weight=torch.ones(8, 1, 4, 4)), groups=8)
    assert finding(row(depthwise), "UP304").measure is None
