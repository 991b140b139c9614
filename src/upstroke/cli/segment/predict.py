"""The verb `segment predict`: images without masks become masks under their names."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from upstroke.cli.options import Quiet, Verbose, file_name, per_axis
from upstroke.cli.output import deliver, json_text, page_for

__all__ = ["predict"]

FAILED = 2


def predict(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|MODEL", parser=file_name, help="A training run, model.safetensors, or model.onnx."
        ),
    ],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN", parser=file_name, help="An image or a folder: NIfTI, TIFF, PNG, JPEG, BMP."
        ),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", parser=file_name, help="A mask for an image, or a folder.")
    ],
    tile: Annotated[
        str | None,
        typer.Option(
            "--tile",
            metavar="572|572x572",
            help="Largest size read at once (default: all, or what fits 2 GiB).",
        ),
    ] = None,
    probabilities: Annotated[
        Path | None,
        typer.Option(
            "--probabilities",
            metavar="DIR",
            parser=file_name,
            help="Write those of all classes here, as float32.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let masks replace files that are there.")
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing", help="Go on where a call was ended: keep what is there, whatever made it."
        ),
    ] = False,
    device: Annotated[
        str, typer.Option("--device", metavar="auto|cpu|cuda:0", help="Where the network runs.")
    ] = "cpu",
    shown: Annotated[
        Literal["text", "json"], typer.Option("--format", help="How the result is written.")
    ] = "text",
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Outline images by a trained network: names, sizes, affine and spacing are kept.

    Every mask is written whole or not at all. In a folder, what cannot be predicted is passed over and said
    at the end. Exit codes: 0 all done; 2 some or all could not be read or written.

    upstroke segment predict run images masks

    upstroke segment predict model.onnx scan.nii.gz mask.nii.gz --probabilities soft
    """
    sizes = None if tile is None else per_axis(tile, option="--tile")
    from upstroke.apps.segment.predict import predict as predict_files
    from upstroke.report.segment_predicted_text import segment_predicted_text

    found = predict_files(
        model,
        source,
        target,
        tile=sizes,
        probabilities=probabilities,
        overwrite=overwrite,
        skip_existing=skip_existing,
        device=device,
        progress=not quiet,
    )
    record = found.as_json()
    if shown == "json":
        text = json_text(record)
    else:
        page = page_for(None)
        text = segment_predicted_text(
            record, width=page.width, colour=page.colour, verbose=verbose, quiet=quiet
        )
    deliver(text, output=None, overwrite=False, quiet=quiet)
    if found.failed:
        every = len(found.files) + len(found.skipped) + len(found.failed)
        said = f"upstroke: {len(found.failed)} of {every} images could not be predicted; the result says why"
        typer.echo(said, err=True)
        raise typer.Exit(FAILED)
