"""U-Nets and images become rows of how well, how fast and in how much memory they learn what others outlined.

`make evidence` trains and measures row by row; a run that is ended goes on where it was, within a row as
well. Rows are keyed by all that they depend on, so that only what has changed is measured again.

Three tables. "Level": against MONAI's BasicUNet with as many parameters or more, on the same batches, in the
same steps. "Time": `tiny` against it in the same time of the processor. "Joins": one network whose maps are
joined where they belong, and the same with maps that are resized at half pixels, as is usual, and sit apart.
"""

import dataclasses
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evidence import rows as measured
from evidence.rows import Measure, Row
from upstroke.apps.segment.augment import Augmentation
from upstroke.apps.segment.cases import Case
from upstroke.apps.segment.classes import Classes
from upstroke.apps.segment.layouts import find_cases
from upstroke.apps.segment.learning import Learning, losses_of, optimizer_of
from upstroke.apps.segment.normalise import Normalisation
from upstroke.apps.segment.presets import Preset, preset_named
from upstroke.apps.segment.recipe import Recipe
from upstroke.apps.segment.samples import Samples
from upstroke.apps.segment.scores import ClassScores, scores
from upstroke.apps.segment.split import Split, split
from upstroke.files.safetensors import read_safetensors
from upstroke.grid import Grid, drift
from upstroke.nn import ResizeConv, UNet
from upstroke.nn.unet_ways import behind
from upstroke.timing import interleaved
from upstroke.train import fit, seeded

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "segment.json"
RUNS = HERE / "runs" / "segment"
SCHEMA = "upstroke.evidence-segment/1"
SEEDS = (0, 1, 2)
PRECISION = "bf16-mixed"
# The five levels of the BasicUNet that is compared with, its last width that of its last two convolutions.
FEATURES = (16, 16, 32, 64, 128, 16)
WIDTHS = FEATURES[:-1]
# What 600 seconds of one core are enough for; what was taken is measured and shown.
TINY_STEPS, BASIC_STEPS, BASIC_STEPS_ALIKE = 2400, 1000, 3200
VALUES = {"changed": 0.5, "contrast": 0.1, "brightness": 0.1}


@dataclass(frozen=True, kw_only=True)
class Images:
    """A data set: where it is, what is held out, what its masks mean, and how it is learnt from.

    Attributes:
        folder: below the data.
        held_out: how `split` divides it.
        classes: values in masks, that of the background first, and their names.
        patch: size of the patches.
        batch: of them in a step.
        steps: of a comparison.
        augment: what is done to patches.
        channels: of the images.
    """

    folder: str
    held_out: Mapping[str, Any]
    classes: Mapping[str, Any]
    patch: tuple[int, ...]
    batch: int
    steps: int
    augment: Mapping[str, Any]
    channels: int = 1

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.patch)

    @property
    def recipe(self) -> Recipe:
        """What a network is applied to."""
        classes = Classes.from_json(self.classes)
        return Recipe(
            classes=classes,
            channels=self.channels,
            ndim=self.ndim,
            unet={"in_channels": self.channels, "classes": classes.count, "ndim": self.ndim},
            normalisation=Normalisation(),
            spacing=None,
            patch=self.patch,
        )

    def divided(self, data: Path) -> Split:
        """Cases to learn from and cases to be judged by."""
        return split(find_cases(data / "medical" / self.folder), **self.held_out)

    def samples(self, cases: Sequence[Case], *, seed: int) -> Samples:
        """The batches, the same for every network."""
        augment = {
            name: tuple(value) if isinstance(value, list) else value for name, value in self.augment.items()
        }
        return Samples(
            cases,
            classes=Classes.from_json(self.classes),
            normalisation=Normalisation(),
            patch=self.patch,
            batch_size=self.batch,
            augmentation=Augmentation(**augment),
            seed=seed,
        )


IMAGES = {
    "hippocampus": Images(
        folder="msd_hippocampus",
        held_out={"count": 40, "by": "order"},
        classes={"values": [0, 1, 2], "names": ["background", "anterior", "posterior"]},
        # as the issue with networks that halve four times: all volumes fit into it, padded
        patch=(48, 64, 48),
        batch=2,
        steps=500,
        augment=VALUES,
    ),
    "membranes": Images(
        folder="isbi2012_membrane",
        held_out={"count": 6, "by": "order"},
        # in the files 0 is the membrane
        classes={"values": [255, 0], "names": ["cell", "membrane"]},
        patch=(192, 192),
        batch=4,
        steps=600,
        augment={**VALUES, "flips": 0.5, "turns": True},
    ),
    "tumours": Images(
        folder="brain_tumor_coco",
        held_out={"count": 34, "by": "random", "seed": 0},
        classes={"values": [0, 1], "names": ["background", "tumour"]},
        patch=(256, 256),
        batch=4,
        steps=600,
        augment={**VALUES, "flips": [0.0, 0.5]},
        channels=3,
    ),
}


def rows() -> list[Row]:
    """The rows of the tables."""
    return [
        *(Row(name=f"cost, {name}", kind="cost", settings=_level(name)) for name in IMAGES),
        *(
            Row(name=f"level, {name}, seed {seed}", kind="level", settings={**_level(name), "seed": seed})
            for name in IMAGES
            for seed in SEEDS
        ),
        *(
            Row(name=f"time, {name}, seed {seed}", kind="time", settings={**settings, "seed": seed})
            for name, settings in _times().items()
            for seed in SEEDS
        ),
        *(
            Row(
                name=f"joins, {name}, {way}, seed {seed}",
                kind="joins",
                settings={
                    **_images(name),
                    "unet": {**OURS, "down": "conv", "up": "linear"},
                    "way": way,
                    "preset": _preset(),
                    "seed": seed,
                },
            )
            for name in ("membranes", "tumours")
            for way in WAYS
            for seed in SEEDS
        ),
    ]


OURS = {"widths": list(WIDTHS), "norm": "instance", "activation": "leaky", "down": "max", "up": "transposed"}
WAYS = ("registered", "nearest", "bilinear")
# Levels below the finest that answer in training as well, by a convolution of one tap each.
DEEP = preset_named("tiny").deep


def _images(name: str) -> dict[str, Any]:
    return {"data": name, "images": dataclasses.asdict(IMAGES[name]), "precision": PRECISION}


def _preset(*, deep: int = 0) -> dict[str, Any]:
    """How networks are trained, in numbers: as `tiny` is but for what is said."""
    whole = dataclasses.asdict(preset_named("tiny"))
    # these speak of networks and patches, which rows say themselves, or of what `tiny` does not have
    for name in ("name", "words", "widths", "unet", "batch", "voxels", "augment", "steps", "borders"):
        del whole[name]
    return {**whole, "deep": deep}


def _level(name: str) -> dict[str, Any]:
    unet = {**OURS, "deep": DEEP}
    return {**_images(name), "unet": unet, "features": list(FEATURES), "preset": _preset(deep=DEEP)}


def _times() -> dict[str, dict[str, Any]]:
    """`tiny` as users have it, BasicUNet as is common, and BasicUNet on the batches that `tiny` has."""
    tiny = preset_named("tiny")
    common = dataclasses.asdict(IMAGES["hippocampus"])
    how = dataclasses.asdict(Augmentation.preset(tiny.augment))
    own = {**common, "patch": (40, 56, 40), "batch": tiny.batch, "augment": how}
    per_step = 1 / tiny.batch
    unet = {"widths": list(tiny.widths), **tiny.unet, "deep": tiny.deep}
    base = {"data": "hippocampus", "precision": PRECISION}
    return {
        "tiny": {
            **base,
            "images": {**own, "steps": int(TINY_STEPS * per_step)},
            "unet": unet,
            "preset": _preset(deep=tiny.deep),
        },
        "BasicUNet": {
            **base,
            "images": {**common, "steps": BASIC_STEPS},
            "features": list(FEATURES),
            "preset": _preset(),
        },
        "BasicUNet on tiny's batches": {
            **base,
            "images": {**own, "steps": int(BASIC_STEPS_ALIKE * per_step)},
            "features": list(FEATURES),
            "preset": _preset(),
        },
    }


class Basic(nn.Module):
    """MONAI's BasicUNet, as what trains a `UNet` wants to see it."""

    deep = 0

    def __init__(self, channels: int, classes: int, *, ndim: int, features: Sequence[int]) -> None:
        from monai.networks.nets import BasicUNet

        super().__init__()
        self.classes, self.ndim = classes, ndim
        self.net = BasicUNet(
            spatial_dims=ndim, in_channels=channels, out_channels=classes, features=tuple(features)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.net(x)
        return logits


class Timed(Learning):
    """Learning that counts the seconds that the processor spent on it, in all parts of a run together."""

    def __init__(self, network: nn.Module, recipe: Recipe, preset: Preset, *, steps: int) -> None:
        super().__init__(network, recipe, preset, steps=steps, every=steps)
        self.register_buffer("spent", torch.zeros((), dtype=torch.float64))
        self.since = 0.0

    def on_train_start(self) -> None:
        """Look at the clock."""
        self.since = time.process_time()

    def on_train_batch_end(self, *given: object) -> None:
        """Add what the batch and the step took."""
        super().on_train_batch_end(*given)
        now = time.process_time()
        self.spent += now - self.since
        self.since = now

    def export(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
        """The averaged weights, and the seconds."""
        return self.average.module.state_dict(), {"cpu_seconds": float(self.spent)}


def network(which: str, settings: Mapping[str, Any]) -> nn.Module:
    """One of the networks of a row, with the weights that its seed draws."""
    images = Images(**settings["images"])
    classes = len(images.classes["values"])
    with seeded(settings.get("seed", 0), "weights"):
        if which == "basic":
            return Basic(images.channels, classes, ndim=images.ndim, features=settings["features"])
        net = UNet(images.channels, classes, ndim=images.ndim, **settings["unet"])
    if which in ("nearest", "bilinear"):
        drifting(net, mode="nearest" if which == "nearest" else "linear")
    return net


def drifting(net: UNet, *, mode: str) -> None:
    """Resize at half pixels in the place of the registered layers, which `UNet` refuses; the same weights."""
    for level, up in enumerate(net.ups):
        assert isinstance(up, ResizeConv)
        conv = up.conv
        other = ResizeConv(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            scale=up.resize.scale,
            mode=mode,
            ndim=net.ndim,
        )
        other.conv.load_state_dict(conv.state_dict())
        net.ups[level] = other


def drifts(net: UNet) -> list[float]:
    """How far the maps of each join are apart, in input pixels along one axis, the finest first."""
    skips = [join.skip for join in net.joins]
    grid = Grid(
        offset=(skips[0].offset[0] * 0,) * net.ndim,
        spacing=tuple(s * net.strides[-1][0] for s in skips[-1].spacing),
    )
    found = []
    for level in reversed(range(net.depth)):
        up = net.ups[level]
        assert isinstance(up, ResizeConv)
        grid = behind(grid, up.grid)
        found.append(float(max(drift(skips[level], grid), key=abs)))
    return found[::-1]


def trained(which: str, row: Row, folder: Path, data: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Train a network of a row, or take what a run has left."""
    settings, images = row.settings, Images(**row.settings["images"])
    run, net = folder / which, network(which, row.settings)
    weights = run / "model.safetensors"
    if not weights.exists():
        preset = as_preset(settings["preset"], batch=images.batch)
        task = Timed(net, images.recipe, preset, steps=images.steps)
        fit(
            task,
            run,
            steps=images.steps,
            batches=images.samples(images.divided(data).train, seed=settings["seed"]),
            seed=settings["seed"],
            settings={"row": row.key, "network": which},
            precision=settings["precision"],
            device="cpu",
            resume=(run / "config.json").exists(),
            progress=False,
            tensorboard=False,
        )
    tensors, metadata = read_safetensors(weights)
    net.load_state_dict(tensors)
    return net.eval(), {"cpu_seconds": round(metadata["cpu_seconds"], 1), "steps": images.steps}


def as_preset(numbers: Mapping[str, Any], *, batch: int) -> Preset:
    """What is learnt by."""
    return dataclasses.replace(preset_named("tiny"), **numbers, batch=batch)


def judged(net: nn.Module, images: Images, cases: Sequence[Case], *, is_padded: bool) -> dict[str, Any]:
    """Mean Dice, Hausdorff distance and distance of boundaries of cases that nothing was learnt from.

    Each is a mean over cases, then over classes. Distances, in pixels or millimetres, are of cases in which a
    class was found; how many were not is counted.
    """
    samples = images.samples(cases, seed=0)
    found: list[tuple[ClassScores, ...]] = []
    for case in cases:
        whole = samples.held_out(case)
        image = whole.image[None]
        if is_padded:
            image = padded(image, images.patch)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=PRECISION == "bf16-mixed"):
            logits = net(image)
        true = whole.labels.numpy()
        here = inside(logits, true.shape)
        predicted = here[0].argmax(dim=0).numpy()
        found.append(scores(predicted, true, classes=net.classes, spacing=whole.spacing))
    return summary(found)


def padded(image: Tensor, size: Sequence[int]) -> Tensor:
    """The image in the middle of a larger one, mirrored beyond its edges, as patches in training are."""
    wide = [(0, 0), (0, 0)]
    for has, wants in zip(image.shape[2:], size, strict=True):
        left = -((has - wants) // 2) if wants > has else 0
        wide.append((left, max(0, wants - has) - left))
    return torch.from_numpy(np.pad(image.numpy(), wide, mode="reflect"))


def inside(logits: Tensor, size: Sequence[int]) -> Tensor:
    """What `padded` put into the middle."""
    for axis, wants in enumerate(size, start=2):
        has = logits.shape[axis]
        if has != wants:
            logits = logits.narrow(axis, -((wants - has) // 2), wants)
    return logits


def summary(found: Sequence[Sequence[ClassScores]]) -> dict[str, Any]:
    """Means over cases, then over classes."""

    def mean(of: Callable[[ClassScores], float | None]) -> float | None:
        by_class = []
        for column in zip(*found, strict=True):
            known = [value for value in map(of, column) if value is not None]
            if known:
                by_class.append(float(np.mean(known)))
        return float(np.mean(by_class)) if by_class else None

    return {
        "dice": mean(lambda each: each.dice),
        "hausdorff95": mean(lambda each: each.hausdorff95),
        "boundary": mean(lambda each: each.boundary),
        "missed": sum(each.presence == "missed" for case in found for each in case),
        "cases": len(found),
    }


def measure_level(row: Row, folder: Path, data: Path) -> dict[str, Any]:
    """Both networks on the same batches, judged on the same images."""
    images = Images(**row.settings["images"])
    cases = images.divided(data).validation
    found = {}
    for which in ("ours", "basic"):
        net, done = trained(which, row, folder, data)
        found[which] = {**judged(net, images, cases, is_padded=True), **done, "parameters": _count(net)}
        if which == "ours":
            # nothing has to be padded for it
            found[which]["unpadded"] = judged(net, images, cases, is_padded=False)["dice"]
    return found


def measure_time(row: Row, folder: Path, data: Path) -> dict[str, Any]:
    """A network that learns for a given time."""
    images = Images(**row.settings["images"])
    which = "basic" if "features" in row.settings else "ours"
    net, done = trained(which, row, folder, data)
    cases = images.divided(data).validation
    # as it was trained, which is in its favour
    found = judged(net, images, cases, is_padded=True)
    return {**found, **done, "parameters": _count(net)}


def measure_joins(row: Row, folder: Path, data: Path) -> dict[str, Any]:
    """One way of resizing."""
    images = Images(**row.settings["images"])
    way = row.settings["way"]
    net, done = trained(way, row, folder, data)
    assert isinstance(net, UNet)
    found = judged(net, images, images.divided(data).validation, is_padded=False)
    return {**found, **done, "parameters": _count(net), "drift": drifts(net)}


def measure_cost(row: Row, folder: Path, data: Path) -> dict[str, Any]:
    """Seconds of a step, taken in turns on one thread, and memory, in a process of its own each."""
    steps = {which: stepping(which, row.settings) for which in ("ours", "basic")}
    times = interleaved(steps, seconds=1.0, turns=15, of_processor=True)
    found = {}
    for which in steps:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            memory = pool.submit(peak, which, row.settings).result()
        found[which] = {
            "parameters": _count(network(which, row.settings)),
            "seconds": times[which].median,
            "spread": times[which].spread,
            "memory": memory,
        }
    return found


def stepping(which: str, settings: Mapping[str, Any]) -> Callable[[], None]:
    """A step of training on one batch: forwards, backwards and the optimizer's."""
    images = Images(**settings["images"])
    net = network(which, settings)
    preset = as_preset(settings["preset"], batch=images.batch)
    optimizer = optimizer_of(net, preset)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(images.batch, images.channels, *images.patch, generator=generator)
    classes = len(images.classes["values"])
    labels = torch.randint(classes, (images.batch, *images.patch), generator=generator)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=settings["precision"] == "bf16-mixed"):
            loss = losses_of(net, x, labels, dice=preset.dice)["loss"]
        loss.backward()
        optimizer.step()

    return step


def peak(which: str, settings: Mapping[str, Any]) -> float:
    """MiB that three steps of training add to a process that has the network and a batch."""
    torch.set_num_threads(1)
    step = stepping(which, settings)
    # what PyTorch loads at its first step is no part of it
    small = {**settings["images"], "patch": _small(settings), "batch": 1}
    stepping(which, {**settings, "images": small})()
    before = _resident("VmRSS")
    for _ in range(3):
        step()
    return _resident("VmHWM") - before


def _resident(name: str) -> float:
    """MiB in memory, now (VmRSS) or at most (VmHWM), of this program: getrusage counts who started it."""
    (line,) = (each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith(name))
    return int(line.split()[1]) / 1024


def _small(settings: Mapping[str, Any]) -> tuple[int, ...]:
    return (32,) * len(settings["images"]["patch"])


def _count(net: nn.Module) -> int:
    return sum(each.numel() for each in net.parameters())


MEASURE: dict[str, Measure] = {
    "cost": measure_cost,
    "level": measure_level,
    "time": measure_time,
    "joins": measure_joins,
}


def load(path: Path = RESULTS) -> list[dict[str, Any]]:
    """The rows that were measured."""
    return measured.load(path)


@contextmanager
def shortened(steps: int | None) -> Iterator[None]:
    """Within, rows have so few steps; for trying, because their keys differ from those of the tables."""
    if steps is None:
        yield
        return
    global IMAGES, TINY_STEPS, BASIC_STEPS, BASIC_STEPS_ALIKE
    before = IMAGES, TINY_STEPS, BASIC_STEPS, BASIC_STEPS_ALIKE
    IMAGES = {name: dataclasses.replace(each, steps=steps) for name, each in IMAGES.items()}
    TINY_STEPS = BASIC_STEPS = BASIC_STEPS_ALIKE = 2 * steps
    try:
        yield
    finally:
        IMAGES, TINY_STEPS, BASIC_STEPS, BASIC_STEPS_ALIKE = before


def main(words: Sequence[str] | None = None) -> None:
    """Measure every row that is not there yet, and write the page."""
    from evidence.page import write

    table = measured.Table(
        rows=rows, measure=MEASURE, shortened=shortened, results=RESULTS, runs=RUNS, schema=SCHEMA
    )
    measured.main(table, words=words, description=__doc__, write=write)


if __name__ == "__main__":
    main()
