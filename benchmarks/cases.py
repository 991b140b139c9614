"""List every case that is timed, as data: a layer, the map it is given, and what is asked of it."""

from dataclasses import dataclass, replace
from typing import Literal

Mode = Literal["nearest", "linear", "cubic", "bspline"]
Order = Literal["depthwise-first", "pointwise-first"]
Work = Literal["forward", "forward+backward", "gradient in x", "gradient in taps"]


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """A resize by a fixed kernel, half-pixel centres, the edge clamped."""

    mode: Mode
    scale: int = 2


@dataclass(frozen=True, kw_only=True)
class Transposed:
    """A transposed convolution; depthwise where `out` is None."""

    out: int | None = None
    kernel: int
    stride: int
    padding: int = 0
    output_padding: int = 0
    bias: bool = True


@dataclass(frozen=True, kw_only=True)
class ResizeConv:
    """A resize, then a convolution that keeps the size."""

    out: int
    mode: Mode = "nearest"
    kernel: int = 3
    scale: int = 2


@dataclass(frozen=True, kw_only=True)
class Subpixel:
    """A convolution that keeps the size, then a pixel shuffle."""

    out: int
    scale: int
    kernel: int = 3


@dataclass(frozen=True, kw_only=True)
class Separable:
    """A depthwise transposed convolution k4 s2 p1 and a 1x1 convolution, in either order."""

    out: int
    order: Order


@dataclass(frozen=True, kw_only=True)
class Generator:
    """DCGAN's generator of 64x64 pictures: five transposed convolutions, BatchNorm, ReLU, Tanh."""


Layer = Fixed | Transposed | ResizeConv | Subpixel | Separable | Generator

BOTH: tuple[Work, ...] = ("forward", "forward+backward")
PARTS: tuple[Work, ...] = ("gradient in x", "gradient in taps")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A layer on a map; each dtype, work and number of threads makes a row of its own."""

    suite: str
    name: str
    layer: Layer
    shape: tuple[int, ...]
    dtypes: tuple[str, ...] = ("float32",)
    works: tuple[Work, ...] = BOTH
    threads: tuple[int, ...] = (1,)
    forms: bool = True  # each of our own forms too; of the largest maps they tell no more
    compiled: bool = False  # also by torch.compile: some ten seconds a row

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape) - 2

    @property
    def layouts(self) -> tuple[str, ...]:
        """The layouts that the map can have: with one axis or one channel there is only one."""
        one = self.ndim == 1 or self.shape[1] == 1
        return ("contiguous",) if one else ("contiguous", "channels-last")

    @property
    def dense_instead(self) -> "Case | None":
        """For a separable layer the dense one that it stands in for."""
        if not isinstance(self.layer, Separable):
            return None
        layer = Transposed(out=self.layer.out, kernel=4, stride=2, padding=1)
        return replace(self, name=f"dense in place of {self.name}", layer=layer)

    @property
    def as_transposed(self) -> "Case | None":
        """For a nearest resize and convolution the transposed convolution that computes the same."""
        if not isinstance(self.layer, ResizeConv) or self.layer.mode != "nearest":
            return None
        k, s = self.layer.kernel, self.layer.scale
        layer = Transposed(out=self.layer.out, kernel=s + k - 1, stride=s, padding=k - 1 - k // 2, bias=False)
        return replace(self, name=f"{self.name} as one", layer=layer)


WIDTHS = ("float32", "bfloat16")


def _upsamplers() -> list[Case]:
    """Depthwise and fixed upsampling: as many multiply-adds as a copy has time for."""
    k4, k3 = (
        Transposed(kernel=4, stride=2, padding=1, bias=False),
        Transposed(kernel=3, stride=2, padding=1, output_padding=1, bias=False),
    )

    def case(name: str, layer: Layer, shape: tuple[int, ...], **more: object) -> Case:
        return Case(suite="depthwise", name=name, layer=layer, shape=shape, **{"dtypes": WIDTHS} | more)

    return [
        case("depthwise k4 s2 p1, 64 @8x8", k4, (1, 64, 8, 8)),
        case("depthwise k4 s2 p1, 64 @64x64", k4, (1, 64, 64, 64), works=(*BOTH, *PARTS)),
        case("depthwise k4 s2 p1, 64 @128x128", k4, (1, 64, 128, 128), threads=(1, 2), compiled=True),
        case("depthwise k4 s2 p1, 64 @512x512", k4, (1, 64, 512, 512), works=("forward",), forms=False),
        case("depthwise k4 s2 p1, 3 @256x256", k4, (1, 3, 256, 256)),
        case("depthwise k3 s2 p1, 64 @128x128", k3, (1, 64, 128, 128)),
        case(
            "depthwise k4 s2 p1 with bias, 64 @128x128",
            Transposed(kernel=4, stride=2, padding=1),
            (1, 64, 128, 128),
        ),
        case("nearest x2, 64 @128x128", Fixed(mode="nearest"), (1, 64, 128, 128)),
        case(
            "bilinear x2, 64 @128x128", Fixed(mode="linear"), (1, 64, 128, 128), threads=(1, 2), compiled=True
        ),
        case(
            "bilinear x2, 64 @512x512",
            Fixed(mode="linear"),
            (1, 64, 512, 512),
            works=("forward",),
            forms=False,
        ),
        case("bilinear x2, 3 @512x512", Fixed(mode="linear"), (1, 3, 512, 512)),
        case(
            "bilinear x4, 64 @64x64", Fixed(mode="linear", scale=4), (1, 64, 64, 64), works=(*BOTH, PARTS[0])
        ),
        case("bicubic x2, 64 @128x128", Fixed(mode="cubic"), (1, 64, 128, 128), compiled=True),
        case(
            "bicubic x2, 64 @512x512", Fixed(mode="cubic"), (1, 64, 512, 512), works=("forward",), forms=False
        ),
        case("cubic B-spline x2, 64 @128x128", Fixed(mode="bspline"), (1, 64, 128, 128)),
        case("linear x2, 64 @16384", Fixed(mode="linear"), (1, 64, 16384), works=(*BOTH, PARTS[0])),
        case(
            "depthwise k16 s8 p4, 64 @2048",
            Transposed(kernel=16, stride=8, padding=4, bias=False),
            (1, 64, 2048),
        ),
        case(
            "trilinear x2, 16 @32x32x32", Fixed(mode="linear"), (1, 16, 32, 32, 32), works=(*BOTH, PARTS[0])
        ),
        case("depthwise k4 s2 p1, 16 @32x32x32", k4, (1, 16, 32, 32, 32)),
        case(
            "climate field bilinear x4, 720x1440",
            Fixed(mode="linear", scale=4),
            (1, 1, 720, 1440),
            dtypes=("float32", "float64"),
            forms=False,
        ),
        case(
            "climate field bicubic x4, 720x1440",
            Fixed(mode="cubic", scale=4),
            (1, 1, 720, 1440),
            dtypes=("float32", "float64"),
            forms=False,
        ),
    ]


def _dense() -> list[Case]:
    """Transposed convolutions over all channels: bound by arithmetic."""

    def case(name: str, layer: Transposed, shape: tuple[int, ...], **more: object) -> Case:
        return Case(suite="dense", name=name, layer=layer, shape=shape, **{"works": (*BOTH, *PARTS)} | more)

    dcgan = [
        case(
            f"DCGAN {channels}->{out} {'k4 s1' if cells == 1 else 'k4 s2 p1'} @{cells}x{cells}, batch 16",
            Transposed(
                out=out,
                kernel=4,
                stride=1 if cells == 1 else 2,
                padding=0 if cells == 1 else 1,
                bias=False,
            ),
            (16, channels, cells, cells),
            dtypes=WIDTHS if channels == 128 else ("float32",),
        )
        for channels, out, cells in ((100, 512, 1), (512, 256, 4), (256, 128, 8), (128, 64, 16), (64, 3, 32))
    ]
    unet = [
        case(
            f"U-Net {channels}->{channels // 2} k2 s2 @{cells}x{cells}",
            Transposed(out=channels // 2, kernel=2, stride=2),
            (1, channels, cells, cells),
            dtypes=WIDTHS if channels == 128 else ("float32",),
            threads=(1, 2) if channels == 128 else (1,),
            compiled=channels == 128,
        )
        for channels, cells in ((1024, 32), (512, 64), (256, 128), (128, 256))
    ]
    speech = [
        case(
            f"HiFi-GAN {channels}->{channels // 2} k{kernel} s{kernel // 2} @{cells}",
            Transposed(out=channels // 2, kernel=kernel, stride=kernel // 2, padding=kernel // 4),
            (1, channels, cells),
        )
        for channels, kernel, cells in ((512, 16, 64), (256, 16, 512), (128, 4, 4096), (128, 16, 512))
    ]
    return [
        *dcgan,
        *unet,
        case("k4 s2 p1, 128->64 @64x64", Transposed(out=64, kernel=4, stride=2, padding=1), (1, 128, 64, 64)),
        case(
            "k3 s2 p1, 64->64 @64x64",
            Transposed(out=64, kernel=3, stride=2, padding=1, output_padding=1),
            (1, 64, 64, 64),
            dtypes=WIDTHS,
        ),
        *speech,
        case("medical 64->32 k2 s2 @32x32x32", Transposed(out=32, kernel=2, stride=2), (1, 64, 32, 32, 32)),
        case(
            "medical 64->32 k3 s2 p1 @16x16x16",
            Transposed(out=32, kernel=3, stride=2, padding=1, output_padding=1),
            (1, 64, 16, 16, 16),
        ),
    ]


def _resize_convs() -> list[Case]:
    """A resize and a convolution: diffusion decoders, super-resolution nets."""

    def case(name: str, layer: Layer, shape: tuple[int, ...], **more: object) -> Case:
        one = isinstance(layer, ResizeConv) and (layer.mode, layer.kernel) == ("nearest", 3)
        works = (*BOTH, *PARTS) if one else BOTH
        return Case(suite="resize_conv", name=name, layer=layer, shape=shape, **{"works": works} | more)

    return [
        case("diffusion nearest x2 + k3, 512->512 @32x32", ResizeConv(out=512), (1, 512, 32, 32)),
        case("diffusion nearest x2 + k3, 256->256 @64x64", ResizeConv(out=256), (1, 256, 64, 64)),
        case("diffusion nearest x2 + k3, 128->128 @128x128", ResizeConv(out=128), (1, 128, 128, 128)),
        case(
            "nearest x2 + k3, 64->64 @128x128",
            ResizeConv(out=64),
            (1, 64, 128, 128),
            dtypes=WIDTHS,
            threads=(1, 2),
            compiled=True,
        ),
        case("nearest x2 + k3, 128->64 @64x64", ResizeConv(out=64), (1, 128, 64, 64)),
        case("nearest x2 + 1x1, 128->64 @64x64", ResizeConv(out=64, kernel=1), (1, 128, 64, 64)),
        case("bilinear x2 + k3, 64->64 @128x128", ResizeConv(out=64, mode="linear"), (1, 64, 128, 128)),
        case("bilinear x2 + k3, 128->64 @64x64", ResizeConv(out=64, mode="linear"), (1, 128, 64, 64)),
        case(
            "bilinear x2 + 1x1, 128->64 @64x64", ResizeConv(out=64, mode="linear", kernel=1), (1, 128, 64, 64)
        ),
        case("ESPCN k3 + shuffle x3, 64->3 @128x128", Subpixel(out=3, scale=3), (1, 64, 128, 128)),
        case("EDSR k3 + shuffle x2, 64->64 @64x64", Subpixel(out=64, scale=2), (1, 64, 64, 64)),
    ]


def _separable() -> list[Case]:
    """Depthwise-separable transposed convolutions k4 s2 p1, against our own dense one."""
    return [
        Case(
            suite="separable",
            name=f"separable {order}, {channels}->{out} k4 s2 p1 @64x64",
            layer=Separable(out=out, order=order),
            shape=(1, channels, 64, 64),
        )
        for channels, out in ((64, 64), (256, 128))
        for order in ("depthwise-first", "pointwise-first")
    ]


def _models() -> list[Case]:
    """Whole nets; forward+backward is a training step without its optimiser."""
    return [
        Case(
            suite="models",
            name="DCGAN generator 64x64, batch 16",
            layer=Generator(),
            shape=(16, 100, 1, 1),
            threads=(1, 2),
            compiled=True,
        )
    ]


def _choice() -> list[Case]:
    """More sizes at which our forms part ways: nobody else is timed, and no page shows them."""
    dense = [
        Case(
            suite="choice",
            name=f"choice {channels}->{out} k4 @{cells}x{cells}, batch {batch}",
            layer=Transposed(out=out, kernel=4, stride=1 + (cells > 1), padding=int(cells > 1), bias=False),
            shape=(batch, channels, cells, cells),
            works=("forward", *PARTS),
        )
        for batch, channels, out, cells in (
            (64, 100, 1024, 1),
            (1, 512, 256, 4),
            (8, 1024, 512, 4),
            (64, 512, 256, 4),
            (4, 512, 256, 8),
            (16, 128, 64, 8),
            (4, 32, 1, 64),
            (4, 128, 3, 64),
            (1, 64, 3, 256),
        )
    ]
    resize = [
        Case(
            suite="choice",
            name=f"choice nearest x{scale} + k3, {channels}->{out} @{'x'.join([str(cells)] * ndim)}",
            layer=ResizeConv(out=out, scale=scale),
            shape=(1, channels, *[cells] * ndim),
        )
        for ndim, channels, out, cells, scale in (
            (1, 64, 32, 4096, 2),
            (1, 256, 128, 512, 2),
            (2, 256, 128, 8, 2),
            (2, 16, 16, 16, 2),
            (2, 64, 64, 16, 2),
            (2, 512, 512, 16, 2),
            (2, 256, 128, 32, 2),
            (2, 64, 64, 32, 4),
            (2, 3, 64, 64, 2),
            (2, 8, 8, 64, 2),
            (2, 32, 16, 64, 2),
            (2, 64, 32, 64, 2),
            (2, 32, 3, 64, 4),
            (2, 8, 3, 128, 2),
            (2, 64, 3, 256, 2),
            (3, 64, 64, 12, 2),
            (3, 32, 16, 16, 2),
        )
    ]
    return [*dense, *resize]


CASES = (*_upsamplers(), *_dense(), *_resize_convs(), *_separable(), *_models(), *_choice())
# those that pages show, and all
SHOWN = ("depthwise", "dense", "resize_conv", "separable", "models")
SUITES = (*SHOWN, "choice")
