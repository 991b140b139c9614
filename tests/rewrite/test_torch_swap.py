"""A copy of a model computes the changes where modules did it before, and the model that was given stays."""

import copy
import functools
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import zoo
from changes_by_hand import read, relative, resize_convs, together
from upstroke.graph.steps import PerChannel, TransposedConvolution
from upstroke.graph.torch import record, tensors_in
from upstroke.graph.torch_calls import Calls
from upstroke.rewrite.change import Change
from upstroke.rewrite.changes import changes
from upstroke.rewrite.torch_layers import Drawn, Passed, Rewritten
from upstroke.rewrite.torch_swap import swapped


def chosen(found):
    """Every change in its first form."""
    return [(change, change.forms[0]) for change in found]


def swap(net, *inputs, find=None):
    """A net in which every resize with its convolution is changed, or what is found otherwise."""
    graph, calls = read(net, *inputs)
    found = resize_convs(graph, ndim=inputs[0].ndim - 2) if find is None else find(graph)
    return swapped(net, graph, calls, chosen(found))


def maps(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seeded_net(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return make().double().eval()


def same(one, two, *inputs, least=1e-12):
    for x, y in zip(tensors_in(one(*inputs)), tensors_in(two(*inputs)), strict=True):
        assert relative(x, y) <= least


class Block(nn.Module):
    """A resize and a convolution called one after the other, with code between that looks at the size."""

    def __init__(self):
        super().__init__()
        self.up, self.conv = nn.Upsample(scale_factor=(2.0, 3.0)), nn.Conv2d(3, 4, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.seen = None

    def forward(self, x, wide):
        y = self.up(x)
        self.seen = tuple(y.shape[2:])
        if y.shape[3] < wide.shape[3]:
            y = F.pad(y, (0, wide.shape[3] - y.shape[3]))
        return self.drop(self.conv(y)) + wide[:, :, : y.shape[2], : y.shape[3]]


class Wrapped(nn.Module):
    """A resize by a function and a convolution, as many libraries have it."""

    def __init__(self, channels=3, *, passes_size=False):
        super().__init__()
        self.channels, self.conv = channels, nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x, output_size=None):
        factor = 2.0 if output_size is None else None
        return self.conv(F.interpolate(x, size=output_size, scale_factor=factor))


class Uses(nn.Module):
    """Calls a part, with further arguments if it is told to."""

    def __init__(self, part, *given, calls=1):
        super().__init__()
        self.part, self.given, self.calls = part, given, calls

    def forward(self, x):
        for _ in range(self.calls):
            x = self.part(x, *self.given)
        return torch.tanh(x)


def test_noting_calls_leaves_no_hook_behind():
    read(nn.Sequential(nn.ReLU()), maps(1, 2, 3, 4))
    assert not nn.modules.module._has_any_global_hook()


def test_neighbours_in_a_row_keep_every_index_and_every_other_name():
    net = seeded_net(
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 1),
            nn.Upsample(scale_factor=(2.0, 3.0)),
            nn.ReflectionPad2d(1),
            nn.Conv2d(3, 4, 3),
            nn.ReLU(),
            nn.Conv2d(4, 1, 1),
        )
    )
    x, before = maps(2, 2, 5, 7), copy.deepcopy(net.state_dict())
    result = swap(net, x)
    (done,), model = result.done, result.model
    assert done.parts == ("1", "2", "3")
    assert [type(part) for part in model][1:4] == [Rewritten, Passed, Passed]
    assert repr(model[1]).splitlines()[1].strip() == (
        "in place of 1 (Upsample), 2 (ReflectionPad2d), 3 (Conv2d)"
    )
    assert repr(model[2]) == "Passed(computed in 1)"
    same(model, net, x)
    same(model, net, maps(1, 2, 4, 3))
    assert [type(part).__name__ for part in net] == [
        "Conv2d",
        "Upsample",
        "ReflectionPad2d",
        "Conv2d",
        "ReLU",
        "Conv2d",
    ]
    after = net.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    kept = model.state_dict()
    for name in ("0.weight", "0.bias", "5.weight", "5.bias"):
        assert torch.equal(kept[name], before[name])
    assert kept["0.weight"].data_ptr() != after["0.weight"].data_ptr()
    assert not result.not_done
    # nothing is left to be done
    assert not resize_convs(read(model, x)[0], ndim=2)


def test_the_copy_is_a_model_like_any_other():
    net = seeded_net(
        lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2, 3, 3, padding=1), nn.ReLU())
    )
    x = maps(2, 2, 5, 7)
    model = swap(net, x).model
    y = model(x)
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), y)
    assert torch.equal(copy.deepcopy(model)(x), y)
    again = swap(net, x).model
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(x), y)
    same(torch.export.export(model, (x,)).module(), net, x)


def test_gradients_pass_and_training_flags_stay():
    net = seeded_net(
        lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2, 3, 3, padding=1), nn.Dropout(0.5))
    )
    net.train()
    net[2].eval()
    x = maps(1, 2, 4, 5).requires_grad_()
    model = swap(net, x).model
    assert [part.training for part in model] == [True, True, False]
    assert net.training
    (model(x) ** 3).sum().backward()
    mine, x.grad = x.grad, None
    (net(x) ** 3).sum().backward()
    assert relative(mine, x.grad) <= 1e-12
    assert all(tensor.grad is not None for tensor in model.parameters())


def test_code_between_two_modules_sees_the_grown_map():
    block = seeded_net(Block)
    inputs = maps(2, 3, 5, 7), maps(2, 4, 10, 21)
    result = swap(block, *inputs)
    assert result.done[0].parts == ("up", "conv")
    same(result.model, block, *inputs)
    assert result.model.seen == (10, 21)
    assert isinstance(result.model.conv, Passed)
    assert isinstance(result.model.drop, nn.Dropout)


def test_a_wrapper_that_resizes_by_a_function_is_swapped_whole():
    net = seeded_net(lambda: Uses(Wrapped()))
    x = maps(2, 3, 5, 7)
    result = swap(net, x)
    assert result.done[0].parts == ("part",)
    assert result.done[0].said == ()
    same(result.model, net, x)
    # what others may ask of it is still there
    assert result.model.part.channels == 3
    assert list(result.model.state_dict()) == ["part.0.weight", "part.0.bias"]


def test_a_wrapper_that_was_told_none_is_kept_for_when_it_is_told_more():
    net = seeded_net(lambda: Uses(Wrapped(), None))
    x = maps(2, 3, 5, 7)
    result = swap(net, x)
    assert result.done[0].said == ("part is kept beside its new layers for calls with further arguments",)
    same(result.model, net, x)
    net.given = result.model.given = ((9, 13),)
    same(result.model, net, x)
    assert result.model(x).shape == (2, 3, 9, 13)


def test_a_part_that_is_called_with_more_is_not_swapped():
    net = seeded_net(lambda: Uses(Wrapped(), (10, 14)))
    graph, calls = read(net, maps(2, 3, 5, 7))
    found = resize_convs(graph, ndim=2)
    (left,) = swapped(net, graph, calls, chosen(found)).not_done
    assert left.reason == "its steps are calls of functions, and no modules that do them alone"


@pytest.mark.parametrize("count", [2, 3])
def test_a_module_that_is_called_several_times_is_rewritten_once_for_all_its_calls(count):
    net = seeded_net(
        lambda: Uses(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 3, padding=1)), calls=count)
    )
    x = maps(1, 3, 3, 4)
    result = swap(net, x)
    assert [done.parts for done in result.done] == [("part.0", "part.1")] * count
    assert sum(isinstance(part, Rewritten) for part in result.model.modules()) == 1
    same(result.model, net, x)


def test_a_module_that_is_called_several_times_stays_if_one_call_does():
    net = seeded_net(
        lambda: Uses(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 3, padding=1)), calls=2)
    )
    x = maps(1, 3, 3, 4)
    result = swap(net, x, find=lambda graph: resize_convs(graph, ndim=2)[:1])
    assert [left.reason for left in result.not_done] == [
        "part.0 is called several times, and not all of its calls are changed"
    ]
    assert not result.done
    same(result.model, net, x, least=0)


def test_one_module_under_two_names_is_swapped_under_both():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.ConvTranspose2d(3, 3, 4, stride=2, padding=1)
            self.two = self.one

        def forward(self, x):
            return self.two(torch.relu(self.one(x)))

    net, x = seeded_net(Twice), maps(1, 3, 4, 5)
    result = swap(net, x, find=transposed)
    assert isinstance(result.model.one, Rewritten)
    assert result.model.one is result.model.two
    same(result.model, net, x)


def transposed(graph):
    """Every transposed convolution, with the numbers per channel behind it, if there are any."""
    found = []
    for node in graph.nodes:
        if isinstance(node.step, TransposedConvolution):
            behind = graph.only_consumer(node.output)
            row = [node, behind] if behind is not None and isinstance(behind.step, PerChannel) else [node]
            found.append(together(row, ndim=len(node.step.stride), site=node.name, forms=("native",)))
    return found


def test_a_model_that_is_one_layer_becomes_the_part():
    layer = seeded_net(lambda: nn.ConvTranspose2d(3, 4, 4, stride=(2, 3), padding=1))
    x = maps(2, 3, 5, 7)
    result = swap(layer, x, find=transposed)
    assert isinstance(result.model, Rewritten)
    same(result.model, layer, x)


def test_functions_in_the_models_own_code_are_left_to_the_graph():
    net, x = seeded_net(Wrapped), maps(2, 3, 5, 7)
    (left,) = swap(net, x).not_done
    assert left.reason == "it is all that the model does in its own code, so there is no module to swap"
    assert (left.site, left.codes) == ("upsample_nearest2d", ("UP301",))


def test_a_batch_normalisation_is_said_to_be_in_the_weights():
    net = seeded_net(
        lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1), nn.BatchNorm2d(4), nn.Tanh())
    )
    nn.init.uniform_(net[1].weight, -1, 1)
    nn.init.uniform_(net[1].running_var, 0.5, 2)
    x = maps(2, 3, 5, 7)
    result = swap(net, x, find=transposed)
    assert result.done[0].said == (
        "a batch normalisation is part of the weights, so its statistics stay as they are",
    )
    same(result.model, net, x)
    assert isinstance(result.model[1], Passed)
    assert result.model[1].num_features == 4


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
def test_a_weight_that_is_made_of_others_is_the_one_that_they_made(old):
    norm = nn.utils.weight_norm if old else nn.utils.parametrizations.weight_norm
    grow = functools.partial(nn.ConvTranspose1d, 3, 4, 4, stride=2, padding=1, bias=False)
    net = seeded_net(lambda: nn.Sequential(norm(grow()), nn.Tanh()))
    x = maps(2, 3, 7)
    # which leaves a weight that remembers how it came to be
    net(x)
    graph, calls = read(net, x)
    net(x)
    result = swapped(net, graph, calls, chosen(transposed(graph)))
    assert result.done[0].said == ("weights that were made of other tensors are the ones that they made",)
    same(result.model, net, x)
    assert list(result.model.state_dict()) == ["0.0.weight"]
    # although the weight was made without gradients while the model was read
    assert all(tensor.requires_grad for tensor in result.model.parameters())


def test_shared_weights_stay_where_they_are_used_otherwise():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.up = (
                nn.Conv2d(4, 3, 4, stride=2, padding=1),
                nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1),
            )
            self.up.weight = self.down.weight

        def forward(self, x):
            return self.up(self.down(x))

    net, x = seeded_net(Tied), maps(1, 4, 6, 8)
    result = swap(net, x, find=transposed)
    assert result.done[0].said == (
        "weights that other modules share are shared no longer, and the others keep theirs",
    )
    same(result.model, net, x)
    assert result.model.down.weight is not net.down.weight


def test_hooks_go_where_their_map_is_still_made():
    net = seeded_net(
        lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())
    )
    seen = []
    net[0].register_forward_pre_hook(lambda part, args: seen.append(args[0].shape[2:]))
    net[1].register_forward_hook(lambda part, args, output: 2.0 * output)
    x = maps(1, 3, 4, 5)
    expected = net(x)
    result = swap(net, x)
    assert result.done[0].said == ()
    seen.clear()
    assert relative(result.model(x), expected) <= 1e-12
    assert seen == [(4, 5)]
    # between the two nothing is made that could be seen
    net[0].register_forward_hook(lambda part, args, output: seen.append(output.shape))
    result = swap(net, x)
    assert result.done[0].said == ("hooks of 0 are gone, because what they saw is made no longer",)
    seen.clear()
    assert relative(result.model(x), expected) <= 1e-12
    assert seen == [(4, 5)]


REFUSED = {
    "compiled": (
        lambda layer: Uses(torch.compile(layer, backend="eager")),
        "part is compiled, so give the model before torch.compile",
    ),
    "data parallel": (
        lambda layer: Uses(nn.DataParallel(layer)),
        "part runs its parts in other threads, so give the module that it holds",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_runs_its_parts_in_ways_of_its_own_is_left(name):
    make, reason = REFUSED[name]
    net = seeded_net(lambda: make(nn.Sequential(nn.ConvTranspose2d(3, 3, 4, stride=2))))
    (left,) = swap(net, maps(1, 3, 4, 5), find=transposed).not_done
    assert left.reason == reason


def test_of_a_compiled_model_the_one_it_was_made_from_is_copied():
    net = seeded_net(lambda: nn.Sequential(nn.ConvTranspose2d(3, 3, 4, stride=2), nn.ReLU()))
    x = maps(1, 3, 4, 5)
    result = swap(torch.compile(net, backend="eager"), x, find=transposed)
    assert type(result.model) is nn.Sequential
    same(result.model, net, x)


def test_what_is_held_in_a_plain_list_as_well_is_left():
    class Lists(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.ConvTranspose2d(3, 3, 4, stride=2)
            self.every = [self.up]

        def forward(self, x):
            return torch.relu(self.every[0](x))

    (left,) = swap(seeded_net(Lists), maps(1, 3, 4, 5), find=transposed).not_done
    assert left.reason == "up is held in a plain list or attribute as well, where it cannot be swapped"


def test_a_form_that_cannot_be_is_a_reason():
    net, x = (
        seeded_net(lambda: nn.Sequential(nn.ConvTranspose2d(3, 3, 4, stride=2), nn.ReLU())),
        maps(1, 3, 4, 5),
    )
    graph, calls = read(net, x)
    (left,) = swapped(net, graph, calls, [(change, "commuted") for change in transposed(graph)]).not_done
    assert left.reason == (
        "0 cannot be computed in the form 'commuted', because one affine map has no such form; use another form"
    )


def dcgan() -> nn.Module:
    """A small generator of the published architecture, as its users write it."""
    rows = [
        [
            nn.ConvTranspose2d(into, out, 4, stride, padding, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
        ]
        for into, out, stride, padding in ((5, 12, 1, 0), (12, 8, 2, 1), (8, 4, 2, 1))
    ]
    return nn.Sequential(
        *(layer for row in rows for layer in row), nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False), nn.Tanh()
    )


def specimen(make) -> zoo.Specimen:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


NETS = {
    "dcgan": lambda: zoo.Specimen(
        module=dcgan(), inputs=(torch.randn(2, 5, 1, 1),), sites={"TransposedConvolution": 4}
    ),
    "unet2d": zoo.MODELS["unet2d"],
    "autoencoder_kl": zoo.MODELS["autoencoder_kl"],
    "monai_basic_unet": zoo.MODELS["monai_basic_unet"],
    "speech_t5_hifi_gan": zoo.MODELS["speech_t5_hifi_gan"],
    "wan": zoo.MODELS["wan"],
    "mimi": zoo.MODELS["mimi"],
    "monai_mednext": zoo.MODELS["monai_mednext"],
}


@pytest.mark.parametrize("name", NETS)
def test_real_models_compute_the_same_with_every_site_swapped_and_nothing_is_left(name):
    found = specimen(NETS[name])
    model, calls = found.module.eval(), Calls()
    inputs, keywords = list(found.inputs), dict(found.keywords)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    graph = record(model, inputs, kwargs=keywords, calls=calls)
    planned = [each for each in changes(graph, target="pytorch") if isinstance(each, Change)]
    result = swapped(model, graph, calls, chosen(planned))
    assert len(result.done) == len(planned) == sum(found.sites.values())
    assert not result.not_done
    with torch.no_grad():
        torch.manual_seed(1)
        expected = list(tensors_in(model(*inputs, **keywords)))
        torch.manual_seed(1)
        actual = list(tensors_in(result.model(*inputs, **keywords)))
    for one, two in zip(actual, expected, strict=True):
        assert relative(one.double(), two.double()) <= 1e-5
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert not any(isinstance(part, Rewritten) for part in model.modules())
    again = record(result.model, inputs, kwargs=keywords)
    assert not [each for each in changes(again, target="pytorch") if isinstance(each, Change)]
    swapped_parts = {path for done in result.done for path in done.parts}
    for path, part in model.named_modules():
        if not any(path == each or path.startswith(f"{each}.") or not each for each in swapped_parts):
            assert type(result.model.get_submodule(path)) is type(part)


@pytest.mark.parametrize("name", ["dcgan", "unet2d", "monai_basic_unet", "speech_t5_hifi_gan"])
def test_real_models_agree_in_double_precision(name):
    found = specimen(NETS[name])
    model, calls = found.module.eval().double(), Calls()
    inputs = [each.double() if each.is_floating_point() else each for each in found.inputs]
    graph = record(model, inputs, calls=calls)
    planned = [each for each in changes(graph, target="pytorch") if isinstance(each, Change)]
    result = swapped(model, graph, calls, chosen(planned))
    assert result.done
    with torch.no_grad():
        same(result.model, model, *inputs)


def test_the_mnist_generator_with_its_trained_weights(data_dir):
    sizes = ((64, 256, 3, 2), (256, 128, 4, 1), (128, 64, 3, 2), (64, 1, 4, 2))
    rows = []
    for into, out, kernel, stride in sizes:
        behind = [nn.BatchNorm2d(out), nn.ReLU()] if out > 1 else [nn.Tanh()]
        rows.append(nn.Sequential(nn.ConvTranspose2d(into, out, kernel, stride), *behind))
    net = nn.Sequential()
    net.add_module("gen", nn.Sequential(*rows))
    net.load_state_dict(torch.load(data_dir / "models/dcgan_mnist/generator.pth", weights_only=True))
    net.eval().double()
    x = maps(2, 64, 1, 1)
    graph, calls = read(net, x)
    planned = [each for each in changes(graph, target="pytorch") if isinstance(each, Change)]
    result = swapped(net, graph, calls, chosen(planned))
    assert len(result.done) == 4
    assert sum(isinstance(part, Drawn) for part in result.model.modules()) == 4
    same(result.model, net, x)
