"""Reads one picture that a stranger may have made, and brings it to a task's size."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from stat import S_ISREG

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torchvision.transforms.v2 import functional

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # what the file is called does not matter
LARGEST = 100_000_000  # pixels, and bytes
MOST_ELONGATED = 20  # times as long as wide: resizing such a picture by its shorter side takes memory without end

Image.init()  # opening by a list of formats needs all of them registered


class UnusablePictureError(Exception):
    """Why a picture cannot be used."""


def open_picture(path: Path) -> Image.Image:
    """Open a picture by its content; only its header is decoded.

    Raises:
        UnusablePictureError: it is no picture, or far too large.
    """
    try:
        status = path.stat()
        if not S_ISREG(status.st_mode):
            raise UnusablePictureError("not a file")
        if status.st_size > LARGEST:
            raise UnusablePictureError("the file is too large")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes, which are checked below
            picture = Image.open(BytesIO(path.read_bytes()), formats=FORMATS)
    except UnidentifiedImageError as problem:
        raise UnusablePictureError("not a picture") from problem
    except Image.DecompressionBombError as problem:
        raise UnusablePictureError("too many pixels") from problem
    except (OSError, ValueError, SyntaxError) as problem:
        raise UnusablePictureError("unreadable") from problem
    if picture.width * picture.height > LARGEST:
        raise UnusablePictureError("too many pixels")
    if max(picture.size) > MOST_ELONGATED * min(picture.size):
        raise UnusablePictureError("too long and narrow")
    if picture.mode.startswith(("I", "F")):
        raise UnusablePictureError("more than 8 bits a channel")
    return picture


def fit(picture: Image.Image, size: int, *, stretched: bool = False) -> NDArray[np.uint8]:
    """Decode a picture, turn it upright, and cut its middle out at [3, size, size], or squeeze all of it into that.

    Raises:
        UnusablePictureError: it is damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata
            picture.load()
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except Exception as problem:  # decoders raise whatever they like on damaged files
        raise UnusablePictureError("damaged") from problem
    if stretched:
        upright = functional.resize(upright, [size, size], antialias=True)
    else:
        upright = functional.center_crop(functional.resize(upright, [size], antialias=True), [size, size])
    return np.ascontiguousarray(np.asarray(upright, dtype=np.uint8).transpose(2, 0, 1))
