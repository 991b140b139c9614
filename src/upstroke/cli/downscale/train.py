"""The verb `downscale train`: files of fine fields become a run folder that refines coarse ones."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from upstroke.cli.downscale.options import FIELDS, Columns, Factor, Rows, parts
from upstroke.cli.options import Quiet, Seed, file_name, seed_number, whole
from upstroke.errors import OptionError

if TYPE_CHECKING:
    from upstroke.apps.downscale.learned.training import HeldOut, Trained

__all__ = ["train"]

# The head under which help lists what is trained, and how.
NETWORK = "Network and training"


def train(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FINE...", parser=file_name, help="NetCDF, Zarr or GRIB: fine fields."),
    ],
    factor: Factor,
    out: Annotated[
        Path, typer.Option("--out", metavar="RUN", parser=file_name, help="The folder of the run.")
    ],
    variables: Annotated[
        list[str] | None,
        typer.Option(
            "--variable",
            metavar="NAME",
            help="A field to learn; several are learnt together (default: the only one).",
            rich_help_panel=FIELDS,
        ),
    ] = None,
    statics: Annotated[
        list[str] | None,
        typer.Option(
            "--static",
            metavar="FILE[:VAR]",
            help="A field that does not change, or that of another day, to read beside them.",
            rich_help_panel=FIELDS,
        ),
    ] = None,
    y: Rows = None,
    x: Columns = None,
    network: Annotated[
        Literal["residual", "transposed"],
        typer.Option(
            "--network",
            help="A residual network over the cubic, or one transposed convolution.",
            rich_help_panel=NETWORK,
        ),
    ] = "residual",
    mass: Annotated[
        float,
        typer.Option(
            "--mass",
            metavar="NUMBER",
            help="What the transposed convolution makes of a unit: 1 keeps totals.",
            rich_help_panel=NETWORK,
        ),
    ] = 1.0,
    width: Annotated[
        str, typer.Option("--width", metavar="N", help="Channels.", rich_help_panel=NETWORK)
    ] = "24",
    depth: Annotated[
        str, typer.Option("--depth", metavar="N", help="Convolutions.", rich_help_panel=NETWORK)
    ] = "4",
    steps: Annotated[
        str | None,
        typer.Option(
            "--steps", metavar="N", help="Batches to learn from (default: 3000).", rich_help_panel=NETWORK
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes", metavar="M", help="As many steps as take about so long.", rich_help_panel=NETWORK
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            "--device", metavar="auto|cpu|cuda:0", help="What to train on.", rich_help_panel=NETWORK
        ),
    ] = "cpu",
    seed: Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder, with the same options.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew where there is a run.")] = False,
    quiet: Quiet = False,
) -> None:
    """Learn to refine fields from fine ones that are made coarse, and judge it on others.

    A quarter of every map and the last steps are held out. There it is judged, training stops
    when it gets no better, and the network's share in the answer is set: where it learnt nothing
    that holds, the answer is the cubic. Exit codes: 0 done; 2 could not be read or written.

    upstroke downscale train sst_20*.nc --variable sst --factor 4 --out sst-run

    upstroke downscale run sst_1deg.nc sst_025deg.nc --factor 4 --method sst-run
    """
    cut = parts(factor)
    if resume and overwrite:
        msg = "--resume goes on with a run and --overwrite begins anew; give one of them"
        raise OptionError(msg)
    from upstroke.apps.downscale.learned.training import train as train_on

    trained = train_on(
        files,
        out,
        factor=cut,
        variables=variables or (),
        statics=statics or (),
        network=network,
        mass=mass,
        steps=None if steps is None else whole(steps, option="--steps"),
        minutes=minutes,
        seed=seed_number(seed),
        width=whole(width, option="--width"),
        depth=whole(depth, option="--depth"),
        y=y,
        x=x,
        device=device,
        resume=resume,
        overwrite=overwrite,
        progress=not quiet and sys.stderr.isatty(),
    )
    if not quiet:
        for note in trained.notes:
            typer.echo(f"Note: {note}.", err=True)
    typer.echo(_words(trained, factor))


def _words(trained: "Trained", factor: str) -> str:
    kept = (
        f"Trained for {trained.steps} steps; step {trained.best_step} is kept, the best on what is held out."
    )
    use = (
        f"Everything needed to apply it is in {trained.weights}: upstroke downscale run IN OUT "
        f"--factor {factor} --method {trained.out}"
    )
    return "\n".join([kept, *map(_judged, trained.held_out), use])


def _judged(held: "HeldOut") -> str:
    if held.total is not None:
        return f"{_errors(held)} Of a total of 1 its kernel makes {held.total:.6f}."
    share = "" if held.gate is None else f" The residual counts {held.gate:.2f} of what was learnt."
    if held.gate == 0:
        share = " Nothing was learnt that holds there, so the answer is the cubic."
    return f"{_errors(held)}{share}"


def _errors(held: "HeldOut") -> str:
    return (
        f"Error of {held.variable} there, root mean square: {held.learned:.4g} learned, {held.cubic:.4g} "
        f"cubic, {held.linear:.4g} linear, {held.nearest:.4g} nearest."
    )
