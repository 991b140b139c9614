"""Hold that the compiled kernels are found, said to be missing once where they are, and refuse what they cannot take."""

import importlib
import os
import re
import subprocess
import sys
import textwrap
import warnings

import pytest
import torch
from typer.testing import CliRunner

from upstroke import __version__, choose, cli, polyphase
from upstroke.ops import kernels

MISSING = (
    "the compiled kernels of upstroke are missing{}, so PyTorch's slower forms serve; "
    "to have them, install a C++17 compiler and then upstroke again"
)
AT_EVERY_RATE = ("avx512_bf16", "avx512", "avx2", "baseline")


@pytest.fixture
def compiled():
    found = kernels._find()[0]
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("upstroke._native was not built, and CI has a compiler")
        pytest.skip("upstroke._native was not built")
    yield found
    found.use_instructions(found.available_instructions()[0])


@pytest.fixture
def forgotten():
    """Forget what was found, before and after."""
    kernels._find.cache_clear()
    kernels.native.cache_clear()
    yield
    kernels._find.cache_clear()
    kernels.native.cache_clear()


def refuse_import(monkeypatch, error):
    def import_module(name):
        assert name == "upstroke._native"
        raise error

    monkeypatch.setattr(importlib, "import_module", import_module)


def version():
    return CliRunner().invoke(cli.app, ["--version"]).output


def test_auto_takes_the_compiled_kernels(compiled):
    assert kernels.native() is compiled
    operators = [
        polyphase.linear(2),
        polyphase.cubic((2, 3)),
        polyphase.transposed(torch.rand(64, 1, 4, 6), stride=(2, 3), padding=(1, 2), groups=64),
    ]
    for operator in operators:
        for channels_last in (False, True):
            choice = choose(operator, x_shape=(1, 64, 128, 96), channels_last=channels_last)
            assert choice.impl == "native", choice.reason


def test_a_set_of_instructions_can_be_asked_for(compiled):
    names = compiled.available_instructions()
    assert names == [name for name in AT_EVERY_RATE if name in names]
    assert names[-1] == "baseline"
    assert compiled.instructions() == names[0]
    for name in names:
        compiled.use_instructions(name)
        assert compiled.instructions() == kernels.instructions() == name
        assert version() == f"upstroke {__version__}, compiled kernels: {name}\n"
    message = f"instructions must be one of {', '.join(names)} on this machine; got mmx"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        compiled.use_instructions("mmx")
    assert compiled.instructions() == names[-1]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ModuleNotFoundError("No module named 'upstroke._native'"), ""),
        (ImportError("libstdc++.so.6: version\n not found"), " (libstdc++.so.6: version not found)"),
    ],
)
@pytest.mark.usefixtures("forgotten")
def test_what_is_missing_is_said_once(monkeypatch, error, why):
    refuse_import(monkeypatch, error)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert kernels.instructions() is None
        assert version() == f"upstroke {__version__}, compiled kernels: none (PyTorch's forms serve)\n"
        assert not caught
        assert kernels.native() is None
        assert kernels.native() is None
    assert [(str(each.message), each.category) for each in caught] == [
        (MISSING.format(why), kernels.MissingKernelsWarning)
    ]


def test_upsampling_does_without_them_and_says_so():
    """In a process that cannot load them: the same numbers, one warning."""
    program = """
        import sys
        import warnings

        sys.modules["upstroke._native"] = None  # what Python takes for "there is no such module"
        warnings.simplefilter("error")
        warnings.filterwarnings("always", category=RuntimeWarning)
        import torch
        from upstroke import polyphase, upsample

        x = torch.rand(2, 3, 5, 7, dtype=torch.float64)
        operator = polyphase.linear((2, 3))
        got = upsample(x, operator)
        upsample(x, operator)
        torch.testing.assert_close(got, upsample(x, operator, impl="reference"))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("MissingKernelsWarning") <= 1, done.stderr


def numbers(**changed):
    """What describes one call: 2 maps of 3 channels, 5 x 7 cells, bilinear."""
    return {
        "batch": 2,
        "channels": 3,
        "kernel_channels": 1,
        "cells": [5, 7],
        "samples": [10, 21],
        "scale": [2, 3],
        "kernel": [4, 6],
        "crop": [1, 2],
        "border": [1, 1],
        "channels_last": False,
        "number": 0,
        "threads": 1,
    } | changed


HUGE = 2**62


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cells": []}, "cells must have 1 to 3 axes; got 0"),
        ({"cells": [1, 1, 1, 1]}, "cells must have 1 to 3 axes; got 4"),
        ({"samples": [10]}, "samples must have one number for each of 2 axes, as cells has; got 1"),
        ({"batch": 0}, "batch must be at least 1; got 0"),
        ({"channels": 0}, "channels must be at least 1; got 0"),
        ({"kernel_channels": 2}, "kernel_channels must be 1 or the 3 channels; got 2"),
        ({"cells": [5, 0]}, "cells must be at least 1; got 0"),
        ({"samples": [0, 21]}, "samples must be at least 1; got 0"),
        ({"scale": [2, -3]}, "scale must be at least 1; got -3"),
        ({"kernel": [0, 3]}, "kernel must be at least 1; got 0"),
        ({"border": [1, 3]}, "border must be 0 (zero), 1 (clamp) or 2 (circular); got 3"),
        ({"number": 3}, "number must be 0 (float32), 1 (float64) or 2 (bfloat16); got 3"),
        ({"threads": 0}, "threads must be at least 1; got 0"),
        ({"crop": [-HUGE, 1]}, f"crop must be within 2^60 of 0; got {-HUGE}"),
        ({"cells": [HUGE, 7]}, "the reach of an axis does not fit 64 bits; use a smaller map"),
        ({"batch": HUGE}, "the map of cells does not fit 64 bits; use a smaller map"),
        ({"samples": [10, HUGE]}, "the map of samples does not fit 64 bits; use a smaller map"),
        ({"kernel": [2**40, 2**40]}, "the array of taps does not fit 64 bits; use a smaller map"),
    ],
)  # fmt: skip
def test_numbers_that_mean_nothing_are_refused(compiled, changed, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        compiled.Problem(**numbers(**changed))


# the arrays that each function takes, in order
TAKEN = {
    "upsample": ("x", "kernel", "bias", "y"),
    "adjoint": ("y", "kernel", "x"),
    "kernel_gradient": ("y", "x", "kernel"),
}


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize(("number", "width"), [(0, 4), (1, 8), (2, 2)])
def test_addresses_that_hold_no_numbers_are_refused(compiled, name, number, width):
    array, problem = torch.zeros(4096, dtype=torch.float64), compiled.Problem(**numbers(number=number))
    for place, word in enumerate(TAKEN[name]):
        wanted = max(width, 4) if word in ("kernel", "bias") else width
        # no bias is none
        for wrong in (array.data_ptr() + 1,) if word == "bias" else (0, array.data_ptr() + 1):
            addresses = [array.data_ptr()] * len(TAKEN[name])
            addresses[place] = wrong
            message = f"{word}_ptr must be the address of numbers of {wanted} bytes each; got {wrong}"
            with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
                getattr(compiled, name)(*addresses, problem)


@pytest.mark.parametrize("threads", [1, 2, 3, 10**9])
def test_bilinear_is_pytorchs(compiled, threads):
    """Float64, through the module itself, on a map for which threads pay."""
    x = torch.rand(2, 3, 151, 170, dtype=torch.float64)
    form = polyphase.kernel_form(polyphase.linear((2, 3)))
    wanted = torch.nn.functional.interpolate(x, scale_factor=(2, 3), mode="bilinear")
    y, kernel = torch.full_like(wanted, torch.nan), form.kernel.to(torch.float64).contiguous()
    problem = compiled.Problem(
        **numbers(
            cells=x.shape[2:], samples=y.shape[2:], kernel=kernel.shape[2:], crop=form.crop,
            number=1, threads=threads,
        )
    )  # fmt: skip
    compiled.upsample(x.data_ptr(), kernel.data_ptr(), 0, y.data_ptr(), problem)
    torch.testing.assert_close(y, wanted)
