"""Real architectures, unchanged, have every upsampling site found and named after their modules."""

import math
import re
import warnings

import pytest
import torch

import zoo
from upstroke.graph import sites
from upstroke.graph.steps import Resize, TransposedConvolution
from upstroke.graph.torch import record


def built(name):
    """The model, or a skip where something that it needs is not installed."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        # what these packages say of themselves and each other while they are loaded
        warnings.simplefilter("ignore")
        try:
            return zoo.MODELS[name]()
        except ImportError as error:
            pytest.skip(str(error).splitlines()[0])


def recorded(specimen):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return record(specimen.module, specimen.inputs, kwargs=specimen.keywords)


@pytest.mark.parametrize("name", zoo.MODELS)
def test_every_site_is_found(name):
    specimen = built(name)
    graph = recorded(specimen)
    found = sites(graph)
    assert zoo.kinds(found) == dict(specimen.sites)
    paths = {path for path, _ in specimen.module.named_modules()}
    for site in found:
        # what a model does outside all of its modules has the name of the operator
        path = re.sub(r":\d+$", "", site.name)
        assert path in paths or "." not in path
        assert site.node.output in graph.shapes
        grown = [now > was for was, now in zip(site.size_in or (), site.size_out or (), strict=True)]
        assert any(grown)


def test_a_model_is_left_as_it_was_and_its_weights_are_not_copied():
    specimen = built("unet2d")
    before = {name: tensor.clone() for name, tensor in specimen.module.state_dict().items()}
    steps = [node.step for node in recorded(specimen).nodes]
    own = {tensor.untyped_storage().data_ptr() for tensor in specimen.module.parameters()}
    weights = [step.weight for step in steps if hasattr(step, "weight")]
    assert len(weights) > 20
    assert all(weight.untyped_storage().data_ptr() in own for weight in weights)
    after = specimen.module.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert specimen.module.training


def test_a_half_precision_model_is_read_in_its_precision():
    specimen = built("vit_pose")
    module = specimen.module.to(torch.bfloat16)
    graph = record(module, [each.to(torch.bfloat16) for each in specimen.inputs])
    steps = [site.node.step for site in sites(graph)]
    assert {type(step) for step in steps} == {TransposedConvolution}
    assert {step.weight.dtype for step in steps} == {torch.bfloat16}


def test_super_resolution_by_four_is_by_four():
    specimen = built("swin2sr_nearest")
    scales = [
        site.node.step.scale for site in sites(recorded(specimen)) if isinstance(site.node.step, Resize)
    ]
    assert math.prod(scale[0] for scale in scales) == 4
