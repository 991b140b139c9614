"""Draw a folder or a zip of small pictures, each unlike the others."""

import io
import zipfile

import numpy
from PIL import Image


def drawn(number, *, size=(12, 12), channels=3):
    """Levels of a picture of noise, grey or in colour, that is the same each time."""
    shape = size if channels == 1 else (*size, channels)
    return numpy.random.default_rng(number).integers(0, 256, shape, dtype=numpy.uint8)


def encoded(levels, kind="PNG", **options):
    """The content of a picture file."""
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, kind, **options)
    return buffer.getvalue()


def write_pictures(target, *, count=20, size=(12, 12), channels=3, more=None):
    """So many PNG files, 0.png, 1.png and so on, and more of given content; a zip if the name says so."""
    files = {f"{number}.png": encoded(drawn(number, size=size, channels=channels)) for number in range(count)}
    files |= more or {}
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return target
    for name, content in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content)
    return target
