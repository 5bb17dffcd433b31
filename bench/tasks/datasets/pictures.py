"""Reads one picture that a stranger may have made, and brings it to a task's size."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile
from torchvision.transforms.v2 import functional

from bench.store.files import read_bytes

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")  # what the file is called does not matter
LARGEST = 100_000_000  # pixels, and bytes
MOST_ELONGATED = 20  # times as long as wide: resizing such a picture by its shorter side takes memory without end
GROUND = (255, 255, 255)  # what shows through a transparent picture, as on paper
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
BITS = 8  # of a channel
_SIGNS = {  # how files begin
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"RIFF": "WEBP",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"8BPS": "PSD",
}
_TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG_DEPTH, _TIFF_DEPTH, _AVIF_DEPTH = 24, 258, 0x40  # a byte of the header, which comes first; a tag; a bit of its box av1C

Image.init()  # opening by a list of formats needs all of them registered
_READABLE = tuple(name for name in FORMATS if name in Image.SAVE)  # a Pillow without AVIF, or WebP, cannot write them, either


class UnusablePictureError(Exception):
    """Why a picture cannot be used."""


def open_picture(path: Path) -> Image.Image:
    """Open a picture by its content; only its header is decoded. Of several in one file, the first.

    Raises:
        UnusablePictureError: it is no picture, far too large, or has more than 8 bits a channel.
    """
    content = _content(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes, which are checked below
            picture: Image.Image = Image.open(BytesIO(content), formats=_READABLE)
    except UnidentifiedImageError as problem:
        raise UnusablePictureError(_what_it_is(content)) from problem
    except Image.DecompressionBombError as problem:
        raise UnusablePictureError("too many pixels") from problem
    except Exception as problem:  # readers of headers raise whatever they like
        raise UnusablePictureError("damaged") from problem
    if picture.width * picture.height > LARGEST:
        raise UnusablePictureError("too many pixels")
    if max(picture.size) > MOST_ELONGATED * min(picture.size):
        raise UnusablePictureError("too long and narrow")
    if _is_deep(picture, content):
        raise UnusablePictureError("more than 8 bits a channel")
    if picture.mode not in MODES:
        raise UnusablePictureError(f"its colours are given as {picture.mode}")
    return picture


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise UnusablePictureError("not a file")
        if path.stat().st_size > LARGEST:
            raise UnusablePictureError("the file is too large")
        return read_bytes(path, LARGEST, follow=True)
    except OSError as problem:
        raise UnusablePictureError("unreadable") from problem


def _what_it_is(content: bytes) -> str:
    """Why Pillow did not open it."""
    if content[4:8] == b"ftyp":
        found = {b"avif": "AVIF", b"avis": "AVIF"}.get(content[8:12], "HEIC")
    else:
        found = next((name for sign, name in _SIGNS.items() if content.startswith(sign)), "")
    if found in _READABLE:
        return "damaged"
    return f"{found}, which is not read here: convert it to JPEG or PNG" if found else "not a picture"


def _is_deep(picture: Image.Image, content: bytes) -> bool:
    """Whether it has more than 8 bits a channel, which Pillow drops from some pictures without a word."""
    if picture.format == "PNG":
        return content[_PNG_DEPTH] > BITS
    if isinstance(picture, TiffImageFile):
        depth = picture.tag_v2.get(_TIFF_DEPTH, 1)
        return bool(np.max(depth) > BITS)
    if picture.format == "AVIF":
        after = content.partition(b"av1C")[2]
        return bool(after[2:3] and after[2] & _AVIF_DEPTH)
    return picture.mode.startswith(("I", "F"))


def fit(picture: Image.Image, size: int, *, stretched: bool = False) -> NDArray[np.uint8]:
    """Decode a picture, turn it upright, and cut its middle out at [3, size, size], or squeeze all of it into that.

    Raises:
        UnusablePictureError: it is damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata
            picture.load()
            upright = _in_colour(_upright(picture))
    except Exception as problem:  # decoders raise whatever they like on damaged files
        raise UnusablePictureError("damaged") from problem
    if stretched:
        upright = functional.resize(upright, [size, size], antialias=True)
    else:
        upright = functional.center_crop(functional.resize(upright, [size], antialias=True), [size, size])
    return np.ascontiguousarray(np.asarray(upright, dtype=np.uint8).transpose(2, 0, 1))


def _upright(picture: Image.Image) -> Image.Image:
    """The picture as its camera was held; metadata that cannot be read say nothing of that."""
    try:
        turned = _TURNED.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # of metadata, as of pictures
        return picture
    return picture if turned is None else picture.transpose(turned)


def _in_colour(picture: Image.Image) -> Image.Image:
    """As RGB; a transparent picture on a white ground, as what it hides may be anything."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    clear = picture.convert("RGBA")
    ground = Image.new("RGBA", clear.size, (*GROUND, 255))
    return Image.alpha_composite(ground, clear).convert("RGB")
