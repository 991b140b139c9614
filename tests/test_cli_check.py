"""Hold what `upstroke check` prints, writes and refuses, from the words a user types."""

import json
import os
import pickle
import shutil
import sys
import warnings

import numpy
import onnx
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from onnx_models import model, node
from upstroke.cli import app
from upstroke.cli.check import exit_code

RUNNER = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"})
WANTED = "MODEL must be an .onnx file or package.module:factory"
WEIGHTS = "weights must be tensors by name, in a .safetensors file or a state dict saved by torch.save"
ALONE = "save the state dict alone, with safetensors"

CODE = '''\
"""Models of every kind that a factory may give."""

import os
import sys
import warnings

import torch
from torch import nn

print("imported")
warnings.warn("an old name", DeprecationWarning)
number = 3
built = nn.ConvTranspose2d(2, 2, 4, 2)


class Net(nn.Module):
    def __init__(self, channels=2):
        super().__init__()
        self.up = nn.ConvTranspose2d(2, channels, 4, stride=2, padding=1)

    def forward(self, x, scale=None, other=None, *, mask=None):
        print("run on", tuple(x.shape), x.dtype, float(x.sum()))
        if scale is not None:
            print("scale", scale.dtype, scale.tolist())
        return torch.tanh(self.up(x))

    @staticmethod
    def small():
        return Net(3)


class Fresh:
    small = staticmethod(Net.small)


def make():
    return Net()


def balanced():
    net = Net()
    nn.init.ones_(net.up.weight)
    return net


def loud():
    net = balanced()
    with torch.no_grad():
        net.up.weight[:, :, ::2] *= 1.5
    return net


def lost():
    net = balanced()
    with torch.no_grad():
        net.up.weight[0, 0, 0, 0] = torch.nan
    return net


def plain():
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU())


def needs(channels, *, depth):
    return Net(channels)


def other():
    return 1, 2


def nothing():
    return None


def fails():
    return [1, 2][number]


def leaves():
    sys.exit("no model\\n  today.")


class Odd(Exception):
    def __str__(self):
        raise ValueError


def odd():
    raise Odd


def lazily():
    import beside

    return beside.make()


def stops():
    raise KeyboardInterrupt


def wanders():
    os.chdir("/")
    return Net()


def half():
    return Net().double()


class Leaves(Net):
    def forward(self, x):
        sys.exit(0)


def leaves_late():
    return Leaves()
'''


def run(*words):
    # exit code 1 is also that of a crash, which must not pass for findings
    return RUNNER.invoke(app, ["check", *map(str, words)], prog_name="upstroke", catch_exceptions=False)


def refused(sentence, *words, code=2):
    before = listing()
    result = run(*words)
    said = [
        line
        for line in result.stderr.splitlines(keepends=True)
        if not line.startswith(("imported", "run on"))
    ]
    assert (result.exit_code, result.stdout, "".join(said)) == (code, "", f"upstroke: {sentence}\n")
    assert listing() == before


def listing():
    """What stands in the current folder, with times, so that nothing written goes unseen."""
    return {each.name: each.stat().st_mtime_ns for each in os.scandir() if each.name != "__pycache__"}


def record_of(*words):
    result = run(*words, "--format", "json", "-q")
    record = json.loads(result.stdout)
    assert record["schema"] == "upstroke.check/1"
    return record, result.exit_code


def found(record):
    return {(each["code"], each["site"], each["severity"]) for each in record["findings"]}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of the user's own with code in it, where the command is given."""
    (tmp_path / "nets.py").write_text(CODE)
    (tmp_path / "beside.py").write_text("import nets\n\ndef make():\n    return nets.Net()\n")
    monkeypatch.chdir(tmp_path)
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    assert sys.path == path
    for name in (
        set(sys.modules)
        & {"nets", "beside", "broken", "importer", "package", "package.inner", "dcgan", "this"} - before
    ):
        del sys.modules[name]


@pytest.fixture
def onnx_file(folder):
    """A transposed convolution k4 s2 whose every second row is louder, and a Tanh."""
    weight = torch.ones(2, 2, 4, 4)
    weight[:, :, ::2] *= 1.5
    nodes = [
        node("ConvTranspose", ["x", "w"], "up", kernel_shape=[4, 4], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Tanh", ["up"], "y"),
    ]
    path = folder / "model.onnx"
    onnx.save(model(nodes, {"x": [1, 2, "h", "w"]}, weights={"w": weight.numpy()}), path)
    return path


LOUD = {("UP102", "up", "error"), ("UP105", "up", "error")}
# what is told here does not change when rules are added
THESE = ("--select", "UP101,UP102,UP105")


def test_a_factory_is_run_once_and_judged():
    record, code = record_of("nets:loud", "--input", "1x2x5x6", *THESE)
    assert (record["model"], found(record), code) == ("nets:loud", LOUD, 1)
    assert [each["name"] for each in record["sites"]] == ["up"]
    assert (record["sites"][0]["size_in"], record["sites"][0]["size_out"]) == ([5, 6], [10, 12])


def test_the_text_of_a_factory():
    assert (
        run("nets:loud", "--input", "1x2x5x6", *THESE).stdout
        == """\
nets:loud: 3 operators, 1 upsampling site
PyTorch; input 'input' 1x2x5x6

up  transposed convolution k4 s2, 2 → 2 channels, 5x6 → 10x12
  error UP102    constants in its 2 input channels, one at a time, come out with
                 a pattern of period 2x2, 14.0 dB below them (20 % of them, root
                 mean square over channel pairs)
  error UP105    its pattern reaches an output of the model: nothing that could
                 undo it comes later

What to do
  UP102: train with upstroke.nn.constrain(layer, balanced=True), mend once with
    upstroke.nn.project_(layer, balanced=True), or use upstroke.nn.ResizeConv,
    which is balanced by its form
  UP105: let a convolution follow, or make this layer balanced with
    upstroke.nn.constrain(layer, balanced=True): nothing behind it can take the
    pattern out

2 errors in 1 of 1 site
upstroke explain UP102 says more
"""
    )


def test_a_file_is_judged_with_and_without_sizes(onnx_file):
    record, code = record_of(onnx_file, *THESE)
    assert (record["model"], code) == (onnx_file.name, 1)
    assert {each["code"] for each in record["findings"]} == {"UP102", "UP105"}
    for words in ("1x2x5x6", "x=1x2x5x6"):
        record, code = record_of("model.onnx", "--input", words)
        assert (record["sites"][0]["size_in"], code) == ([5, 6], 1)


def test_all_three_forms_tell_the_same(folder):
    words = ("nets:loud", "--input", "1x2x5x6")
    text, page = run(*words), folder / "report.html"
    assert text.exit_code == 1
    assert text.stdout.startswith("nets:loud")
    assert "\x1b" not in text.stdout
    result = run(*words, "--format", "html", "--output", page)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == f"wrote {page}"
    html = page.read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    for finding in record_of(*words)[0]["findings"]:
        assert finding["code"] in text.stdout
        assert finding["code"] in html


def test_verbose_says_more_and_width_is_kept():
    words = ("nets:balanced", "--input", "1x2x5x6")
    short, long = run(*words), run(*words, "-v")
    assert (short.exit_code, long.exit_code) == (0, 0)
    assert len(long.stdout) > len(short.stdout)
    assert max(map(len, long.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("nets:balanced",), 0),
        (("nets:loud",), 1),
        (("nets:loud", "--select", "up101"), 0),
        (("nets:loud", "--select", "UP2,UP105"), 1),
        (("nets:loud", "--ignore", "UP102, UP105"), 0),
        (("nets:loud", "--ignore", "UP102", "--ignore", "UP105"), 0),
        (("nets:make",), 0),
        (("nets:make", "--fail-on", "note"), 1),
        (("nets:make", "--fail-on", "warning"), 0),
        (("nets:plain",), 0),
        (("nets:lost",), 3),
    ],
)
def test_exit_codes(words, code):
    assert run(*words, "--input", "1x2x5x6").exit_code == code


@pytest.mark.parametrize(
    ("severities", "fail_on", "code"),
    [
        ((), "note", 0),
        (("note",), "note", 1),
        (("note",), "warning", 0),
        (("note", "warning"), "warning", 1),
        (("warning",), "error", 0),
        (("error",), "warning", 1),
    ],
)
def test_what_fails(severities, fail_on, code):
    findings = [{"severity": severity} for severity in severities]
    assert exit_code({"findings": findings, "summary": {"sites": 2, "skipped": 1}}, fail_on=fail_on) == code


def test_nan_weights_are_skipped_with_the_reason():
    record, code = record_of("nets:lost", "--input", "1x2x5x6")
    (skipped,) = record["skipped"]
    assert skipped["site"] == "up"
    assert skipped["reason"] == "NaN or infinite weights in its chain: 1; take an earlier checkpoint"
    assert {each["verdict"] for each in record["sites"][0]["verdicts"].values()} == {"skipped"}
    assert (record["findings"], code) == ([], 3)


def test_an_unknown_operator_is_skipped_by_name(folder):
    nodes = [onnx.helper.make_node("Grow", ["x"], ["y"], name="grow", domain="com.acme")]
    built = model(nodes, {"x": [1, 2, 5, 6]}, domains=("com.acme",))
    built.graph.output[0].CopyFrom(
        onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2, 10, 12])
    )
    onnx.save(built, folder / "odd.onnx")
    record, code = record_of("odd.onnx")
    assert [(each["site"], "Grow" in each["reason"]) for each in record["skipped"]] == [("grow", True)]
    assert code == 3


def test_what_the_code_prints_and_warns_of():
    result = run("nets:balanced", "--input", "1x2x1x1:float32", "--format", "json")
    drawn = torch.randn(1, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    assert result.stderr == f"imported\nrun on (1, 2, 1, 1) torch.float32 {float(drawn.sum())}\n"
    json.loads(result.stdout)


def test_numbers_follow_the_seed():
    words = ("nets:make", "--input", "1x2x5x6", "--format", "json")
    run(*words)  # what the module draws while it is imported, it draws once in a process
    once, again, other = run(*words), run(*words), run(*words, "--seed", "7")
    assert once.stdout == again.stdout
    assert once.stderr.splitlines()[-1] == again.stderr.splitlines()[-1] != other.stderr.splitlines()[-1]
    assert once.stdout != other.stdout


def test_the_random_numbers_of_the_caller_are_left_alone():
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    run("nets:make", "--input", "1x2x5x6")
    assert torch.equal(torch.rand(4), wanted)


def test_inputs_by_name_and_type():
    result = run("nets:make", "--input", "scale=2:int64", "--input", "1x2x5x6", "-q")
    assert "scale torch.int64 [0, 0]" in result.stderr
    by_name = run("nets:make", "--input", "scale=2:bool", "--input", "x=1x2x5x6", "-q")
    assert "scale torch.bool [False, False]" in by_name.stderr
    assert (result.exit_code, by_name.exit_code) == (0, 0)


@pytest.mark.parametrize(
    "words", ["nets:built", "nets:Net", "nets:Net.small", "nets:Fresh.small", "nets:lazily"]
)
def test_what_can_be_named(words):
    assert run(words, "--input", "1x2x5x6").exit_code == 0


def test_the_current_folder_comes_first(folder):
    # Python has a module of this name that nothing here imports
    (folder / "this.py").write_text("from nets import make\n")
    assert run("this:make", "--input", "1x2x5x6").exit_code == 0


def test_a_module_in_a_package(folder):
    (folder / "package").mkdir()
    (folder / "package" / "inner.py").write_text("from nets import make\n")
    assert run("package.inner:make", "--input", "1x2x5x6").exit_code == 0


def test_a_file_comes_before_a_module(folder, onnx_file):
    shutil.copy(onnx_file, folder / "nets:make")
    assert record_of("nets:make")[1] == 1


@pytest.mark.parametrize("name", ["g.pth", "g.safetensors"])
def test_weights_are_loaded(folder, name):
    state = {"up.weight": torch.ones(2, 2, 4, 4), "up.bias": torch.ones(2)}
    state["up.weight"][:, :, 1::2] *= 2
    (save_file if name.endswith("s") else torch.save)(state, folder / name)
    record, code = record_of("nets:balanced", "--input", "1x2x5x6", "--weights", name, *THESE)
    assert (found(record), code) == (LOUD, 1)
    assert run("nets:balanced", "--input", "1x2x5x6", "--weights", name).stderr.count("upstroke:") == 0


def test_a_checkpoint_is_opened_and_said(folder):
    state = {"module.up.weight": torch.ones(2, 2, 4, 4), "module.up.bias": torch.ones(2)}
    torch.save({"epoch": 3, "g_ema": state}, folder / "last.ckpt")
    words = ("nets:make", "--input", "1x2x5x6", "--weights", "last.ckpt")
    result = run(*words)
    assert result.exit_code == 0
    assert [line for line in result.stderr.splitlines() if line.startswith("upstroke")] == [
        "upstroke: took the weights under 'g_ema' in last.ckpt",
        "upstroke: left out 'module.' before every name in last.ckpt",
    ]
    assert "upstroke" not in run(*words, "-q").stderr


def test_weights_of_another_model(folder):
    state = {
        "up.weight": torch.ones(2, 2, 3, 5),
        "a": torch.ones(2),
        "b\n": torch.ones(()),
        "c": torch.ones(1),
    }
    torch.save({**state, "d": torch.ones(1)}, folder / "g.pth")
    refused(
        "the weights in g.pth must be those of nets:make: 1 missing (up.bias), 4 unexpected (a, 'b\\n', c and 1 "
        "more), 1 of another shape (up.weight (2x2x3x5 for 2x2x4x4)); give the weights of this model, or build "
        "the model that they are of",
        *("nets:make", "--input", "1x2x5x6", "--weights", "g.pth"),
    )


def test_no_weight_too_few_and_none_too_many(folder):
    start = "the weights in g.pth must be those of nets:make: "
    end = "; give the weights of this model, or build the model that they are of"
    state = {"up.weight": torch.ones(2, 2, 4, 4), "up.bias": torch.ones(2), "more": torch.ones(1)}
    words = ("nets:make", "--input", "1x2x5x6", "--weights", "g.pth")
    torch.save(state, "g.pth")
    refused(f"{start}1 unexpected (more){end}", *words)
    torch.save({"up.weight": state["up.weight"]}, "g.pth")
    refused(f"{start}1 missing (up.bias){end}", *words)


class Trap:
    def __reduce__(self):
        return pytest.fail, ("the pickle was run",)


def test_a_pickle_where_weights_are_wanted(folder):
    words = ("nets:make", "--input", "1x2x5x6", "--weights", "g.pth")
    objects = f"{WEIGHTS}; g.pth holds pickled Python objects, which are programs and are never run; {ALONE}"
    (folder / "g.pth").write_bytes(pickle.dumps(Trap()))
    refused(objects, *words)
    torch.save({"w": Trap()}, folder / "g.pth")
    refused(objects, *words)
    (folder / "g.pth").unlink()
    refused(f"{WEIGHTS}; there is no file g.pth", *words)


def test_weights_without_a_graph(folder):
    state = {"w": torch.ones(2)}
    for save in (torch.save, save_file):
        save(state, folder / "model.onnx")
        refused(
            f"{WANTED}; model.onnx holds weights without a graph; name the code that builds the model as "
            "package.module:factory and give this file as --weights",
            "model.onnx",
        )


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "old"])
def test_a_whole_model_is_told_from_its_weights(folder, archive):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    more = {
        "state": net.state_dict(),
        "epoch": 3,
        "best": {"loss": 0.5},
        "seen": [numpy.ones(3), torch.Size([1])],
    }
    for weights in (net.state_dict(), dict(net.named_parameters()), more):
        torch.save(weights, folder / "model.pt", _use_new_zipfile_serialization=archive)
        assert "holds weights without a graph" in run("model.pt").stderr
    for objects in (net, {"model": net}, {"w": Trap()}):
        torch.save(objects, folder / "model.pt", _use_new_zipfile_serialization=archive)
        refused(
            f"{WANTED}; model.pt holds pickled Python objects, perhaps a whole model, which are programs and are "
            "never unpickled; name the code that builds the model as package.module:factory and give its state "
            "dict alone as --weights",
            "model.pt",
        )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_programs_are_not_run(folder):
    remedy = "and loading it can run code; export it to ONNX, or name the code that builds the model"
    torch.jit.script(nn.Conv2d(1, 1, 1)).save(folder / "ts.pt")
    refused(f"{WANTED}; ts.pt is a TorchScript program, {remedy}", "ts.pt")
    (folder / "p.pkl").write_bytes(pickle.dumps(Trap()))
    refused(
        f"{WANTED}; p.pkl is a pickle, which is a program and is never run; export the model to ONNX", "p.pkl"
    )


def test_what_is_no_model(folder):
    (folder / "empty.onnx").touch()
    for words, what in {
        "no.onnx": "there is no file 'no.onnx', and it is no package.module:factory",
        "": "there is no file '', and it is no package.module:factory",
        ":": "there is no file ':', and it is no package.module:factory",
        "a:b:c": "there is no file 'a:b:c', and it is no package.module:factory",
        "nets:make()": "there is no file 'nets:make()', and it is no package.module:factory",
        ".": ". is a folder",
        "empty.onnx": "empty.onnx is empty",
        "nets.py": "nets.py is code; name what builds the model in it as nets:factory",
        "nets.py:make": "nets.py is a file and no module; write nets:make",
        "./nets.py:make": "./nets.py is a file and no module; write nets:make",
    }.items():
        refused(f"{WANTED}; {what}", words)


def test_a_file_that_is_not_onnx(folder, onnx_file):
    whole = onnx_file.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:7], b"hello, model\n" * 9):
        onnx_file.write_bytes(content)
        before = listing()
        result = run("model.onnx", "--output", "report.txt")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("upstroke: ")
        assert result.stderr.count("\n") == 1
        assert "model.onnx" in result.stderr
        assert listing() == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    {
        "nosuch:make": (
            "there is no module nosuch in the current folder and what is installed; name the module as import "
            "statements do"
        ),
        "nets.inner:make": (
            "there is no module nets.inner in the current folder and what is installed; name the module as "
            "import statements do"
        ),
        "nets:mak": "there is no mak in nets; did you mean make?",
        "nets:xyzzy": "there is no xyzzy in nets; name a function that builds the model",
        "nets:Net.smal": "there is no smal in Net; did you mean small?",
        "nets:number": (
            "nets:number must be a factory or an nn.Module; it is an int; name a function that builds the model"
        ),
        "nets:needs": (
            "the factory nets:needs must take no arguments; it needs channels, depth; write a function without "
            "arguments that calls it"
        ),
        "nets:other": "nets:other must give an nn.Module; it gave a tuple; let it return the model",
        "nets:nothing": "nets:nothing must give an nn.Module; it gave a NoneType; let it return the model",
        "nets:fails": (
            "calling nets:fails failed with IndexError: list index out of range at nets.py:{fails}; python -c "
            "'from nets import fails; fails()' shows more"
        ),
        "nets:leaves": (
            "calling nets:leaves failed with SystemExit: no model today at nets.py:{leaves}; python -c "
            "'from nets import leaves; leaves()' shows more"
        ),
        "nets:odd": (
            "calling nets:odd failed with Odd at nets.py:{odd}; python -c 'from nets import odd; odd()' shows more"
        ),
    }.items(),
)
def test_errors_of_the_users_own_code(words, sentence):
    lines = CODE.splitlines()
    places = {
        name: next(i for i, line in enumerate(lines, 1) if line.startswith(f"def {name}(")) + 1
        for name in ("fails", "leaves", "odd")
    }
    refused(sentence.format(**places), words, "--input", "1x2x5x6")
    refused(sentence.format(**places), words, "--input", "1x2x5x6", "-v")


def test_modules_that_cannot_be_imported(folder):
    (folder / "broken.py").write_text("x = 1\ndef f(:\n")
    (folder / "importer.py").write_text("\n\nimport nosuchthing\n")
    refused(
        "importing broken failed with SyntaxError: invalid syntax at broken.py:2; python -c 'import broken' shows "
        "more",
        "broken:f",
    )
    refused(
        "importing importer failed with ModuleNotFoundError: No module named 'nosuchthing' at importer.py:3; "
        "python -c 'import importer' shows more",
        "importer:f",
    )


def test_an_interrupt_is_the_users():
    assert run("nets:stops", "--input", "1x2x5x6").exit_code == 130


FORWARD = "forward(x, scale=None, other=None, *, mask=None)"
SHAPE = "--input must be a shape such as 1x3x320x320, or with a name and a type as in ids=1x16:int64"


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (
            (),
            "a PyTorch model needs an example of each input; none was given; give --input 1x3x64x64 for each",
        ),
        (("1x2xx5",), f"{SHAPE}; got '1x2xx5'"),
        (("",), f"{SHAPE}; got ''"),
        (("=1x2",), f"{SHAPE}; got '=1x2'"),
        (("1x2x-5",), f"{SHAPE}; got '1x2x-5'"),
        (("1x2x0x5",), "--input must be at least 1 on every axis; got '1x2x0x5'"),
        (("1x2x5x9999999999",), "--input must be at most 999999999; got '1x2x5x9999999999'"),
        (
            ("99999x99999",),
            "--input must have at most 2147483648 numbers; got '99999x99999'; give a smaller example",
        ),
        (
            ("1x2:float8",),
            (
                "--input must have one of the types float32, float16, bfloat16, float64, int64, int32, uint8, bool; "
                "got '1x2:float8'"
            ),
        ),
        (
            ("y=1x2x5x6",),
            (
                f"--input must be what {FORWARD} takes; it has no 'y'; missing a required argument: 'x'; give "
                "one for each input without a default, in order or by name"
            ),
        ),
        (
            ("1x2x5x6", "y=1"),
            (
                f"--input must be what {FORWARD} takes; it has no 'y'; give one for each input without a default, "
                "in order or by name"
            ),
        ),
        (
            ("1x2x5x6", "1", "1", "1"),
            (
                f"--input must be what {FORWARD} takes; too many positional arguments; give one for each input "
                "without a default, in order or by name"
            ),
        ),
        (("x=1x2x5x6", "x=1"), "an input can be given once; got 'x' twice; leave one --input out"),
    ],
)
def test_inputs_that_a_module_cannot_take(inputs, sentence):
    refused(sentence, "nets:make", *(word for words in inputs for word in ("--input", words)))


@pytest.mark.parametrize("name", ["other", "mask"])
def test_inputs_by_name_alone_reach_forward(name):
    assert run("nets:make", "--input", "1x2x5x6", "--input", f"{name}=1").exit_code == 0


def test_a_report_is_written_where_the_user_is(folder):
    run("nets:wanders", "--input", "1x2x5x6", "--output", "report.txt")
    assert (folder / "report.txt").is_file()
    assert os.getcwd() == str(folder)


def test_inputs_have_the_type_of_the_models_weights():
    assert run("nets:half", "--input", "1x2x5x6").exit_code == 0
    assert run("nets:half", "--input", "1x2x5x6:float32").exit_code == 2


def test_a_model_that_ends_the_process_is_no_clean_one():
    refused(
        "the model ends in SystemExit when it is run on inputs of shape 1x2x5x6: 0; mend its code",
        *("nets:leaves_late", "--input", "1x2x5x6", "--format", "json", "--output", "report.json"),
    )


def test_a_fault_of_ours_does_not_pass_for_findings(monkeypatch):
    def broken(*_, **__):
        raise KeyError(*("where",))

    monkeypatch.setattr("upstroke.audit.check", broken)
    refused(
        "this should not have happened: KeyError: 'where'; run it again with UPSTROKE_TRACEBACKS=1 to see where, and report that",
        *("nets:make", "--input", "1x2x5x6"),
    )
    monkeypatch.setenv("UPSTROKE_TRACEBACKS", "1")
    with pytest.raises(KeyError):
        run("nets:make", "--input", "1x2x5x6")


def test_a_size_the_model_cannot_take():
    result = run("nets:make", "--input", "1x3x5x6")
    assert (result.exit_code, result.stdout) == (2, "")
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("upstroke: the model cannot take inputs of shape 1x3x5x6")


def test_inputs_that_a_file_cannot_take(onnx_file):
    refused(
        "an ONNX file says of which type its inputs are; got --input '1x2x5x6:float32'; leave out ':float32'",
        *("model.onnx", "--input", "1x2x5x6:float32"),
    )
    refused(
        "several inputs of an ONNX file must each be named; got --input '1x2'; give --input NAME=1x3x64x64 for each",
        *("model.onnx", "--input", "x=1x2x5x6", "--input", "1x2"),
    )
    for words in ("y=1x2x5x6", "1x3x5x6", "1x2x5"):
        result = run("model.onnx", "--input", words)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)


def test_weights_belong_to_a_factory(onnx_file):
    refused(
        "--weights belongs to package.module:factory; model.onnx has its own; leave --weights out",
        *("model.onnx", "--weights", "g.pth"),
    )


def test_targets_are_refused_before_the_model_is_loaded(folder, onnx_file):
    taken = folder / "taken.txt"
    taken.write_text("mine")
    words = ("nets:fails", "--output")
    refused(f"{taken} exists already; give --overwrite to replace it, or another name", *words, taken)
    refused(f"cannot write {folder}: it is a folder; name a file inside it", *words, folder)
    nowhere = folder / "no" / "r.txt"
    refused(
        f"cannot write {nowhere}: the folder {nowhere.parent} does not exist; create it first",
        *words,
        nowhere,
    )
    refused(
        "a page is for a browser and not for a terminal; got no --output; give --output report.html",
        *("nets:fails", "--format", "html"),
    )
    same = "--output must not be what is checked; got model.onnx for both; name another file"
    refused(same, "model.onnx", "--output", "model.onnx", "--overwrite")
    refused(same, "nets:fails", "--weights", "model.onnx", "--output", "model.onnx", "--overwrite")
    assert run("model.onnx", "--output", taken, "--overwrite", "-q").stderr == ""
    assert taken.read_text().startswith("model.onnx")


def test_rules_that_there_are_not():
    words = ("nets:balanced", "--input", "1x2x5x6")
    refused("--select must be codes such as UP101,UP2; got 'UP101,'", *words, "--select", "UP101,")
    for option in ("--select", "--ignore"):
        result = run(*words, option, "UP101,UP9")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.splitlines()[-1].endswith("got 'UP9'")


def test_nothing_heavy_is_imported_for_help():
    """The verb's own module leaves onnx and jinja2 to those who need them."""
    import subprocess

    code = "import sys, upstroke.cli; print(*sorted({'onnx', 'jinja2', 'matplotlib', 'pygments'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_the_extra_is_named(onnx_file, monkeypatch):
    for name in [each for each in sys.modules if each == "onnx" or each.startswith("onnx.")]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in [each for each in sys.modules if each.startswith("upstroke.graph.onnx")]:
        monkeypatch.delitem(sys.modules, name)
    result = run("model.onnx")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pip install 'upstroke[onnx]'" in result.stderr


def test_warnings_are_as_before():
    before = list(warnings.filters)
    run("nets:make", "--input", "1x2x5x6")
    assert warnings.filters == before


DCGAN = """\
from torch import nn


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        sizes = ((64, 256, 3, 2), (256, 128, 4, 1), (128, 64, 3, 2))
        stages = [
            nn.Sequential(nn.ConvTranspose2d(inner, outer, k, s), nn.BatchNorm2d(outer), nn.ReLU())
            for inner, outer, k, s in sizes
        ]
        self.gen = nn.Sequential(*stages, nn.Sequential(nn.ConvTranspose2d(64, 1, 4, 2), nn.Tanh()))

    def forward(self, noise):
        return self.gen(noise)
"""


def test_trained_weights_people_have(folder, data_dir):
    (folder / "dcgan.py").write_text(DCGAN)
    weights = data_dir / "models" / "dcgan_mnist" / "generator.pth"
    record, code = record_of("dcgan:Generator", "--input", "1x64x1x1", "--weights", weights)
    assert [each["scale"] for each in record["sites"] if each["scale"] is not None].count([2, 2]) == 3
    assert {"UP101", "UP102"} <= {each["code"] for each in record["findings"]}
    assert code == 1


def test_a_network_people_have(data_dir):
    record, _ = record_of(data_dir / "models" / "espcn" / "super_resolution.onnx")
    assert [(each["kind"], each["scale"]) for each in record["sites"]] == [("shuffle", [3, 3])]
