"""Two networks and real pictures become losses, judgements of samples, sheets of them and kept weights."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from upstroke.apps.generate.adversaries import adam, step
from upstroke.apps.generate.distances import feature_distances
from upstroke.apps.generate.diversity import diversity, pixel_rows
from upstroke.apps.generate.drawing import drawn, latents, settled
from upstroke.apps.generate.features import FeatureNetwork
from upstroke.apps.generate.recipes import Recipe
from upstroke.apps.generate.sheets import sheet
from upstroke.nn import Discriminator, Generator
from upstroke.train import MovingAverage, Task, derived_seed

__all__ = ["Learning", "Real"]

# Pictures on a sheet, and subsets of the kernel distance.
SHOWN, SUBSETS = 64, 50
# How many times as varied as real pictures samples may be, or as little; and what a step counts where not.
VARIED, COLLAPSED = 2.0, 1e-9


class Real:
    """What samples are compared with while training goes on.

    Args:
        pictures: real ones.
        network: by which they are compared.
    """

    def __init__(self, pictures: UInt8[ndarray, "n channels size size"], network: FeatureNetwork) -> None:
        self.network = network
        self.features: Float[Tensor, "n features"] = network(pictures)
        self.rows: Float[Tensor, "n numbers"] = pixel_rows(pictures)


class Learning(Task):
    """Two networks against each other, of which the last averaged weights are kept that have not collapsed.

    Args:
        generator: as it is before training.
        discriminator: likewise.
        recipe: how they are trained.
        real: what samples are compared with; None where none are looked at while training goes on.
        seed: of the samples that are shown and judged, the same ones every time.
        metadata: what stands in the file of the weights.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        recipe: Recipe,
        *,
        real: Real | None,
        seed: int,
        metadata: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = generator, discriminator
        self.average = MovingAverage(generator, decay=recipe.average)
        self.recipe, self.real, self.metadata = recipe, real, dict(metadata)
        self.seed = derived_seed(seed, "samples")
        self.judged: dict[str, float] = {}
        self.shown: UInt8[ndarray, "n channels size size"] | None = None

    def training_step(self, batch: Float[Tensor, "b channels size size"]) -> dict[str, Tensor]:
        """One step of both; their losses, and mean logits of real and drawn pictures."""
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        told = step(
            self.generator,
            self.discriminator,
            (optimizers[0], optimizers[1]),
            batch.to(memory_format=torch.channels_last),
            torch.randn(len(batch), self.generator.latent).to(batch.device),
            self.recipe,
            number=self.global_step,
            backward=self.manual_backward,
        )
        self.average.update(self.generator)
        return told

    def validation_step(self, batch: Int[Tensor, " n"]) -> None:
        """Draw the samples of these numbers and log how far they are from real pictures.

        `val_kid` is the kernel distance by the feature network; `val_diversity` the mean distance of two
        samples by that of two real pictures, of pixels; `val_kept` the number of the step, and next to
        nothing where that ratio is farther than 2 from 1 either way, so that the last step is the best that
        has not collapsed.
        """
        assert self.real is not None
        with torch.autocast(self.device.type, enabled=False):
            self.shown = drawn(
                settled(self._averaged()), latents(batch.tolist(), self.generator.latent, seed=self.seed),
                device=self.device,
            )  # fmt: skip
        found = feature_distances(self.real.network(self.shown), self.real.features, subsets=SUBSETS)
        # of pictures that differ there are sixteen at least
        ratio = diversity(pixel_rows(self.shown), self.real.rows).ratio or 0.0
        self.judged = {"kid": found.kid, "diversity": ratio}
        self.log("val_kid", found.kid)
        self.log("val_diversity", ratio)
        self.log("val_kept", self.global_step * (1.0 if 1 / VARIED <= ratio <= VARIED else COLLAPSED))

    def pictures(self) -> Mapping[str, UInt8[ndarray, "height width *channels"]]:
        """The first samples, from the same latent vectors every time."""
        return {} if self.shown is None else {"samples": sheet(self.shown[:SHOWN])}

    def captions(self) -> Mapping[str, str]:
        """What the sheet shows."""
        return {"samples": "Pictures of the same latent vectors after more and more steps."}

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """Adam for each; rates stay as they are, and the averaged weights come to rest."""
        return (
            adam(self.generator, self.recipe, self.recipe.rate),
            adam(self.discriminator, self.recipe, self.recipe.judging_rate),
        )

    def export(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
        """The averaged generator with plain weights, and what is needed to draw with it."""
        return settled(self._averaged()).state_dict(), {**self.metadata, "judged": self.judged}

    def _averaged(self) -> Generator:
        assert isinstance(self.average.module, Generator)
        return self.average.module
