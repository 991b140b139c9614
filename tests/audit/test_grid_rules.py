"""Hold what UP201 and UP204 say of where maps sit, on networks whose drifts follow from their strides by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from upstroke.audit import check, shift_of
from upstroke.grid import Grid


class Residual(nn.Module):
    def __init__(self, channels, *, stride=1):
        super().__init__()
        self.one = nn.Conv2d(channels, channels, 3, stride=stride, padding=1)
        self.two = nn.Conv2d(channels, channels, 3, padding=1)
        self.skip = nn.Conv2d(channels, channels, 1, stride=stride) if stride > 1 else nn.Identity()

    def forward(self, x):
        return F.relu(self.two(F.relu(self.one(x))) + self.skip(x))


class ResNetUNet(nn.Module):
    """The strides of a ResNet-18 under a decoder of five upsamplers."""

    def __init__(self, grow):
        super().__init__()
        self.stem = nn.Conv2d(3, 2, 7, stride=2, padding=3)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.stages = nn.ModuleList([Residual(2), *(Residual(2, stride=2) for _ in range(3))])
        self.up = nn.ModuleList([grow() for _ in range(5)])
        self.mix = nn.ModuleList([nn.Conv2d(4 if level < 4 else 2, 2, 3, padding=1) for level in range(5)])

    def forward(self, x):
        skips = [F.relu(self.stem(x))]
        y = self.pool(skips[0])
        for stage in self.stages:
            y = stage(y)
            skips.append(y)
        y = skips.pop()
        for level, mix in enumerate(self.mix):
            y = self.up[level](y)
            y = mix(torch.cat([y, skips.pop()], 1) if skips else y)
        return y


def nearest():
    return nn.Upsample(scale_factor=2)


def registered():
    return nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1, output_padding=1)


def judged(module, *inputs, code):
    report = check(module, inputs, select=[code])
    return [each for each in report.judged if each.verdicts]


def test_nearest_resizes_drift_from_a_resnet():
    joins = judged(ResNetUNet(nearest), torch.rand(1, 3, 32, 64), code="UP201")
    found = [each.verdicts["UP201"] for each in joins if each.verdicts["UP201"].kind == "finding"]
    assert [verdict.measure for verdict in found] == [8.0, 12.0, 14.0, 15.0]
    assert found[0].words == (
        "up.0 sits −8 pixels on every axis from stages.2.relu:2; training can make up for it, at the cost of as much "
        "receptive field"
    )
    assert found[3].words.startswith(
        "up.3 sits −15 pixels on every axis from relu (−4 pixels on every axis on average); "
    )
    # the residual additions of the encoder are joins, and together
    together = [each.verdicts["UP201"] for each in joins if each.verdicts["UP201"].kind == "ok"]
    assert [verdict.measure for verdict in together] == [0.0] * 4


def test_what_a_resnet_gives_is_shifted():
    (output,) = judged(ResNetUNet(nearest), torch.rand(1, 3, 32, 64), code="UP204")
    verdict = output.verdicts["UP204"]
    assert (verdict.kind, verdict.measure) == ("finding", 15.5)
    assert verdict.words == (
        "its samples sit −15.5 pixels on every axis from where those of 'input' put them, by the branch in it that is "
        "furthest off, and −2.5 pixels on every axis on average"
    )


@pytest.mark.parametrize("code", ["UP201", "UP204"])
def test_upsamplers_centred_on_samples_are_registered_to_it(code):
    found = judged(ResNetUNet(registered), torch.rand(1, 3, 32, 64), code=code)
    assert {(each.verdicts[code].kind, each.verdicts[code].measure) for each in found} == {("ok", 0.0)}


class Skip(nn.Module):
    """One level, each axis with its own stride and pool, and what is done to the grown map before the join."""

    def __init__(self, up, *, down=None, mix=None):
        super().__init__()
        self.down = down or nn.MaxPool2d((2, 4))
        self.up, self.mix = up, mix or nn.Identity()

    def forward(self, x):
        return self.mix(self.up(self.down(x))) + x


IMAGE = torch.rand(1, 1, 8, 12)


def test_each_axis_has_a_drift_of_its_own():
    # pools of 2 and 4, taken back by kernels on the samples: half a pixel, and one and a half
    up = nn.ConvTranspose2d(1, 1, (3, 5), stride=(2, 4), padding=(1, 2), output_padding=(1, 3))
    (join,) = judged(Skip(up), IMAGE, code="UP201")
    assert join.verdicts["UP201"].measure == 1.5
    assert join.verdicts["UP201"].words.startswith(
        "up sits 0.5 pixels on axis 0, 1.5 pixels on axis 1 from input; "
    )
    (join,) = judged(Skip(nn.Upsample(scale_factor=(2, 4))), IMAGE, code="UP201")
    assert (join.verdicts["UP201"].kind, join.verdicts["UP201"].words) == (
        "ok",
        "up and input sit on the same grid",
    )


def test_a_mixture_and_what_is_made_of_it_are_together():
    class After(Skip):
        def forward(self, x):
            mixed = super().forward(x)
            return mixed + F.conv2d(mixed, torch.ones(1, 1, 3, 3), padding=1)

    up = nn.ConvTranspose2d(1, 1, (3, 5), stride=(2, 4), padding=(1, 2), output_padding=(1, 3))
    first, second = judged(After(up), IMAGE, code="UP201")
    assert (first.verdicts["UP201"].kind, second.verdicts["UP201"].kind) == ("finding", "ok")


def test_three_branches_are_named_together():
    class Three(Skip):
        def forward(self, x):
            grown = self.up(self.down(x))
            return torch.cat([x, grown, grown[..., 1:, :][..., :7, :].new_zeros(x.shape) + x], 1)

    up = nn.ConvTranspose2d(1, 1, (3, 5), stride=(2, 4), padding=(1, 2), output_padding=(1, 3))
    found = judged(Three(up), IMAGE, code="UP201")[-1].verdicts["UP201"]
    assert found.words.startswith(
        "the furthest two of 3 branches (up, input, add) sit 0.5 pixels on axis 0, 1.5 pixels"
    )


def test_branches_without_a_place_are_skipped_or_said():
    class Attends(nn.Module):
        def forward(self, x):
            flat = x.flatten(2)
            mixed = (flat.transpose(1, 2) @ flat).softmax(-1) @ flat.transpose(1, 2)
            return F.interpolate(x + mixed.transpose(1, 2).reshape(x.shape), scale_factor=2.0)

    joins = judged(Attends(), torch.rand(1, 3, 4, 6), code="UP201")
    assert [each.verdicts["UP201"].kind for each in joins] == ["skipped"]
    assert "has no place (attention" in joins[0].verdicts["UP201"].words


def test_corners_kept_in_place_hold_at_this_size_alone():
    up = nn.Upsample(scale_factor=(2, 4), mode="bilinear", align_corners=True)
    end = "at this size alone, because a resize on the way keeps its corners in place"
    (join,) = judged(
        Skip(up, down=nn.Conv2d(1, 1, (3, 5), stride=(2, 4), padding=(1, 2))), IMAGE, code="UP201"
    )
    assert join.verdicts["UP201"].kind == "skipped"
    assert join.verdicts["UP201"].words == f"different spacings: (6/7, 8/11) and (1, 1) pixels; {end}"
    (output,) = judged(nn.Sequential(up), IMAGE, code="UP204")
    assert (output.verdicts["UP204"].kind, output.verdicts["UP204"].note) == ("ok", True)
    assert output.verdicts["UP204"].words == f"its samples are registered to those of 'input'; {end}"


@pytest.mark.parametrize(
    "net",
    [
        nn.Upsample(scale_factor=(2, 3), mode="bilinear"),
        nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=4)),
        nn.ConvTranspose2d(1, 1, (4, 3), stride=(2, 3), padding=(1, 0)),
        nn.ConvTranspose2d(1, 1, (3, 5), stride=2, padding=(1, 2)),
        nn.PixelShuffle(1),
    ],
    ids=["half-pixel", "pool and nearest", "areas", "points", "nothing grows"],
)
def test_outputs_registered_by_either_convention(net):
    (output,) = judged(net, IMAGE, code="UP204")
    assert output.verdicts["UP204"].kind == "ok"


def test_an_output_that_was_cropped_is_shifted_by_the_crop():
    class Cropped(nn.Module):
        def forward(self, x):
            return F.interpolate(x, scale_factor=2.0)[..., 3:, 1:]

    (output,) = judged(Cropped(), IMAGE, code="UP204")
    # 3 of half a pixel, less a quarter, against the points; 1 against either
    assert output.verdicts["UP204"].measure == 1.25
    assert output.verdicts["UP204"].words == (
        "its samples sit 1.25 pixels on axis 0, 0.25 pixels on axis 1 from where those of 'input' put them"
    )


def test_generators_have_nothing_to_compare_with():
    net = nn.Sequential(nn.ConvTranspose2d(4, 2, 4), nn.ConvTranspose2d(2, 1, 4, 2, 1))
    (output,) = judged(net, torch.rand(1, 4, 1, 1), code="UP204")
    assert output.verdicts["UP204"].kind == "skipped"
    assert "which is no input to compare it with" in output.verdicts["UP204"].words


def test_shift_is_the_smaller_of_two_conventions():
    grid = Grid.of_input(3).conv((2, 3, 4), stride=2, padding=(0, 1, 0))
    assert [float(each) for each in shift_of(grid)] == [0.0, 0.0, 1.0]
    assert [float(each) for each in shift_of(Grid.of_input(2).conv((3, 7)))] == [1.0, 3.0]
