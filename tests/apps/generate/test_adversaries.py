"""Losses are their formulas, penalties are gradients, and each network learns from what is its own."""

import copy
import math
import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upstroke.apps.generate.adversaries import adam, drawing_loss, gradient_penalty, judging_loss, step
from upstroke.apps.generate.recipes import RECIPES, Recipe, recipe_named
from upstroke.errors import OptionError
from upstroke.nn import Discriminator, Generator
from upstroke.train import seeded

LOGITS = st.lists(st.floats(-20, 20), min_size=1, max_size=5)


@given(real=LOGITS, drawn=LOGITS)
def test_losses_are_their_formulas(real, drawn):
    def mean(values):
        return sum(values) / len(values)

    one, other = (torch.tensor(each, dtype=torch.float64) for each in (real, drawn))
    # -log of what a sigmoid gives, and of what it leaves
    logistic = mean([math.log1p(math.exp(-x)) for x in real]) + mean([math.log1p(math.exp(x)) for x in drawn])
    assert judging_loss(one, other, "non-saturating").item() == pytest.approx(logistic, abs=1e-6)
    hinge = mean([max(0, 1 - x) for x in real]) + mean([max(0, 1 + x) for x in drawn])
    assert judging_loss(one, other, "hinge").item() == pytest.approx(hinge, abs=1e-12)
    wanted = mean([math.log1p(math.exp(-x)) for x in drawn])
    assert drawing_loss(other, "non-saturating").item() == pytest.approx(wanted, abs=1e-6)
    assert drawing_loss(other, "hinge").item() == pytest.approx(-mean(drawn), abs=1e-12)


def test_the_penalty_is_half_of_the_squared_gradient_and_teaches_the_discriminator():
    torch.manual_seed(0)
    judge = Discriminator(1, 2, 32, norm="none").double()
    real = torch.randn(3, 1, 32, 32, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(judge, real)
    wanted = sum(0.5 * jacobian[n, n].square().sum() for n in range(3)) / 3
    found = gradient_penalty(judge, real)
    torch.testing.assert_close(found, wanted)
    weight = judge.levels[0][0].weight
    (gradient,) = torch.autograd.grad(found, weight)
    eps = 1e-6
    with torch.no_grad():
        weight[1, 0, 2, 3] += eps
    above = gradient_penalty(judge, real)
    assert (above - found).item() / eps == pytest.approx(gradient[1, 0, 2, 3].item(), rel=1e-4)
    assert not real.requires_grad


def nets(recipe):
    with seeded(1):
        return (
            Generator(5, 2, 1, 32),
            Discriminator(1, 2, 32, norm=recipe.norm, spread=recipe.spread),
            torch.randn(4, 1, 32, 32).clamp(-1, 1),
            torch.randn(4, 5),
        )


def stepped(recipe, generator, judge, real, z, *, number=0, rates=(0.0, 0.0)):
    optimizers = tuple(
        torch.optim.SGD(net.parameters(), lr=rate)
        for net, rate in zip((generator, judge), rates, strict=True)
    )
    with seeded(2):
        return step(
            generator,
            judge,
            optimizers,
            real,
            z,
            recipe,
            number=number,
            backward=lambda loss: loss.backward(),
        )


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_gives_each_network_the_gradient_of_its_own_loss(name):
    recipe = recipe_named(name)
    generator, judge, real, z = nets(recipe)
    told = stepped(recipe, generator, judge, real, z)
    assert set(told) == {"generator", "discriminator", "real", "drawn"} | (
        {"penalty"} if recipe.penalty else set()
    )
    assert all(each.isfinite() for each in told.values())
    # a discriminator that did not move gave the generator the gradient of how its pictures are judged
    assert all(each.requires_grad for each in judge.parameters())
    for net in (generator, judge):
        assert any(each.grad.abs().sum() > 0 for each in net.parameters())
    if not recipe.penalty:
        return
    plain = nets(recipe)
    stepped(replace(recipe, penalty=0.0), *plain)
    pairs = zip(judge.parameters(), plain[1].parameters(), strict=True)
    assert any(not torch.equal(one.grad, other.grad) for one, other in pairs)


def test_a_lazy_penalty_counts_as_often_as_it_would_have_come():
    recipe = Recipe(name="a", words="", penalty=0.5, lazy=4)

    def gradient(number, changed):
        generator, judge, real, z = nets(changed)
        stepped(changed, generator, judge, real, z, number=number)
        return judge.levels[0][0].weight.grad.clone()

    none = gradient(0, replace(recipe, penalty=0.0))
    # no augmentation draws anything: the same pictures in all of them
    assert torch.equal(gradient(3, recipe), none)
    every = gradient(0, replace(recipe, lazy=1)) - none
    torch.testing.assert_close(gradient(8, recipe) - none, 4 * every, rtol=1e-4, atol=1e-7)


def test_steps_in_turn_bring_logits_of_real_and_drawn_pictures_apart():
    recipe = recipe_named("dcgan")
    generator, judge, real, z = nets(recipe)
    before = copy.deepcopy(generator.state_dict())
    optimizers = (adam(generator, recipe, 0.0), adam(judge, recipe, 1e-2))
    for number in range(20):
        told = step(
            generator,
            judge,
            optimizers,
            real,
            z,
            recipe,
            number=number,
            backward=lambda loss: loss.backward(),
        )
    assert told["real"] > 1 > -1 > told["drawn"]
    # at a rate of 0 a generator keeps its weights
    assert all(torch.equal(each, before[name]) for name, each in generator.named_parameters())


def test_recipes_that_mean_nothing_are_refused():
    message = (
        "a recipe has a batch of 2 or more, because norms and spreads are over pictures, and 1 or more steps; "
        "got a batch of 16, 0 steps and a penalty every 1"
    )
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        Recipe(name="a", words="", steps=0)
    with pytest.raises(OptionError, match=r"^a recipe is one of r1, spectral, dcgan; got 'x'$"):
        recipe_named("x")
    assert recipe_named("r1").as_json()["betas"] == [0.0, 0.99]
