"""Hold the weights of an upsampling layer to laws: once, or through every step of training."""

import math

import torch
from torch import nn
from torch.nn.utils import parametrize

from upstroke.errors import OptionError
from upstroke.layers.convolution import Conv
from upstroke.nn._laws import Laws, Mass, OneBias, WeightOf
from upstroke.nn._recognise import AnyLayer, check_own, check_phases, shuffled, type_names
from upstroke.nn._row import Row
from upstroke.nn.resize import ResizeConv
from upstroke.nn.separable import SeparableTransposedConv
from upstroke.nn.transposed import Transposed

__all__ = ["constrain", "project_"]


def constrain(
    layer: AnyLayer, *, balanced: bool = False, mass: Mass = None, symmetric: bool = False
) -> AnyLayer:
    """Hold a layer's weights to laws from now on, whatever the optimiser does to them.

    Registers a parametrization (`torch.nn.utils.parametrize`) that projects the trained weight onto the
    laws whenever it is read, by the least change, with gradients through it. Optimisers made before go on
    to train the same parameter. `parametrize.remove_parametrizations(module, "weight")` ends it and leaves
    the projected weight.

    - balanced: every phase of a channel pair has the same gain, so a constant comes out constant:
      k += (g - G_r) / n_r in phase r with gain G_r and n_r taps. A convolution before a shuffle has a bias
      per phase: each becomes the mean over its channel's phases.
    - mass: the sum of a channel pair's kernel is M: a number, or a tensor (out, in / groups). 1 keeps totals,
      the product of the scales keeps means. With balanced it is one joint projection, because the two do not
      commute; "kept", with balanced, leaves the mass to the training and balances around it.
    - symmetric: the kernel equals its mirror images; commutes with the others, and goes first.

    Derivation: docs/idea.md#projections. What the laws act on:

    - a transposed convolution, ours or PyTorch's: its kernel;
    - `SubpixelConv`, or `nn.Sequential` of a convolution and a pixel shuffle: the kernel that both make;
    - `ResizeConv`: the convolution's kernel, whose sum is M / product of the scales, because the mass of the
      resize is that product. It is balanced by itself: every phase of the resize has gain 1;
    - `SeparableTransposedConv`: the depthwise kernel, one per channel, whose mass the pointwise weights
      multiply; the pointwise convolution is left free, because no choice of it unbalances the two.

    Raises:
        OptionError: no law is given, the mass has no meaning, the weight is held to laws already or is not a
            parameter of its own, or the layer is none of these.
        NotRepresentableError: a phase has no tap, so nothing can balance it; or a layer that is a row of two
            has other layers now.
        ShapeError: the mass has another shape, or the channels do not make whole phases.

    >>> layer = constrain(nn.ConvTranspose1d(1, 1, 3, stride=2), balanced=True, mass=2.0)
    >>> kernel = layer.weight.detach()
    >>> [round(kernel[..., phase::2].sum().item(), 5) for phase in range(2)]
    [1.0, 1.0]
    """
    made = _projections(layer, balanced=balanced, mass=mass, symmetric=symmetric)
    for module, name, _ in made:
        _check_free(module, name)
    # the weight comes first, and only its projection can refuse, so a refusal leaves the layer as it was
    for module, name, projection in made:
        parametrize.register_parametrization(module, name, projection)
    return layer


def project_(
    layer: AnyLayer, *, balanced: bool = False, mass: Mass = None, symmetric: bool = False
) -> AnyLayer:
    """Move a layer's weights onto laws once, in place, by the least change; arguments as in `constrain`.

    >>> layer = project_(nn.ConvTranspose1d(1, 1, 3, stride=2), symmetric=True)
    >>> bool(layer.weight[0, 0, 0] == layer.weight[0, 0, 2])
    True
    """
    made = _projections(layer, balanced=balanced, mass=mass, symmetric=symmetric)
    for module, name, _ in made:
        check_own(module, name="project_", tensors=[name])
    with torch.no_grad():
        for module, name, projection in made:
            tensor = getattr(module, name)
            tensor.copy_(projection(tensor))
    return layer


Projections = list[tuple[nn.Module, str, nn.Module]]


def _projections(layer: nn.Module, *, balanced: bool, mass: Mass, symmetric: bool) -> Projections:
    """Which tensor of which module has to go through which projection."""
    _check_laws(balanced=balanced, mass=mass, symmetric=symmetric)
    if isinstance(layer, Row):
        layer.check_as_made("weights to hold")
    part: nn.Module = layer.depthwise if isinstance(layer, SeparableTransposedConv) else layer
    if isinstance(part, Transposed):
        return [
            (
                part,
                "weight",
                Laws(_weight_of_transposed(part), balanced=balanced, mass=mass, symmetric=symmetric),
            )
        ]
    if isinstance(part, ResizeConv):
        return _of_resize(part, mass=mass, symmetric=symmetric)
    pair = shuffled(part)
    if pair is None:
        msg = (
            "constrain and project_ take a transposed convolution, ResizeConv, SeparableTransposedConv, "
            f"SubpixelConv, or nn.Sequential of a convolution and a pixel shuffle; got {type_names(part)}"
        )
        raise OptionError(msg)
    conv, scale = pair
    check_phases(conv, scale)
    of = _weight_of_conv(conv, scale)
    made: Projections = [(conv, "weight", Laws(of, balanced=balanced, mass=mass, symmetric=symmetric))]
    if balanced and conv.bias is not None:
        made.append((conv, "bias", OneBias(math.prod(scale))))
    return made


def _of_resize(layer: ResizeConv, *, mass: Mass, symmetric: bool) -> Projections:
    """The laws for the convolution alone: one phase is balanced, and its mass kept, whatever its taps are."""
    conv = layer.conv
    share = None if mass is None or isinstance(mass, str) else mass / math.prod(layer.resize.scale)
    if share is None and not symmetric:
        return []
    of = _weight_of_conv(conv, (1,) * layer.ndim)
    return [(conv, "weight", Laws(of, balanced=False, mass=share, symmetric=symmetric))]


def _weight_of_transposed(layer: Transposed) -> WeightOf:
    return WeightOf(
        transposed=True,
        pairs=(layer.out_channels, layer.in_channels // layer.groups),
        kernel=tuple(layer.kernel_size),
        scale=tuple(layer.stride),
        dilation=tuple(layer.dilation),
        groups=layer.groups,
    )


def _weight_of_conv(layer: Conv, scale: tuple[int, ...]) -> WeightOf:
    return WeightOf(
        transposed=False,
        pairs=(layer.out_channels // math.prod(scale), layer.in_channels // layer.groups),
        kernel=tuple(layer.kernel_size),
        scale=scale,
        dilation=tuple(layer.dilation),
        groups=layer.groups,
    )


def _check_laws(*, balanced: bool, mass: Mass, symmetric: bool) -> None:
    if not balanced and mass is None and not symmetric:
        msg = "there is nothing to hold the weight to; give at least one of balanced, mass and symmetric"
        raise OptionError(msg)
    if isinstance(mass, str):
        if mass != "kept":
            msg = f"mass must be a number, a tensor of them or 'kept'; got {mass!r}"
            raise OptionError(msg)
        if not balanced:
            msg = "mass='kept' says around which mass to balance; give balanced=True with it, or a number"
            raise OptionError(msg)
    elif mass is not None and not bool(torch.as_tensor(mass).isfinite().all()):
        msg = f"mass must be finite; got {mass}"
        raise OptionError(msg)


def _check_free(module: nn.Module, name: str) -> None:
    """Refuse a tensor that is held to laws already, or that no parametrization can be put on."""
    kind = type(module).__name__
    if parametrize.is_parametrized(module, name):
        lists = module.parametrizations
        assert isinstance(lists, nn.ModuleDict)
        if any(isinstance(each, Laws | OneBias) for each in lists[name].children()):
            msg = (
                f"the {name} of {kind} is held to laws already; call parametrize.remove_parametrizations "
                "first, then constrain with all the laws"
            )
            raise OptionError(msg)
        return
    check_own(module, name="constrain", tensors=[name])
