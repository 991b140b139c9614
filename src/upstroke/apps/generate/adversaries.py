"""A generator, a discriminator and real pictures become their losses and one step of both."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from upstroke.apps.generate.augment import augmented
from upstroke.apps.generate.recipes import Loss, Recipe

__all__ = ["adam", "drawing_loss", "gradient_penalty", "judging_loss", "step"]


def judging_loss(real: Float[Tensor, " b"], drawn: Float[Tensor, " n"], loss: Loss) -> Float[Tensor, ""]:
    """What a discriminator makes small, of its logits of real and of drawn pictures.

    >>> judging_loss(torch.tensor([2.0]), torch.tensor([-0.5]), "hinge")
    tensor(0.5000)
    """
    if loss == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + drawn).mean()
    return F.softplus(-real).mean() + F.softplus(drawn).mean()


def drawing_loss(drawn: Float[Tensor, " b"], loss: Loss) -> Float[Tensor, ""]:
    """What a generator makes small, of the discriminator's logits of its pictures.

    >>> drawing_loss(torch.tensor([2.0, 4.0]), "hinge")
    tensor(-3.)
    """
    return -drawn.mean() if loss == "hinge" else F.softplus(-drawn).mean()


def gradient_penalty(judge: Callable[[Tensor], Tensor], real: Float[Tensor, "b *picture"]) -> Tensor:
    """Half of the squared gradient of the logits, summed over a picture, mean over pictures (R1).

    Args:
        judge: from pictures to logits, one for each, twice differentiable.
        real: pictures.

    >>> gradient_penalty(lambda x: (3 * x.square()).sum(dim=1), torch.ones(4, 2)).item()
    36.0
    """
    shown = real.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(judge(shown).sum(), shown, create_graph=True)
    return 0.5 * gradient.square().flatten(1).sum(dim=1).mean()


def step(
    generator: nn.Module,
    discriminator: nn.Module,
    optimizers: tuple[Any, Any],
    real: Float[Tensor, "b c height width"],
    z: Float[Tensor, "b latent"],
    recipe: Recipe,
    *,
    number: int,
    backward: Callable[[Tensor], None],
) -> dict[str, Tensor]:
    """Teach both networks by one batch, the discriminator first, the generator by the same pictures.

    Args:
        generator: from latent vectors to pictures.
        discriminator: from pictures to logits.
        optimizers: the generator's and the discriminator's.
        real: pictures, from -1 to 1.
        z: latent vectors.
        recipe: how.
        number: of the step, from 0 on.
        backward: what computes gradients of a loss.

    Returns:
        losses and mean logits by name.
    """
    drawing, judging = optimizers
    drawn = generator(z)
    is_real = discriminator(augmented(real, recipe.augment))
    is_drawn = discriminator(augmented(drawn.detach(), recipe.augment))
    loss = judging_loss(is_real, is_drawn, recipe.loss)
    told = {
        "discriminator": loss.detach(),
        "real": is_real.mean().detach(),
        "drawn": is_drawn.mean().detach(),
    }
    if recipe.penalty and number % recipe.lazy == 0:
        # half of the bits do not hold squares of gradients
        with torch.autocast(real.device.type, enabled=False):
            penalty = gradient_penalty(lambda x: discriminator(augmented(x, recipe.augment)), real.float())
        loss = loss + recipe.penalty * recipe.lazy * penalty
        told["penalty"] = penalty.detach()
    judging.zero_grad()
    backward(loss)
    judging.step()
    # gradients go through the discriminator, not to its weights
    discriminator.requires_grad_(False)
    try:
        loss = drawing_loss(discriminator(augmented(drawn, recipe.augment)), recipe.loss)
        drawing.zero_grad()
        backward(loss)
    finally:
        discriminator.requires_grad_(True)
    drawing.step()
    return {"generator": loss.detach(), **told}


def adam(network: nn.Module, recipe: Recipe, rate: float) -> torch.optim.Optimizer:
    """The optimizer of one of the two."""
    return torch.optim.Adam(network.parameters(), lr=rate, betas=recipe.betas)
