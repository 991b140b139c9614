"""The verb `inspect`: a layer or a picture becomes its numbers, in words, as JSON, as a figure."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from upstroke.cli.options import Format, Output, Overwrite, Quiet, file_name, per_axis, refuse_existing
from upstroke.cli.output import deliver, json_text, page_for, printable
from upstroke.errors import OptionError

if TYPE_CHECKING:
    from upstroke.cli.inspect_layers import Subject

__all__ = ["app"]

app = typer.Typer(
    help="What a layer does to values, where its samples sit, what it costs. Per-axis values: 3x4.",
    no_args_is_help=True,
)

Kernel = Annotated[
    str | None, typer.Option("--kernel", metavar="K", help="Kernel size (default: that of the weights).")
]
Stride = Annotated[str, typer.Option("--stride", metavar="S", help="Stride, the factor of growth.")]
Scale = Annotated[str, typer.Option("--scale", metavar="S", help="Factor of growth.")]
Padding = Annotated[str, typer.Option("--padding", metavar="P", help="Padding.")]
OutputPadding = Annotated[str, typer.Option("--output-padding", metavar="P", help="output_padding.")]
Dilation = Annotated[str, typer.Option("--dilation", metavar="D", help="Dilation.")]
InChannels = Annotated[int | None, typer.Option("--in-channels", min=1, help="Channels that come in.")]
OutChannels = Annotated[int | None, typer.Option("--out-channels", min=1, help="Channels that go out.")]
Ndim = Annotated[
    int | None,
    typer.Option("--ndim", min=1, max=3, help="Axes (default: as many as a per-axis value has, or 2)."),
]
WeightsFile = Annotated[
    str | None,
    typer.Option("--weights", metavar="FILE[:KEY]", help="A .npy file, or a tensor of a .safetensors file."),
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", parser=file_name, help="Draw a figure: .svg, .pdf or .png."),
]


@app.command()
def transposed(
    kernel: Kernel = None,
    stride: Stride = "2",
    padding: Padding = "0",
    output_padding: OutputPadding = "0",
    dilation: Dilation = "1",
    groups: Annotated[int, typer.Option("--groups", min=1, help="Channel groups.")] = 1,
    in_channels: InChannels = None,
    out_channels: OutChannels = None,
    ndim: Ndim = None,
    weights: WeightsFile = None,
    plot: Plot = None,
    form: Format = "text",
    output: Output = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Inspect a transposed convolution. Weights: (in, out / groups, *kernel), or one kernel.

    upstroke inspect transposed --kernel 4 --stride 2 --padding 1
    """
    _refuse_existing(plot, output, overwrite=overwrite)
    from upstroke.cli.inspect_layers import transposed_subject

    subject = transposed_subject(
        {
            "--kernel": kernel,
            "--stride": stride,
            "--padding": padding,
            "--output-padding": output_padding,
            "--dilation": dilation,
        },
        groups=groups,
        channels=(in_channels, out_channels),
        weights=weights,
        ndim=ndim,
    )
    _show(subject, plot=plot, form=form, output=output, overwrite=overwrite, quiet=quiet)


@app.command()
def resize(
    mode: Annotated[
        Literal["nearest", "linear", "cubic", "bspline", "box", "triangle", "kaiser"],
        typer.Option("--mode", help="The kernel; bspline is cubic, kaiser a sinc of radius 3."),
    ],
    scale: Scale = "2",
    centre: Annotated[
        Literal["cell", "sample"] | None,
        typer.Option("--centre", help="Half-pixel (cell, the default) or asymmetric (sample)."),
    ] = None,
    a: Annotated[
        float | None, typer.Option("--a", help="Slope of the cubic kernel (default: -0.75, as PyTorch).")
    ] = None,
    kernel: Annotated[
        str | None, typer.Option("--kernel", metavar="K", help="Kernel of a convolution that follows.")
    ] = None,
    padding: Annotated[str | None, typer.Option("--padding", metavar="P", help="Its padding.")] = None,
    in_channels: InChannels = None,
    out_channels: OutChannels = None,
    ndim: Ndim = None,
    weights: WeightsFile = None,
    plot: Plot = None,
    form: Format = "text",
    output: Output = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Inspect a resize by a whole factor, alone or with the convolution after it.

    Weights of that convolution: (out, in, *kernel), or one kernel.

    upstroke inspect resize --mode nearest --scale 2 --kernel 3 --padding 1
    """
    _refuse_existing(plot, output, overwrite=overwrite)
    from upstroke.cli.inspect_layers import resize_subject

    subject = resize_subject(
        {"--scale": scale, "--kernel": kernel, "--padding": padding},
        mode=mode,
        centre=centre,
        a=a,
        channels=(in_channels, out_channels),
        weights=weights,
        ndim=ndim,
    )
    _show(subject, plot=plot, form=form, output=output, overwrite=overwrite, quiet=quiet)


@app.command()
def shuffle(
    kernel: Kernel = None,
    scale: Scale = "2",
    padding: Padding = "0",
    in_channels: InChannels = None,
    out_channels: OutChannels = None,
    ndim: Ndim = None,
    weights: WeightsFile = None,
    plot: Plot = None,
    form: Format = "text",
    output: Output = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Inspect a convolution followed by a pixel shuffle. Weights: (out * phases, in, *kernel).

    upstroke inspect shuffle --scale 2 --kernel 3 --padding 1
    """
    _refuse_existing(plot, output, overwrite=overwrite)
    from upstroke.cli.inspect_layers import shuffle_subject

    subject = shuffle_subject(
        {"--scale": scale, "--kernel": kernel, "--padding": padding},
        channels=(in_channels, out_channels),
        weights=weights,
        ndim=ndim,
    )
    _show(subject, plot=plot, form=form, output=output, overwrite=overwrite, quiet=quiet)


@app.command()
def separable(
    kernel: Kernel = None,
    stride: Stride = "2",
    padding: Padding = "0",
    output_padding: OutputPadding = "0",
    dilation: Dilation = "1",
    in_channels: InChannels = None,
    out_channels: OutChannels = None,
    order: Annotated[
        Literal["depthwise-first", "pointwise-first"], typer.Option("--order", help="Which stage is first.")
    ] = "depthwise-first",
    ndim: Ndim = None,
    weights: WeightsFile = None,
    pointwise_weights: Annotated[
        str | None,
        typer.Option("--pointwise-weights", metavar="FILE[:KEY]", help="Weights of the 1x1 convolution."),
    ] = None,
    plot: Plot = None,
    form: Format = "text",
    output: Output = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Inspect a depthwise transposed convolution with a 1x1 convolution before or after it.

    Weights: (channels, 1, *kernel), pointwise weights: (out, in).

    upstroke inspect separable --kernel 4 --stride 2 --padding 1 --in-channels 64 --out-channels 128
    """
    _refuse_existing(plot, output, overwrite=overwrite)
    from upstroke.cli.inspect_layers import separable_subject

    subject = separable_subject(
        {
            "--kernel": kernel,
            "--stride": stride,
            "--padding": padding,
            "--output-padding": output_padding,
            "--dilation": dilation,
        },
        channels=(in_channels, out_channels),
        order=order,
        weights=weights,
        pointwise_weights=pointwise_weights,
        ndim=ndim,
    )
    _show(subject, plot=plot, form=form, output=output, overwrite=overwrite, quiet=quiet)


@app.command()
def image(
    path: Annotated[
        Path,
        typer.Argument(metavar="FILE|FOLDER", parser=file_name, help="A picture, or a folder of them."),
    ],
    period: Annotated[
        str, typer.Option("--period", metavar="S", help="Period of the suspected pattern.")
    ] = "2",
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**63 - 1, help="Of the random shifts for a folder.")
    ] = 0,
    plot: Plot = None,
    form: Format = "text",
    output: Output = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Inspect pictures for a pattern that repeats with a fixed period.

    upstroke inspect image samples/ --period 2
    """
    _refuse_existing(plot, output, overwrite=overwrite)
    from upstroke.describe import describe_picture, describe_pictures, picture_arrays
    from upstroke.files.pictures import read_picture, read_pictures
    from upstroke.report.figure import draw_picture, figure_format
    from upstroke.report.pictures_text import picture_title, pictures_text

    file_format = None if plot is None else figure_format(plot)
    periods = _period(period)
    # os.path answers no where pathlib raises, for instance for names that are too long
    if os.path.isdir(path):
        record = describe_pictures(read_pictures(path), periods, path=str(path), seed=seed)
    else:
        record = describe_picture(read_picture(path), periods)
    page = page_for(output)
    text = (
        json_text(record) if form == "json" else pictures_text(record, width=page.width, colour=page.colour)
    )
    figure = None
    if plot is not None and file_format is not None:
        worst = picture_arrays(read_picture(Path(record["pictures"][0]["file"])), periods)
        data = draw_picture(worst, title=printable(picture_title(record)), file_format=file_format)
        figure = (plot, data)
    deliver(text, output=output, overwrite=overwrite, quiet=quiet, figure=figure)


def _show(
    subject: "Subject", *, plot: Path | None, form: str, output: Path | None, overwrite: bool, quiet: bool
) -> None:
    """Measure, render everything, and only then write."""
    from upstroke.describe import describe_layer, layer_arrays
    from upstroke.report.figure import draw_layer, figure_format
    from upstroke.report.inspect_text import inspect_text, layer_title

    file_format = None if plot is None else figure_format(plot)
    record = describe_layer(
        subject.operator,
        stages=subject.stages,
        channels=subject.channels,
        layer=subject.layer,
        weights=subject.weights,
        note=subject.note,
    )
    page = page_for(output)
    text = json_text(record) if form == "json" else inspect_text(record, width=page.width, colour=page.colour)
    figure = None
    if plot is not None and file_format is not None:
        title = printable(layer_title(record["layer"]))
        data = draw_layer(layer_arrays(subject.operator), title=title, file_format=file_format)
        figure = (plot, data)
    deliver(text, output=output, overwrite=overwrite, quiet=quiet, figure=figure)


def _period(words: str) -> tuple[int, int]:
    value = per_axis(words, option="--period")
    numbers = value if isinstance(value, tuple) else (value, value)
    if len(numbers) != 2 or min(numbers) < 1 or max(numbers) < 2:
        msg = f"--period must be at least 2, or down x right such as 2x4 with 1 for no period; got {words!r}"
        raise OptionError(msg)
    return numbers[0], numbers[1]


def _refuse_existing(plot: Path | None, output: Path | None, *, overwrite: bool) -> None:
    """Refuse before any work what would be refused after it, so that not one of two files is written."""
    if plot is not None and output is not None and os.path.realpath(plot) == os.path.realpath(output):
        msg = f"--plot and --output must be two files; got {plot} for both"
        raise OptionError(msg)
    refuse_existing(plot, output, overwrite=overwrite)
