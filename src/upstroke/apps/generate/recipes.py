"""The name of a recipe becomes how a generator and its discriminator are trained."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from upstroke.apps.generate.augment import Augmenting
from upstroke.errors import OptionError

__all__ = ["RECIPES", "Loss", "Recipe", "recipe_named"]

Loss = Literal["non-saturating", "hinge"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How two networks are trained against each other.

    Attributes:
        name: as it is typed.
        words: what it is, in half a sentence.
        loss: "non-saturating": logistic losses, the generator's of the logits of its pictures being real
            (Goodfellow et al., 2014); "hinge": margins of 1 for the discriminator, the plain logits for the
            generator (Lim and Ye, 2017).
        norm: of the discriminator, as `upstroke.nn.Discriminator` has it.
        spread: whether it is told how much the pictures of a batch differ.
        penalty: of the squared gradient of logits at real pictures, times a half (R1: Mescheder, Geiger and
            Nowozin, 2018); 0 for none.
        lazy: steps from one such penalty to the next, which then counts so many times as much.
        rate: learning rate of the generator.
        judging_rate: learning rate of the discriminator.
        betas: of Adam, for both.
        average: share of the old that stays in the generator's averaged weights each step; 0 keeps the last.
        augment: how pictures are changed before the discriminator sees them.
        batch: real pictures in a step, and as many drawn ones.
        steps: where nobody says how many.
    """

    name: str
    words: str
    loss: Loss = "non-saturating"
    norm: Literal["batch", "none", "spectral"] = "none"
    spread: bool = False
    penalty: float = 0.0
    lazy: int = 1
    rate: float = 2e-4
    judging_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    average: float = 0.0
    augment: Augmenting = field(default_factory=Augmenting)
    batch: int = 16
    steps: int = 20_000

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if self.batch < 2 or self.steps < 1 or self.lazy < 1:
            msg = (
                "a recipe has a batch of 2 or more, because norms and spreads are over pictures, and 1 or "
                f"more steps; got a batch of {self.batch}, {self.steps} steps and a penalty every {self.lazy}"
            )
            raise OptionError(msg)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "betas": list(self.betas)}


RECIPES = {
    each.name: each
    for each in (
        Recipe(
            name="r1",
            words="a penalty on gradients at real pictures, averaged weights, changed pictures",
            penalty=0.1,
            lazy=8,
            rate=5e-4,
            judging_rate=5e-4,
            betas=(0.0, 0.99),
            average=0.998,
            spread=True,
            augment=Augmenting.preset(),
        ),
        Recipe(
            name="spectral",
            words="spectral norms and hinge losses, averaged weights, changed pictures",
            loss="hinge",
            norm="spectral",
            rate=2e-4,
            judging_rate=4e-4,
            betas=(0.0, 0.9),
            average=0.998,
            augment=Augmenting.preset(),
        ),
        Recipe(
            # Radford, Metz and Chintala, 2015: batch norms in both, Adam, nothing else.
            name="dcgan",
            words="that of 2015, for comparisons: batch norms in both networks, nothing else",
            norm="batch",
            batch=128,
        ),
    )
}


def recipe_named(name: str) -> Recipe:
    """One of the recipes.

    Raises:
        OptionError: there is none of that name.

    >>> recipe_named("spectral").loss
    'hinge'
    """
    if name not in RECIPES:
        msg = f"a recipe is one of {', '.join(RECIPES)}; got {name!r}"
        raise OptionError(msg)
    return RECIPES[name]
