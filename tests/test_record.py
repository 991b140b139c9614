"""Walk records beside their page in the docs: every key is there, and every key there occurs."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from PIL import Image
from torch import nn

from apps.generate.generate_saved import saved
from upstroke import fix
from upstroke.apps.downscale.evaluate import evaluate
from upstroke.apps.downscale.run import run
from upstroke.apps.generate.evaluate import evaluate as judge_samples
from upstroke.apps.generate.export import export as export_generator
from upstroke.apps.generate.interpolate import interpolate
from upstroke.apps.generate.sample import sample
from upstroke.apps.generate.trace import trace
from upstroke.apps.generate.training import train as learn_to_draw
from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.evaluate import evaluate as evaluate_outlines
from upstroke.apps.segment.export import Compared, Exported
from upstroke.apps.segment.predict import Outlined, Predicted
from upstroke.apps.segment.tiles import plan_tiles
from upstroke.apps.segment.training import train as learn
from upstroke.audit import Suppression, check, since
from upstroke.plan import plan_generator, plan_unet
from upstroke.rewrite.diff import diff

PAGE = Path(__file__).resolve().parent.parent / "docs" / "record.md"
ROW = re.compile(r"^\| `(?P<key>\w+)` \| (?P<holds>.+) \|$", re.MULTILINE)
LINK = re.compile(r"^(?P<how>by code, |by name, |list of |)\[[\w -]+\]\(#(?P<section>[\w-]+)\)")
COUNTED, NUMBERED = "by code, how many", "by name, one number"
# names that are the user's, such as endings of files
NAMED = re.compile(r"how many files .*, by ")


def sections():
    """By heading, what the page says of each key."""
    _, *parts = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {part.partition("\n")[0].lower().replace(" ", "-"): dict(ROW.findall(part)) for part in parts}
    return {heading: rows for heading, rows in found.items() if rows}


def walk(value, heading, page, seen):
    """Note every key of a part of a record, and of the parts that the page says it holds."""
    assert isinstance(value, dict), f"{heading} is {value!r}"
    for key, held in value.items():
        assert key in page[heading], f"{heading} has {key!r}, of which the page says nothing"
        seen.add((heading, key))
        if page[heading][key].startswith(COUNTED):
            assert all(re.fullmatch(r"UP\d+", code) and count > 0 for code, count in held.items())
            continue
        if page[heading][key].startswith(NUMBERED):
            assert all(number is None or isinstance(number, float) for number in held.values())
            continue
        if NAMED.match(page[heading][key]):
            assert all(isinstance(count, int) and count > 0 for count in held.values())
            continue
        link = LINK.match(page[heading][key])
        if link is None:
            flat = [held]
            for each in flat:
                flat.extend(each if isinstance(each, list) else ())
            assert not any(isinstance(each, dict) for each in flat), (
                f"{heading}.{key} holds more than is said"
            )
            continue
        parts = {
            "": [held],
            "list of ": () if held is None else held,
            **dict.fromkeys(("by code, ", "by name, "), held.values() if "by" in link["how"] else ()),
        }
        for part in parts[link["how"]]:
            if part is not None:
                walk(part, link["section"], page, seen)


class Net(nn.Module):
    """Two scales, a skip that fits only at even sizes, a 1x1 convolution behind a resize."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(8, 8, (3, 4), stride=2, padding=1, output_padding=(1, 0))
        self.head = nn.Conv2d(11, 2, 1)

    def forward(self, x):
        joined = torch.cat([self.up(torch.relu(self.down(x))), x], dim=1)
        return self.head(nn.functional.interpolate(joined, scale_factor=2.0, mode="bilinear"))


class Decoder(nn.Module):
    """A skip that drifts and breaks at odd sizes, a resize with a convolution, uneven phases at the end."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.up = nn.Upsample(scale_factor=2)
        self.merged = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(19, 16, 3, padding=1))
        self.last = nn.ConvTranspose2d(16, 2, 3, stride=2, padding=1, output_padding=1)

    def forward(self, x):
        joined = torch.cat([self.up(torch.relu(self.down(x))), x], dim=1)
        return self.last(torch.relu(self.merged(joined)))


@pytest.fixture(scope="module")
def fixed():
    torch.manual_seed(0)
    net, x = Decoder().eval(), torch.rand(1, 3, 24, 16)
    repaired = fix(net, x, repair=("UP102", "UP201", "UP203"), select=("UP301",), form="transposed")
    # timed, and left as it is, whatever the times are
    timed = fix(net.merged, torch.rand(1, 19, 8, 6), select=("UP301",), least=1e6, seconds=0.05)
    return net, x, repaired, timed


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refined")
    y, x = (xarray.Variable(name, np.arange(n), {"units": "km"}) for name, n in (("y", 3), ("x", 5)))
    height = xarray.DataArray(np.arange(15.0).reshape(3, 5), {"y": y, "x": x}, name="height")
    height.to_netcdf(folder / "coarse.nc")
    return run(folder / "coarse.nc", folder / "fine.nc", factor=(2, 3), progress=False)


@pytest.fixture(scope="module")
def evaluated():
    y, x = (xarray.Variable(name, np.arange(24.0), {"units": "km"}) for name in ("y", "x"))
    height = xarray.DataArray(np.random.default_rng(0).random((24, 24)), {"y": y, "x": x}, name="height")
    return evaluate(height, coarse=height.coarsen(y=2, x=2).mean()), evaluate(height[:12, :12], 3)


def predicted():
    net = {"in_channels": 1, "classes": 2, "widths": (2, 4, 4)}
    mask = Outlined(
        source=Path("a.tif"),
        target=Path("b.tif"),
        probabilities=None,
        size=(20, 35),
        spacing=(0.5, 0.5),
        unit="mm",
        voxels=(600, 100),
        tiles=plan_tiles(net, (20, 35)),
        seconds=0.5,
    )
    return Predicted(
        model=Path("run"),
        source=Path("a"),
        target=Path("b"),
        device="cpu",
        classes=Classes(values=(0, 255), names=("background", "cell")),
        files=(mask,),
        skipped=(Path("b/c.tif"),),
        failed=((Path("a/d.tif"), "a/d.tif is empty"),),
        seconds=1.0,
    )


@pytest.fixture(scope="module")
def outlined(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outlined")
    outline = np.kron([[0, 0, 0], [0, 9, 0]], np.ones((3, 4))).astype(np.uint8)
    for part in ("data/images", "data/labels", "made"):
        (folder / part).mkdir(parents=True)
        Image.fromarray(outline).save(folder / part / "a.png")
    return evaluate_outlines(folder / "made", folder / "data")


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learnt")
    outline = np.kron([[0, 0, 0], [0, 9, 0]], np.ones((5, 4))).astype(np.uint8)
    for part in ("data/images", "data/labels"):
        (folder / part).mkdir(parents=True)
        for name in "ab":
            Image.fromarray(outline).save(folder / part / f"{name}.png")
    small = {"preset": "original", "steps": 1, "widths": (2, 2), "precision": "32", "device": "cpu"}
    return learn(folder / "data", folder / "run", progress=False, **small)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "data").mkdir()
    for number in range(20):
        levels = np.random.default_rng(number).integers(0, 256, (32, 40), dtype=np.uint8)
        Image.fromarray(levels).save(folder / "data" / f"{number}.png")
    (folder / "data" / "bad.png").write_bytes(b"")
    (folder / "data" / "notes.txt").write_bytes(b"")
    small = {"steps": 1, "size": 32, "width": 2, "latent": 4, "batch": 4, "device": "cpu"}
    return learn_to_draw(folder / "data", folder / "run", progress=False, **small)


@pytest.fixture(scope="module")
def records():
    torch.manual_seed(0)
    net, x = Net().eval(), torch.rand(1, 3, 24, 32)
    meant = Suppression(site="up", code="UP101", reason="its weights are balanced")
    report = check(net, x, probe="all", conserve=True, suppress=[meant])
    record = report.as_json()
    earlier = check(net, x, select=["UP1", "UP3"]).as_json()
    rounds = nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True))
    return record, since(record, earlier), check(rounds, torch.rand(1, 1, 8, 12)).as_json()


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    run = saved(folder / "run")
    return {
        "generate-sample": sample(run, folder / "grid.png", count=3).as_json(),
        "generate-interpolate": interpolate(run, folder / "ways", numbers=[3, 7, 5], steps=3).as_json(),
        "generate-trace": trace(run).as_json(),
        "generate-export": export_generator(run, folder / "m.safetensors").as_json(),
    }


def test_the_page_has_every_key_of_a_record_and_no_other(
    records, fixed, written, evaluated, outlined, learnt, drawn, generated
):
    page, seen = sections(), set()
    for record in records:
        walk(record, "check", page, seen)
    net, x, repaired, timed = fixed
    walk(repaired.as_json(), "fix", page, seen)
    walk(timed.as_json(), "fix", page, seen)
    walk(diff(net, repaired.model, x).as_json(), "diff", page, seen)
    walk(written.as_json(), "downscale-run", page, seen)
    for each in evaluated:
        walk(each.as_json(), "downscale-evaluate", page, seen)
    walk(outlined.as_json(), "segment-evaluate", page, seen)
    walk(predicted().as_json(), "segment-predict", page, seen)
    walk(learnt.as_json(), "segment-train", page, seen)
    walk(drawn.as_json(), "generate-train", page, seen)
    # few samples, for which there is no detector
    judged = [judge_samples(drawn.out, samples=count, progress=False).as_json() for count in (20, 4)]
    assert [bool(each["missing"]) for each in judged] == [False, True]
    for each in judged:
        walk(each, "generate-evaluate", page, seen)
    sizes = (Compared(size=(17, 18), output=(17, 18), difference=1e-6),)
    file = Exported(run=Path("run"), target=Path("x"), opset=18, bytes=9, least=(3, 3), compared=sizes)
    walk(file.as_json(), "segment-export", page, seen)
    for heading, record in generated.items():
        walk(record, heading, page, seen)
    # sizes that need something, and samples that no tap reaches
    walk(plan_unet((97, 131), 4, conv="same").as_json(), "plan-of-a-u-net", page, seen)
    generator = plan_generator(4, 64, kernel=4, stride=2, padding=1)
    walk(generator.as_json(), "plan-of-a-generator", page, seen)
    assert {(heading, key) for heading, rows in page.items() for key in rows} - seen == set()


def test_a_key_that_the_page_does_not_have_is_missed(records):
    page = sections()
    del page["grid"]["size_dependent"]
    with pytest.raises(AssertionError, match="grid has 'size_dependent', of which the page says nothing"):
        walk(records[0], "check", page, set())
