"""The verb `plan`: numbers that describe a net become its sizes, crops and grids."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from upstroke.cli.options import Format, Output, Overwrite, Quiet, Verbose, per_axis, per_axis_or, whole
from upstroke.cli.output import deliver, json_text, page_for
from upstroke.errors import OptionError
from upstroke.plan import (
    Conv,
    GeneratorPlan,
    Pool,
    Resize,
    Shuffle,
    Transposed,
    UnetPlan,
    plan_generator,
    plan_unet,
)
from upstroke.report.plan_text import plan_text

__all__ = ["app"]

app = typer.Typer(
    help="Sizes, crops and grids of a net, before it is built. Per-axis values are written 97x131.",
    no_args_is_help=True,
)

Sizes = int | tuple[int, ...]


@app.command()
def generator(
    start: Annotated[str, typer.Option("--from", metavar="SIZE", help="Size of the seed.")],
    to: Annotated[str, typer.Option("--to", metavar="SIZE", help="Size of the picture.")],
    kernel: Annotated[
        str, typer.Option("--kernel", metavar="K", help="Kernel of the transposed convolution.")
    ],
    stride: Annotated[str, typer.Option("--stride", metavar="S", help="Its stride.")] = "2",
    padding: Annotated[str, typer.Option("--padding", metavar="P", help="Its padding.")] = "0",
    output_padding: Annotated[
        str, typer.Option("--output-padding", metavar="P", help="Its output_padding.")
    ] = "0",
    dilation: Annotated[str, typer.Option("--dilation", metavar="D", help="Its dilation.")] = "1",
    form: Format = "text",
    output: Output = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Lay out the ladder of one transposed convolution, repeated from a seed to a picture.

    upstroke plan generator --from 4 --to 64 --kernel 4 --stride 2 --padding 1
    """
    plan = plan_generator(
        per_axis(start, option="--from"),
        per_axis(to, option="--to"),
        kernel=per_axis(kernel, option="--kernel"),
        stride=per_axis(stride, option="--stride"),
        padding=per_axis(padding, option="--padding"),
        output_padding=per_axis(output_padding, option="--output-padding"),
        dilation=per_axis(dilation, option="--dilation"),
    )
    _show(plan, form=form, output=output, overwrite=overwrite, quiet=quiet, verbose=verbose)


@app.command()
def unet(
    size: Annotated[str, typer.Option("--size", metavar="SIZE", help="Size of the input.")],
    depth: Annotated[
        str, typer.Option("--depth", metavar="N", help="How many times the map is made smaller.")
    ] = "4",
    conv: Annotated[
        Literal["valid", "same"], typer.Option("--conv", help="Convolutions without padding, or with.")
    ] = "valid",
    convs_per_level: Annotated[
        str, typer.Option("--convs-per-level", metavar="N", help="Convolutions on each level, each way.")
    ] = "2",
    kernel: Annotated[str, typer.Option("--kernel", metavar="K", help="Their kernel.")] = "3",
    stride: Annotated[str, typer.Option("--stride", metavar="S", help="Factor between levels.")] = "2",
    down: Annotated[
        Literal["pool", "conv"], typer.Option("--down", help="What makes maps smaller.")
    ] = "pool",
    down_kernel: Annotated[
        str | None,
        typer.Option("--down-kernel", metavar="K", help="Its kernel (default: the stride; 3 for conv)"),
    ] = None,
    down_padding: Annotated[
        str | None,
        typer.Option("--down-padding", metavar="P", help="Its padding (default: 0; half of K - 1 for conv)"),
    ] = None,
    pool: Annotated[
        Literal["floor", "ceil"] | None,
        typer.Option(
            "--pool",
            help="Whether a pool drops what fills no window, as PyTorch's do (default: floor), or cuts its "
            "last window short, as upstroke.nn.UNet's do with --conv same.",
        ),
    ] = None,
    up: Annotated[
        Literal["transposed", "nearest", "linear", "shuffle"],
        typer.Option("--up", help="What makes maps larger."),
    ] = "transposed",
    up_kernel: Annotated[
        str | None,
        typer.Option("--up-kernel", metavar="K", help="Kernel, for transposed (default: the stride)"),
    ] = None,
    up_padding: Annotated[
        str | None,
        typer.Option("--up-padding", metavar="P", help="Padding, for transposed (default: 0)"),
    ] = None,
    up_output_padding: Annotated[
        str | None,
        typer.Option("--up-output-padding", metavar="P", help="output_padding, for transposed (default: 0)"),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Refuse a size that does not fit exactly.")] = False,
    form: Format = "text",
    output: Output = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Lay out a U-Net: sizes, crops, what each level needs, how far joined grids are apart.

    upstroke plan unet --size 572 --depth 4 --conv valid

    upstroke plan unet --size 97x131 --depth 4 --conv same --pool ceil
    """
    factor = per_axis(stride, option="--stride")
    if up != "transposed":
        for option, given in (
            ("--up-kernel", up_kernel),
            ("--up-padding", up_padding),
            ("--up-output-padding", up_output_padding),
        ):
            if given is not None:
                message = f"{option} belongs to --up transposed; got --up {up}; leave {option} out"
                raise OptionError(message)
    plan = plan_unet(
        per_axis(size, option="--size"),
        whole(depth, option="--depth"),
        conv=conv,
        convs_per_level=whole(convs_per_level, option="--convs-per-level"),
        kernel=per_axis(kernel, option="--kernel"),
        down=_down(down, down_kernel, down_padding, pool, stride=factor),
        up=_up(up, up_kernel, up_padding, up_output_padding, stride=factor),
        exact=exact,
    )
    _show(plan, form=form, output=output, overwrite=overwrite, quiet=quiet, verbose=verbose)


def _down(
    kind: str, kernel: str | None, padding: str | None, pool: str | None, *, stride: Sizes
) -> Conv | Pool:
    if kind == "pool":
        return Pool(
            kernel=per_axis_or(kernel, stride, option="--down-kernel"),
            stride=stride,
            padding=per_axis_or(padding, 0, option="--down-padding"),
            ceil_mode=pool == "ceil",
        )
    if pool is not None:
        message = f"--pool belongs to --down pool; got --down {kind}; leave --pool out"
        raise OptionError(message)
    window = per_axis_or(kernel, 3, option="--down-kernel")
    half = tuple((k - 1) // 2 for k in window) if isinstance(window, tuple) else (window - 1) // 2
    return Conv(kernel=window, stride=stride, padding=per_axis_or(padding, half, option="--down-padding"))


def _up(
    kind: str, kernel: str | None, padding: str | None, output_padding: str | None, *, stride: Sizes
) -> Transposed | Resize | Shuffle:
    if kind == "shuffle":
        return Shuffle(scale=stride)
    if kind != "transposed":
        return Resize(scale=stride, mode=kind)
    return Transposed(
        kernel=per_axis_or(kernel, stride, option="--up-kernel"),
        stride=stride,
        padding=per_axis_or(padding, 0, option="--up-padding"),
        output_padding=per_axis_or(output_padding, 0, option="--up-output-padding"),
    )


def _show(
    plan: GeneratorPlan | UnetPlan,
    *,
    form: str,
    output: Path | None,
    overwrite: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    record = plan.as_json()
    page = page_for(output)
    text = (
        json_text(record)
        if form == "json"
        else plan_text(record, width=page.width, colour=page.colour, detail=verbose)
    )
    deliver(text, output=output, overwrite=overwrite, quiet=quiet)
