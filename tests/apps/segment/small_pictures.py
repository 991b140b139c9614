"""Draw a folder of small pictures of bright spots with their masks, in 2-D or 3-D."""

import numpy


def write_spots(folder, *, count=6, size=(21, 26), seed=0):
    """PNG pictures, or NIfTI volumes with voxels of 2 x 1 x 1 mm, of one spot each."""
    generator = numpy.random.default_rng(seed)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    places = numpy.indices(size)
    for number in range(count):
        middle = [generator.uniform(0.3, 0.7) * length for length in size]
        square = sum((place - at) ** 2 for place, at in zip(places, middle, strict=True))
        spot = square < (0.25 * min(size)) ** 2
        values = 90 * spot + generator.normal(100, 10, size)
        _write(folder / "images" / f"spot{number}", values.clip(0, 255).astype(numpy.uint8), len(size))
        _write(folder / "labels" / f"spot{number}", spot.astype(numpy.uint8), len(size))
    return folder


def _write(path, values, ndim):
    if ndim == 2:
        from PIL import Image

        Image.fromarray(values).save(path.with_suffix(".png"))
    else:
        import nibabel

        nibabel.save(nibabel.Nifti1Image(values, numpy.diag([2.0, 1, 1, 1])), path.with_suffix(".nii.gz"))
