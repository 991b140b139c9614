"""Real architectures, made small and without trained weights: builders that tests of every room can share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["MODELS", "Specimen", "kinds"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Specimen:
    """A model, what it is called with, and what it is known to do.

    Attributes:
        module: the model, unchanged.
        inputs: arguments of one forward pass.
        keywords: further arguments, by name.
        sites: how many upsampling sites of each kind run on these inputs, counted in its source: a layer that
            runs several times counts as often, one that only other inputs or settings reach does not, and a
            resize to the size that a map has already is none.
    """

    module: nn.Module
    inputs: tuple[Any, ...]
    sites: Mapping[str, int]
    keywords: Mapping[str, Any] = field(default_factory=dict)


def kinds(sites) -> dict[str, int]:
    """How many sites there are of each kind of step."""
    names = [type(site.node.step).__name__ for site in sites]
    return {name: names.count(name) for name in sorted(set(names))}


class Through(nn.Module):
    """One method of a model as a model: a decoder, or a forward pass without what the rest needs."""

    def __init__(self, model: nn.Module, method: str) -> None:
        super().__init__()
        self.model, self.method = model, method

    def forward(self, *inputs: Tensor, **keywords: Any) -> Any:
        return getattr(self.model, self.method)(*inputs, **keywords)


def image(height: int, width: int, *, channels: int = 3, batch: int = 1) -> Tensor:
    return torch.randn(batch, channels, height, width)


# ---------------------------------------------------------------------------------------------- diffusers


def autoencoder_kl() -> Specimen:
    from diffusers import AutoencoderKL

    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 16),
        norm_num_groups=4,
    )
    return Specimen(module=model, inputs=(image(32, 40),), sites={"Resize": 2})


def unet2d() -> Specimen:
    from diffusers import UNet2DModel

    model = UNet2DModel(
        sample_size=(16, 24),
        block_out_channels=(8, 8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=4,
        layers_per_block=1,
    )
    return Specimen(module=model, inputs=(image(16, 24), torch.tensor([3])), sites={"Resize": 2})


def unet2d_condition() -> Specimen:
    from diffusers import UNet2DConditionModel

    model = UNet2DConditionModel(
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=6,
        layers_per_block=1,
    )
    return Specimen(
        module=model,
        inputs=(image(8, 12, channels=4), torch.tensor([3])),
        keywords={"encoder_hidden_states": torch.randn(1, 5, 6)},
        sites={"Resize": 1},
    )


def vq_model() -> Specimen:
    from diffusers import VQModel

    model = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        num_vq_embeddings=8,
    )
    return Specimen(module=model, inputs=(image(16, 24),), sites={"Resize": 1})


def temporal_decoder() -> Specimen:
    from diffusers import AutoencoderKLTemporalDecoder

    model = AutoencoderKLTemporalDecoder(
        down_block_types=("DownEncoderBlock2D",) * 2, block_out_channels=(32, 32), layers_per_block=1
    )
    return Specimen(
        module=model, inputs=(image(16, 24, batch=2),), keywords={"num_frames": 2}, sites={"Resize": 1}
    )


def autoencoder_dc() -> Specimen:
    from diffusers import AutoencoderDC

    model = AutoencoderDC(
        encoder_block_out_channels=(8, 16),
        decoder_block_out_channels=(8, 16),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_qkv_multiscales=((), ()),
        decoder_qkv_multiscales=((), ()),
        latent_channels=4,
        attention_head_dim=8,
    )
    return Specimen(module=model, inputs=(image(16, 24),), sites={"PixelShuffle": 2})


def autoencoder_tiny() -> Specimen:
    from diffusers import AutoencoderTiny

    model = AutoencoderTiny(
        encoder_block_out_channels=(8,) * 3,
        decoder_block_out_channels=(8,) * 3,
        num_encoder_blocks=(1,) * 3,
        num_decoder_blocks=(1,) * 3,
    )
    return Specimen(module=model, inputs=(image(16, 24),), sites={"Resize": 2})


def asymmetric_autoencoder_kl() -> Specimen:
    from diffusers import AsymmetricAutoencoderKL

    model = AsymmetricAutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        down_block_out_channels=(8, 16),
        up_block_types=("UpDecoderBlock2D",) * 2,
        up_block_out_channels=(8, 16),
        norm_num_groups=4,
    )
    return Specimen(module=model, inputs=(image(16, 24),), sites={"Resize": 1})


def unet3d_condition() -> Specimen:
    from diffusers import UNet3DConditionModel

    model = UNet3DConditionModel(
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=6,
        layers_per_block=1,
    )
    return Specimen(
        module=model,
        inputs=(torch.randn(1, 4, 2, 8, 12), torch.tensor([3])),
        keywords={"encoder_hidden_states": torch.randn(1, 5, 6)},
        sites={"Resize": 1},
    )


def unet1d() -> Specimen:
    from diffusers import UNet1DModel

    model = UNet1DModel(
        block_out_channels=(32, 32),
        in_channels=2,
        out_channels=2,
        extra_in_channels=64,
        layers_per_block=1,
        down_block_types=("DownBlock1DNoSkip", "DownBlock1D"),
        mid_block_type="UNetMidBlock1D",
        up_block_types=("UpBlock1D", "UpBlock1DNoSkip"),
    )
    return Specimen(
        module=model, inputs=(torch.randn(1, 2, 64), torch.tensor([3])), sites={"TransposedConvolution": 2}
    )


def controlnet() -> Specimen:
    from diffusers import ControlNetModel

    model = ControlNetModel(
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=6,
        layers_per_block=1,
        conditioning_embedding_out_channels=(4, 8),
    )
    return Specimen(
        module=model,
        inputs=(image(8, 12, channels=4), torch.tensor([3])),
        keywords={
            "encoder_hidden_states": torch.randn(1, 5, 6),
            "controlnet_cond": image(16, 24),
        },
        sites={},
    )


def oobleck() -> Specimen:
    from diffusers import AutoencoderOobleck

    model = AutoencoderOobleck(
        encoder_hidden_size=8,
        downsampling_ratios=[2, 4],
        channel_multiples=[1, 2],
        decoder_channels=8,
        decoder_input_channels=4,
    )
    return Specimen(module=model, inputs=(torch.randn(1, 2, 64),), sites={"TransposedConvolution": 2})


def wan() -> Specimen:
    from diffusers import AutoencoderKLWan

    model = AutoencoderKLWan(
        base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    return Specimen(module=model, inputs=(torch.randn(1, 3, 5, 16, 24),), sites={"Resize": 6})


def ltx() -> Specimen:
    from diffusers import AutoencoderKLLTXVideo

    model = AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
    )
    return Specimen(module=model, inputs=(torch.randn(1, 3, 9, 32, 64),), sites={"PixelShuffle": 4})


# -------------------------------------------------------------------------------------------------- MONAI


def monai_basic_unet() -> Specimen:
    from monai.networks.nets import BasicUNet

    model = BasicUNet(spatial_dims=2, features=(4, 4, 8, 8, 8, 4))
    return Specimen(module=model, inputs=(image(32, 48, channels=1),), sites={"TransposedConvolution": 4})


def monai_basic_unet_3d_nontrainable() -> Specimen:
    from monai.networks.nets import BasicUNet

    model = BasicUNet(spatial_dims=3, features=(4, 4, 8, 8, 8, 4), upsample="nontrainable")
    return Specimen(module=model, inputs=(torch.randn(1, 1, 16, 32, 48),), sites={"Resize": 4})


def monai_basic_unet_shuffle() -> Specimen:
    from monai.networks.nets import BasicUNet

    model = BasicUNet(spatial_dims=2, features=(4, 4, 8, 8, 8, 4), upsample="pixelshuffle")
    return Specimen(module=model, inputs=(image(32, 48, channels=1),), sites={"PixelShuffle": 4})


def monai_unet() -> Specimen:
    from monai.networks.nets import UNet

    model = UNet(
        spatial_dims=2, in_channels=1, out_channels=2, channels=(4, 8, 16), strides=(2, 2), num_res_units=2
    )
    return Specimen(module=model, inputs=(image(24, 32, channels=1),), sites={"TransposedConvolution": 2})


def monai_dynunet() -> Specimen:
    from monai.networks.nets import DynUNet

    model = DynUNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=2,
        kernel_size=[3, (3, 1), 3, 3],
        strides=[1, (2, 1), 2, 2],
        upsample_kernel_size=[(2, 1), 2, 2],
        filters=[4, 8, 8, 8],
        deep_supervision=True,
        deep_supr_num=2,
    )
    return Specimen(module=model, inputs=(image(32, 24, channels=1),), sites={"TransposedConvolution": 3})


def monai_attention_unet() -> Specimen:
    from monai.networks.nets import AttentionUnet

    model = AttentionUnet(spatial_dims=2, in_channels=1, out_channels=2, channels=(4, 8, 8), strides=(2, 2))
    return Specimen(module=model, inputs=(image(24, 32, channels=1),), sites={"TransposedConvolution": 2})


def monai_attention_unet_3d() -> Specimen:
    from monai.networks.nets import AttentionUnet

    model = AttentionUnet(spatial_dims=3, in_channels=1, out_channels=2, channels=(4, 8, 8), strides=(2, 2))
    return Specimen(module=model, inputs=(torch.randn(1, 1, 8, 12, 16),), sites={"TransposedConvolution": 2})


def monai_segresnet() -> Specimen:
    from monai.networks.nets import SegResNet

    model = SegResNet(spatial_dims=2, init_filters=8, blocks_down=(1, 1, 1), blocks_up=(1, 1))
    return Specimen(module=model, inputs=(image(16, 24, channels=1),), sites={"Resize": 2})


def monai_segresnet_ds() -> Specimen:
    from monai.networks.nets import SegResNetDS

    model = SegResNetDS(spatial_dims=2, init_filters=8, blocks_down=(1, 1, 1), dsdepth=2, norm="BATCH")
    return Specimen(module=model, inputs=(image(16, 24, channels=1),), sites={"TransposedConvolution": 2})


def monai_segresnet_vae() -> Specimen:
    from monai.networks.nets import SegResNetVAE

    model = SegResNetVAE((16, 24), spatial_dims=2, init_filters=8, blocks_down=(1, 1, 1), blocks_up=(1, 1))
    return Specimen(module=model, inputs=(image(16, 24, channels=1),), sites={"Resize": 2})


def monai_vnet() -> Specimen:
    from monai.networks.nets import VNet

    model = VNet(spatial_dims=2)
    return Specimen(module=model, inputs=(image(16, 32, channels=1),), sites={"TransposedConvolution": 4})


def monai_swin_unetr() -> Specimen:
    import einops  # noqa: F401 - which it needs when it runs
    from monai.networks.nets import SwinUNETR

    model = SwinUNETR(
        in_channels=1,
        out_channels=2,
        feature_size=12,
        spatial_dims=2,
        num_heads=(1, 1, 2, 2),
        depths=(1, 1, 1, 1),
    )
    return Specimen(module=model, inputs=(image(32, 64, channels=1),), sites={"TransposedConvolution": 5})


def monai_unetr() -> Specimen:
    from monai.networks.nets import UNETR

    model = UNETR(
        in_channels=1,
        out_channels=2,
        img_size=(32, 48),
        feature_size=4,
        hidden_size=12,
        mlp_dim=16,
        num_heads=2,
        spatial_dims=2,
    )
    return Specimen(module=model, inputs=(image(32, 48, channels=1),), sites={"TransposedConvolution": 10})


def monai_basic_unet_plus_plus() -> Specimen:
    from monai.networks.nets import BasicUNetPlusPlus

    model = BasicUNetPlusPlus(spatial_dims=2, features=(4, 4, 8, 8, 8, 4))
    return Specimen(module=model, inputs=(image(16, 32, channels=1),), sites={"TransposedConvolution": 10})


def monai_high_res_net() -> Specimen:
    from monai.networks.nets import HighResNet

    model = HighResNet(spatial_dims=2)
    return Specimen(module=model, inputs=(image(12, 16, channels=1),), sites={})


def monai_autoencoder() -> Specimen:
    from monai.networks.nets import AutoEncoder

    model = AutoEncoder(spatial_dims=2, in_channels=1, out_channels=1, channels=(4, 8), strides=(2, 2))
    return Specimen(module=model, inputs=(image(12, 16, channels=1),), sites={"TransposedConvolution": 2})


def monai_var_autoencoder() -> Specimen:
    from monai.networks.nets import VarAutoEncoder

    model = VarAutoEncoder(
        spatial_dims=2, in_shape=(1, 12, 16), out_channels=1, latent_size=3, channels=(4, 8), strides=(2, 2)
    )
    return Specimen(module=model, inputs=(image(12, 16, channels=1),), sites={"TransposedConvolution": 2})


def monai_flexible_unet() -> Specimen:
    from monai.networks.nets import FlexibleUNet

    model = FlexibleUNet(
        in_channels=1, out_channels=2, backbone="resnet18", spatial_dims=2, decoder_channels=(8, 8, 8, 4, 4)
    )
    return Specimen(module=model, inputs=(image(64, 96, channels=1),), sites={"Resize": 5})


def monai_diffusion_unet() -> Specimen:
    from monai.networks.nets import DiffusionModelUNet

    model = DiffusionModelUNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        channels=(8, 16),
        attention_levels=(False, True),
        num_res_blocks=1,
        num_head_channels=8,
        norm_num_groups=4,
    )
    return Specimen(module=model, inputs=(image(8, 12, channels=1), torch.tensor([3])), sites={"Resize": 1})


def monai_autoencoder_kl() -> Specimen:
    from monai.networks.nets import AutoencoderKL

    model = AutoencoderKL(
        spatial_dims=3,
        channels=(8, 8),
        attention_levels=(False, False),
        num_res_blocks=(1, 1),
        norm_num_groups=4,
    )
    return Specimen(module=model, inputs=(torch.randn(1, 1, 8, 12, 16),), sites={"Resize": 1})


def monai_vqvae() -> Specimen:
    from monai.networks.nets import VQVAE

    model = VQVAE(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        channels=(8, 8),
        num_res_channels=(8, 8),
        num_res_layers=1,
        downsample_parameters=((2, 4, 1, 1),) * 2,
        upsample_parameters=((2, 4, 1, 1, 0),) * 2,
        num_embeddings=8,
        embedding_dim=4,
    )
    return Specimen(module=model, inputs=(image(16, 24, channels=1),), sites={"TransposedConvolution": 2})


def monai_mednext() -> Specimen:
    from monai.networks.nets import MedNeXt

    model = MedNeXt(
        spatial_dims=2,
        init_filters=4,
        in_channels=1,
        out_channels=2,
        blocks_down=(1, 1, 1, 1),
        blocks_bottleneck=1,
        blocks_up=(1, 1, 1, 1),
    )
    return Specimen(module=model, inputs=(image(32, 48, channels=1),), sites={"TransposedConvolution": 4})


def monai_quicknat() -> Specimen:
    from monai.networks.nets import Quicknat

    model = Quicknat(num_classes=2, num_channels=1, num_filters=8)
    return Specimen(module=model, inputs=(image(32, 48, channels=1),), sites={"Unread": 4})


def monai_localnet() -> Specimen:
    from monai.networks.nets import LocalNet

    model = LocalNet(
        spatial_dims=2, in_channels=2, out_channels=2, num_channel_initial=4, extract_levels=(0, 1, 2)
    )
    return Specimen(
        module=model, inputs=(image(16, 32, channels=2),), sites={"Resize": 4, "TransposedConvolution": 2}
    )


# --------------------------------------------------------------------------------------------- transformers


def speech_t5_hifi_gan() -> Specimen:
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    config = SpeechT5HifiGanConfig(
        model_in_dim=8,
        upsample_initial_channel=16,
        upsample_rates=[4, 2],
        upsample_kernel_sizes=[8, 4],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
    )
    model = SpeechT5HifiGan(config)
    return Specimen(module=model, inputs=(torch.randn(9, 8),), sites={"TransposedConvolution": 2})


def fastspeech2_hifi_gan() -> Specimen:
    from transformers import FastSpeech2ConformerHifiGan, FastSpeech2ConformerHifiGanConfig

    config = FastSpeech2ConformerHifiGanConfig(
        model_in_dim=8,
        upsample_initial_channel=16,
        upsample_rates=[4, 2],
        upsample_kernel_sizes=[8, 4],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
    )
    model = FastSpeech2ConformerHifiGan(config)
    model.apply_weight_norm()
    return Specimen(module=model, inputs=(torch.randn(1, 9, 8),), sites={"TransposedConvolution": 2})


def sam_mask_decoder() -> Specimen:
    from transformers.models.sam.configuration_sam import SamMaskDecoderConfig
    from transformers.models.sam.modeling_sam import SamMaskDecoder

    config = SamMaskDecoderConfig(
        hidden_size=16, mlp_dim=16, num_attention_heads=2, iou_head_hidden_dim=16, num_hidden_layers=1
    )
    config._attn_implementation = "eager"
    return Specimen(
        module=SamMaskDecoder(config),
        inputs=(),
        keywords={
            "image_embeddings": image(5, 7, channels=16),
            "image_positional_embeddings": image(5, 7, channels=16),
            "sparse_prompt_embeddings": torch.randn(1, 1, 2, 16),
            "dense_prompt_embeddings": image(5, 7, channels=16),
            "multimask_output": True,
        },
        sites={"TransposedConvolution": 2},
    )


def sam() -> Specimen:
    from transformers import SamConfig, SamModel

    config = SamConfig(
        vision_config={
            "hidden_size": 16,
            "output_channels": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 16,
            "mlp_dim": 16,
            "window_size": 2,
            "global_attn_indexes": [0],
            "num_pos_feats": 8,
        },
        prompt_encoder_config={
            "hidden_size": 16,
            "image_size": 64,
            "patch_size": 16,
            "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 16,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
            "num_hidden_layers": 1,
        },
    )
    return Specimen(
        module=SamModel(config),
        inputs=(image(64, 64),),
        keywords={"input_points": torch.rand(1, 1, 2, 2) * 64},
        sites={"TransposedConvolution": 2},
    )


def swin2sr() -> Specimen:
    from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution

    config = Swin2SRConfig(
        image_size=16,
        embed_dim=12,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=4,
        upscale=4,
        upsampler="pixelshuffle",
    )
    return Specimen(
        module=Swin2SRForImageSuperResolution(config), inputs=(image(16, 16),), sites={"PixelShuffle": 2}
    )


def swin2sr_nearest() -> Specimen:
    from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution

    config = Swin2SRConfig(
        image_size=16,
        embed_dim=12,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=4,
        upscale=4,
        upsampler="nearest+conv",
    )
    return Specimen(
        module=Swin2SRForImageSuperResolution(config), inputs=(image(16, 16),), sites={"Resize": 2}
    )


def vit_pose() -> Specimen:
    from transformers import VitPoseConfig, VitPoseForPoseEstimation

    config = VitPoseConfig(
        backbone_config={
            "model_type": "vitpose_backbone",
            "image_size": [32, 24],
            "patch_size": [8, 8],
            "hidden_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "out_features": ["stage1"],
        },
        use_simple_decoder=False,
        num_labels=3,
    )
    return Specimen(
        module=VitPoseForPoseEstimation(config), inputs=(image(32, 24),), sites={"TransposedConvolution": 2}
    )


def vit_pose_simple() -> Specimen:
    from transformers import VitPoseConfig, VitPoseForPoseEstimation

    config = VitPoseConfig(
        backbone_config={
            "model_type": "vitpose_backbone",
            "image_size": [32, 24],
            "patch_size": [8, 8],
            "hidden_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "out_features": ["stage1"],
        },
        use_simple_decoder=True,
        num_labels=3,
    )
    return Specimen(module=VitPoseForPoseEstimation(config), inputs=(image(32, 24),), sites={"Resize": 1})


def depth_anything() -> Specimen:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

    config = DepthAnythingConfig(
        backbone_config={
            "model_type": "dinov2",
            "image_size": 56,
            "patch_size": 14,
            "hidden_size": 8,
            "num_hidden_layers": 4,
            "num_attention_heads": 2,
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
            "reshape_hidden_states": False,
        },
        patch_size=14,
        reassemble_hidden_size=8,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=8,
    )
    return Specimen(
        module=DepthAnythingForDepthEstimation(config),
        inputs=(image(56, 56),),
        sites={"TransposedConvolution": 2, "Resize": 5},
    )


def encodec_decoder() -> Specimen:
    from transformers import EncodecConfig, EncodecModel

    config = EncodecConfig(
        num_filters=4,
        upsampling_ratios=[4, 2],
        hidden_size=8,
        codebook_size=16,
        codebook_dim=8,
        num_lstm_layers=1,
        use_causal_conv=True,
        target_bandwidths=[1.5],
    )
    model = EncodecModel(config)
    return Specimen(module=model.decoder, inputs=(torch.randn(1, 8, 9),), sites={"TransposedConvolution": 2})


def encodec() -> Specimen:
    from transformers import EncodecConfig, EncodecModel

    config = EncodecConfig(
        num_filters=4,
        upsampling_ratios=[4, 2],
        hidden_size=8,
        codebook_size=16,
        codebook_dim=8,
        num_lstm_layers=1,
        target_bandwidths=[1.5],
        sampling_rate=240,
    )
    return Specimen(
        module=EncodecModel(config), inputs=(torch.randn(1, 1, 48),), sites={"TransposedConvolution": 2}
    )


def dac() -> Specimen:
    from transformers import DacConfig, DacModel

    config = DacConfig(
        encoder_hidden_size=4,
        downsampling_ratios=[2, 4],
        decoder_hidden_size=16,
        upsampling_ratios=[4, 2],
        n_codebooks=2,
        codebook_size=8,
        codebook_dim=4,
        hidden_size=16,
    )
    return Specimen(
        module=DacModel(config), inputs=(torch.randn(1, 1, 64),), sites={"TransposedConvolution": 2}
    )


def mimi() -> Specimen:
    from transformers import MimiConfig, MimiModel

    config = MimiConfig(
        num_filters=4,
        upsampling_ratios=[4, 2],
        hidden_size=8,
        codebook_size=16,
        codebook_dim=4,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=4,
        intermediate_size=8,
        num_quantizers=2,
        num_semantic_quantizers=1,
        vector_quantization_hidden_dimension=4,
        upsample_groups=8,
        sampling_rate=240,
        frame_rate=15,
        sliding_window=8,
    )
    return Specimen(
        module=MimiModel(config), inputs=(torch.randn(1, 1, 96),), sites={"TransposedConvolution": 3}
    )


def vits() -> Specimen:
    from transformers import VitsConfig, VitsModel

    config = VitsConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        ffn_dim=8,
        flow_size=8,
        spectrogram_bins=5,
        upsample_initial_channel=16,
        upsample_rates=[4, 2],
        upsample_kernel_sizes=[8, 4],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
        prior_encoder_num_flows=1,
        prior_encoder_num_wavenet_layers=1,
        posterior_encoder_num_wavenet_layers=1,
        duration_predictor_flow_bins=4,
        depth_separable_num_layers=1,
        duration_predictor_num_flows=2,
        duration_predictor_filter_channels=8,
    )
    return Specimen(
        module=VitsModel(config),
        inputs=(torch.tensor([[3, 4, 5, 6, 7]]),),
        sites={"TransposedConvolution": 2},
    )


def univnet() -> Specimen:
    from transformers import UnivNetConfig, UnivNetModel

    config = UnivNetConfig(
        model_in_channels=4,
        model_hidden_channels=4,
        num_mel_bins=5,
        resblock_kernel_sizes=[3, 3],
        resblock_stride_sizes=[4, 2],
        resblock_dilation_sizes=[[1, 3], [1, 3]],
        kernel_predictor_hidden_channels=4,
        kernel_predictor_num_blocks=1,
    )
    return Specimen(
        module=UnivNetModel(config), inputs=(torch.randn(1, 7, 5),), sites={"TransposedConvolution": 2}
    )


def segformer() -> Specimen:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        depths=[1] * 4,
        hidden_sizes=[4, 4, 8, 8],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=8,
        num_labels=3,
    )
    return Specimen(
        module=SegformerForSemanticSegmentation(config), inputs=(image(64, 96),), sites={"Resize": 3}
    )


def upernet() -> Specimen:
    from transformers import UperNetConfig, UperNetForSemanticSegmentation

    config = UperNetConfig(
        backbone_config={
            "model_type": "convnext",
            "hidden_sizes": [4, 4, 8, 8],
            "depths": [1] * 4,
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
        },
        hidden_size=8,
        auxiliary_in_channels=8,
        auxiliary_channels=4,
        num_labels=3,
    )
    return Specimen(
        module=UperNetForSemanticSegmentation(config), inputs=(image(192, 192),), sites={"Resize": 11}
    )


def dpt() -> Specimen:
    from transformers import DPTConfig, DPTForDepthEstimation

    config = DPTConfig(
        hidden_size=8,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=8,
        image_size=32,
        patch_size=8,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8] * 4,
        fusion_hidden_size=8,
        is_hybrid=False,
    )
    return Specimen(
        module=DPTForDepthEstimation(config),
        inputs=(image(32, 32),),
        sites={"TransposedConvolution": 2, "Resize": 5},
    )


def zoe_depth() -> Specimen:
    from transformers import ZoeDepthConfig, ZoeDepthForDepthEstimation

    config = ZoeDepthConfig(
        backbone_config={
            "model_type": "beit",
            "image_size": 32,
            "patch_size": 8,
            "hidden_size": 8,
            "num_hidden_layers": 4,
            "num_attention_heads": 2,
            "intermediate_size": 8,
            "use_relative_position_bias": True,
            "reshape_hidden_states": False,
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
        },
        neck_hidden_sizes=[8] * 4,
        fusion_hidden_size=8,
        bottleneck_features=8,
        num_relative_features=4,
        bin_configurations=[{"n_bins": 4, "min_depth": 0.001, "max_depth": 10.0, "name": "nyu"}],
        bin_embedding_dim=8,
        num_attractors=[4, 2, 2, 1],
        backbone_hidden_size=8,
    )
    return Specimen(
        module=ZoeDepthForDepthEstimation(config),
        inputs=(image(32, 32),),
        sites={"Resize": 15, "TransposedConvolution": 2},
    )


def depth_pro() -> Specimen:
    from transformers import DepthProConfig, DepthProForDepthEstimation

    vit = {
        "model_type": "dinov2",
        "image_size": 16,
        "patch_size": 8,
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "use_mask_token": False,
    }
    config = DepthProConfig(
        fusion_hidden_size=8,
        patch_size=16,
        intermediate_hook_ids=[1, 0],
        intermediate_feature_dims=[8, 8],
        scaled_images_ratios=[0.5, 1.0],
        scaled_images_overlap_ratios=[0.0, 0.25],
        scaled_images_feature_dims=[8, 8],
        image_model_config=vit,
        patch_model_config=vit,
        fov_model_config=vit,
    )
    return Specimen(
        module=DepthProForDepthEstimation(config),
        inputs=(image(64, 64),),
        sites={"TransposedConvolution": 12},
    )


def super_point() -> Specimen:
    from transformers import SuperPointConfig, SuperPointForKeypointDetection

    config = SuperPointConfig(
        encoder_hidden_sizes=[4, 4, 8, 8],
        decoder_hidden_size=8,
        keypoint_decoder_dim=65,
        descriptor_decoder_dim=8,
        keypoint_threshold=0.0,
    )
    return Specimen(
        module=SuperPointForKeypointDetection(config), inputs=(image(32, 48),), sites={"PixelShuffle": 1}
    )


def maskformer() -> Specimen:
    from transformers import DetrConfig, MaskFormerConfig, MaskFormerForInstanceSegmentation, SwinConfig

    backbone = SwinConfig(
        embed_dim=8,
        depths=[1] * 4,
        num_heads=[1] * 4,
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    decoder = DetrConfig(
        d_model=8,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=8,
        decoder_ffn_dim=8,
        num_queries=4,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone_config={"model_type": "resnet", "out_features": ["stage4"]},
    )
    config = MaskFormerConfig(
        backbone_config=backbone, decoder_config=decoder, fpn_feature_size=32, mask_feature_size=32
    )
    return Specimen(
        module=MaskFormerForInstanceSegmentation(config), inputs=(image(64, 96),), sites={"Resize": 3}
    )


def detr_segmentation() -> Specimen:
    from transformers import DetrConfig, DetrForSegmentation

    config = DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone_config={
            "model_type": "resnet",
            "embedding_size": 8,
            "hidden_sizes": [8, 8, 8, 8],
            "depths": [1] * 4,
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
        },
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=8,
        decoder_ffn_dim=8,
        num_queries=4,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
    )
    return Specimen(module=DetrForSegmentation(config), inputs=(image(64, 96),), sites={"Resize": 3})


def rt_detr() -> Specimen:
    from transformers import RTDetrConfig, RTDetrForObjectDetection

    config = RTDetrConfig(
        backbone_config={
            "model_type": "rt_detr_resnet",
            "embedding_size": 8,
            "hidden_sizes": [8, 8, 8, 8],
            "depths": [1] * 4,
            "out_features": ["stage2", "stage3", "stage4"],
        },
        encoder_hidden_dim=8,
        encoder_in_channels=[8, 8, 8],
        encoder_ffn_dim=8,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=8,
        decoder_layers=1,
        num_queries=4,
        d_model=8,
        decoder_in_channels=[8, 8, 8],
        num_labels=3,
    )
    return Specimen(module=RTDetrForObjectDetection(config), inputs=(image(64, 96),), sites={"Resize": 2})


def mobile_vit() -> Specimen:
    from transformers import MobileViTConfig, MobileViTForSemanticSegmentation

    config = MobileViTConfig(
        hidden_sizes=[8, 8, 8],
        neck_hidden_sizes=[4, 4, 4, 4, 4, 8, 8],
        num_attention_heads=2,
        aspp_out_channels=8,
        image_size=64,
        num_labels=3,
        atrous_rates=[1, 2, 3],
    )
    return Specimen(
        module=MobileViTForSemanticSegmentation(config), inputs=(image(64, 64),), sites={"Resize": 1}
    )


def clip_seg() -> Specimen:
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    config = CLIPSegConfig(
        text_config={
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "vocab_size": 20,
            "projection_dim": 8,
            "eos_token_id": 2,
        },
        vision_config={
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
        },
        projection_dim=8,
        extract_layers=[0, 1],
        reduce_dim=8,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=8,
        use_complex_transposed_convolution=True,
    )
    return Specimen(
        module=CLIPSegForImageSegmentation(config),
        inputs=(),
        keywords={"input_ids": torch.tensor([[3, 4, 2]]), "pixel_values": image(32, 32)},
        sites={"TransposedConvolution": 2},
    )


def beit_segmentation() -> Specimen:
    from transformers import BeitConfig, BeitForSemanticSegmentation

    config = BeitConfig(
        hidden_size=8,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=8,
        image_size=32,
        patch_size=8,
        out_indices=[0, 1, 2, 3],
        pool_scales=[1, 2],
        auxiliary_channels=4,
        num_labels=3,
    )
    return Specimen(
        module=BeitForSemanticSegmentation(config),
        inputs=(image(32, 32),),
        sites={"Resize": 7, "TransposedConvolution": 3},
    )


def vit_mim() -> Specimen:
    from transformers import ViTConfig, ViTForMaskedImageModeling

    config = ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        image_size=32,
        patch_size=8,
        encoder_stride=8,
    )
    return Specimen(
        module=ViTForMaskedImageModeling(config), inputs=(image(32, 32),), sites={"PixelShuffle": 1}
    )


def pix_vit_mae() -> Specimen:
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    config = ViTMAEConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        image_size=32,
        patch_size=8,
        decoder_hidden_size=8,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=8,
    )
    return Specimen(module=ViTMAEForPreTraining(config), inputs=(image(32, 32),), sites={})


def dit_unpatchify() -> Specimen:
    from diffusers import DiTTransformer2DModel

    model = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        sample_size=8,
        patch_size=2,
        norm_num_groups=4,
    )
    return Specimen(
        module=model,
        inputs=(image(8, 8, channels=4), torch.tensor([3])),
        keywords={"class_labels": torch.tensor([1])},
        sites={"PixelShuffle": 1},
    )


MODELS: Mapping[str, Callable[[], Specimen]] = {
    name: build
    for name, build in list(globals().items())
    if getattr(build, "__annotations__", None) == {"return": Specimen}
}
