"""Build the models that a fix must serve, small, each with an example of its inputs."""

import importlib.util
from pathlib import Path

import torch
from benchmarks.networks import RRDBNet, StyleNet, upconv7
from torch import Tensor, nn


def drawn(*shape: int) -> Tensor:
    """Numbers that are the same in every run."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


class Espcn(nn.Module):
    """Three convolutions that make phases, and a shuffle spelled by views, as exported files have it."""

    def __init__(self, scale: int = 3) -> None:
        super().__init__()
        self.scale = scale
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(),
            nn.Conv2d(8, 4, 3, padding=1), nn.ReLU(),
            nn.Conv2d(4, scale**2, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """A picture so many times as large."""
        y: Tensor = self.body(x)
        b, _, h, w = y.shape
        s = self.scale
        return y.view(b, 1, s, s, h, w).permute(0, 1, 4, 2, 5, 3).reshape(b, 1, h * s, w * s)


class DBNet(nn.Module):
    """Text detection after Liao et al. 2020: maps of three sizes added by nearest resizes, and the head."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=4, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(width, width, 3, stride=2, padding=1) for _ in range(2))
        self.smooth = nn.ModuleList(nn.Conv2d(width, width // 2, 3, padding=1) for _ in range(3))
        self.up = nn.ModuleList(nn.Upsample(scale_factor=scale) for scale in (1, 2, 4))
        self.head = nn.Sequential(
            nn.Conv2d(3 * (width // 2), width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.ConvTranspose2d(width, width, 2, 2), nn.BatchNorm2d(width), nn.ReLU(),
            nn.ConvTranspose2d(width, 1, 2, 2), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Where text is."""
        fine = self.stem(x).relu()
        middle = self.down[0](fine).relu()
        coarse = self.down[1](middle).relu()
        middle = middle + nn.functional.interpolate(coarse, scale_factor=2.0)
        fine = fine + nn.functional.interpolate(middle, scale_factor=2.0)
        each = zip((fine, middle, coarse), self.smooth, self.up, strict=True)
        y: Tensor = self.head(torch.cat([up(smooth(map_)) for map_, smooth, up in each], 1))
        return y


def mnist_generator() -> nn.Module:
    """The generator of digits that many courses build, with statistics that are none of a fresh layer."""
    sizes = ((16, 32, 3, 2), (32, 16, 4, 1), (16, 8, 3, 2))
    layers: list[nn.Module] = []
    for into, out, kernel, stride in sizes:
        layers += [nn.ConvTranspose2d(into, out, kernel, stride), nn.BatchNorm2d(out), nn.ReLU()]
    net = nn.Sequential(*layers, nn.ConvTranspose2d(8, 1, 4, 2), nn.Tanh())
    return used(net)


def used(net: nn.Module) -> nn.Module:
    """The same with batch normalisations that have seen something."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2.0)
    return net


class Decoder(nn.Module):
    """The decoder of an autoencoder as a module."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.post_quant_conv, self.decoder = model.post_quant_conv, model.decoder

    def forward(self, x: Tensor) -> Tensor:
        """A picture."""
        y: Tensor = self.decoder(self.post_quant_conv(x))
        return y


def autoencoder() -> nn.Module:
    """AutoencoderKL's decoder."""
    from diffusers import AutoencoderKL

    return Decoder(
        AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(4, 8),
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=2,
        )
    )


def diffusion_unet() -> nn.Module:
    """UNet2DModel with attention."""
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=8,
        block_out_channels=(4, 8),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=2,
        attention_head_dim=4,
    )


def basic_unet() -> nn.Module:
    """MONAI's BasicUNet, by transposed convolutions k2 s2."""
    from monai.networks.nets import BasicUNet

    return BasicUNet(spatial_dims=2, features=(4, 4, 4, 8, 8, 4))


def vocoder() -> nn.Module:
    """The HiFi-GAN generator, for mel spectrograms of 6 bands."""
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    config = SpeechT5HifiGanConfig(
        model_in_dim=6,
        upsample_initial_channel=16,
        upsample_rates=[3, 2],
        upsample_kernel_sizes=[7, 4],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
    )
    return SpeechT5HifiGan(config)


# by name: the model, an example of its inputs, and how many sites have another form, per target
MODELS = {
    "ESPCN": (Espcn, lambda: (drawn(2, 1, 5, 7),), 1, 1),
    "DBNet": (lambda: used(DBNet()), lambda: (drawn(1, 3, 32, 48),), 2, 1),
    "MNIST generator": (mnist_generator, lambda: (drawn(2, 16, 1, 1),), 4, 3),
    "AutoencoderKL decoder": (autoencoder, lambda: (drawn(1, 4, 3, 5),), 1, 1),
    "BasicUNet": (basic_unet, lambda: (drawn(1, 1, 32, 48),), 4, 0),
    "UNet2DModel": (diffusion_unet, lambda: (drawn(1, 3, 8, 12), torch.tensor([3])), 1, 1),
    "HiFi-GAN generator": (vocoder, lambda: (drawn(1, 7, 6),), 2, 0),
    "fast style transfer": (lambda: StyleNet(4, 1), lambda: (drawn(1, 3, 12, 20),), 2, 2),
    "RRDB super-resolution": (lambda: RRDBNet(4, 2, 1), lambda: (drawn(1, 3, 5, 7),), 2, 2),
    "upscaler k4 s2 p3": (upconv7, lambda: (drawn(1, 3, 15, 18),), 1, 0),
}


def text_detector() -> Path | None:
    """The file of a DBNet that people have; None where its package is not installed."""
    found = importlib.util.find_spec("rapidocr_onnxruntime")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "models" / "ch_PP-OCRv4_det_infer.onnx"


def picture_of_text(height: int, width: int) -> Tensor:
    """Dark words on a light ground, as the detector takes them."""
    import numpy
    from PIL import Image, ImageDraw

    small = Image.new("RGB", (width // 2, height // 2), (240, 235, 225))
    for line in range(height // 2 // 24):
        ImageDraw.Draw(small).text((6, 6 + 24 * line), f"line {line} of the picture", fill=(20, 30, 60))
    pixels = numpy.array(small.resize((width, height)), dtype=numpy.float32)
    return (torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255 - 0.5) / 0.5
