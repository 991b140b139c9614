"""List the models that `upstroke fix` is measured on, each with an example of its inputs."""

import importlib.util
import io
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx
import torch
from torch import nn

from benchmarks.networks import RRDBNet, StyleNet, upconv7

__all__ = ["SUBJECTS", "Subject", "Target", "exported"]

Target = Literal["pytorch", "onnxruntime", "openvino"]
ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("UPSTROKE_DATA", ROOT.parent / "shared" / "data")) / "models"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model and an example of its inputs.

    Attributes:
        name: of the model.
        build: gives the module, or the path of an ONNX file.
        inputs: of a module, or the size of the file's input.
    """

    name: str
    build: Callable[[], nn.Module | Path]
    inputs: Callable[[], tuple[Any, ...]]

    @property
    def targets(self) -> tuple[Target, ...]:
        """What it is fixed for: a module for all three, once exported, a file for the two that run files."""
        return ("onnxruntime", "openvino") if self.name in FILES else ("pytorch", "onnxruntime", "openvino")


FILES = ("ESPCN", "DBNet")


def exported(module: nn.Module, inputs: tuple[Any, ...]) -> onnx.ModelProto:
    """The module as PyTorch's exporter writes it, for inputs of this size."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # the exporter's own advice to use the newer one, which needs another package
        warnings.simplefilter("ignore")
        torch.onnx.export(module, inputs, file, dynamo=False, opset_version=18)
    return onnx.load_from_string(file.getvalue())


def _picture(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _text_detector() -> Path:
    place = importlib.util.find_spec("rapidocr_onnxruntime")
    assert place is not None
    assert place.origin is not None
    return Path(place.origin).parent / "models" / "ch_PP-OCRv4_det_infer.onnx"


def _digits() -> nn.Module:
    sizes = ((64, 256, 3, 2), (256, 128, 4, 1), (128, 64, 3, 2), (64, 1, 4, 2))
    blocks = []
    for place, (into, out, kernel, stride) in enumerate(sizes):
        rest = [nn.Tanh()] if place == 3 else [nn.BatchNorm2d(out), nn.ReLU()]
        blocks.append(nn.Sequential(nn.ConvTranspose2d(into, out, kernel, stride), *rest))
    net = nn.Sequential()
    net.add_module("gen", nn.Sequential(*blocks))
    net.load_state_dict(torch.load(DATA / "dcgan_mnist/generator.pth", weights_only=True))
    return net


class _Decoder(nn.Module):
    """The decoder of an autoencoder as a module."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.post_quant_conv, self.decoder = model.post_quant_conv, model.decoder

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.decoder(self.post_quant_conv(x))
        return y


def _autoencoder_kl() -> nn.Module:
    from diffusers import AutoencoderKL

    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
    )
    return _Decoder(model)


def _unet2d() -> nn.Module:
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=32,
        block_out_channels=(128, 256, 256, 256),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2,
    )


def _basic_unet() -> nn.Module:
    from monai.networks.nets import BasicUNet

    return BasicUNet(spatial_dims=2)


def _hifi_gan() -> nn.Module:
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    return SpeechT5HifiGan(SpeechT5HifiGanConfig())


# sizes at which the slowest takes a few seconds on one thread
SUBJECTS: tuple[Subject, ...] = (
    Subject(
        name="ESPCN",
        build=lambda: DATA / "espcn/super_resolution.onnx",
        inputs=lambda: (1, 1, 224, 224),
    ),
    Subject(name="DBNet", build=_text_detector, inputs=lambda: (1, 3, 320, 320)),
    Subject(name="MNIST generator", build=_digits, inputs=lambda: (_picture(16, 64, 1, 1),)),
    Subject(name="AutoencoderKL decoder", build=_autoencoder_kl, inputs=lambda: (_picture(1, 4, 8, 8),)),
    Subject(name="BasicUNet", build=_basic_unet, inputs=lambda: (_picture(1, 1, 128, 128),)),
    Subject(
        name="UNet2DModel",
        build=_unet2d,
        inputs=lambda: (_picture(1, 3, 32, 32), torch.tensor([3])),
    ),
    Subject(name="HiFi-GAN generator", build=_hifi_gan, inputs=lambda: (_picture(1, 50, 80),)),
    Subject(name="fast style transfer", build=StyleNet, inputs=lambda: (_picture(1, 3, 256, 256),)),
    Subject(name="RRDB super-resolution", build=RRDBNet, inputs=lambda: (_picture(1, 3, 16, 16),)),
    Subject(name="upscaler k4 s2 p3", build=upconv7, inputs=lambda: (_picture(1, 3, 128, 128),)),
)
