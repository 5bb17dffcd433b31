"""Pictures are what one sees, whatever the file; what is not read says why."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bench.tasks.datasets.pictures import UnusablePictureError, _is_deep, fit, open_picture

NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
WHITE, HIDDEN = 255, 7


def read(path: Path) -> NDArray[np.uint8]:
    return fit(open_picture(path), 32)


def refused(path: Path) -> str:
    with pytest.raises(UnusablePictureError) as problem:
        read(path)
    return str(problem.value)


def test_pictures_are_upright_and_in_colour_whatever_the_file(miniature, drawn) -> None:
    folder = miniature("age-utkface") / "part 1"

    def read(name: str) -> np.ndarray:
        return fit(open_picture(folder / name), 32).astype(int)

    grey, cmyk, turned = (read(f"{30 + number}_0_0_2018000000000000{number + 1}.jpg") for number in (1, 2, 3))
    renamed = read("35_0_0_20180000000000006.jpg")
    assert np.array_equal(grey[0], grey[1])
    assert np.array_equal(grey[0], grey[2])
    upright = [fit(drawn[index][2], 32).astype(int) for index in (2, 3, 4)]
    assert np.abs(cmyk - upright[0]).mean() < 12
    assert np.abs(turned - upright[1]).mean() < 6
    assert np.array_equal(renamed, upright[2])  # PNG: nothing is lost


def test_the_middle_is_cut_out_or_all_of_it_squeezed() -> None:
    wide = Image.new("RGB", (96, 48), "black")
    wide.paste("white", (24, 0, 72, 48))
    assert fit(wide, 32).min() > 200
    assert fit(wide, 32, stretched=True)[:, 16].min() == 0


def test_pictures_that_would_take_memory_without_end(tmp_path: Path) -> None:
    Image.new("L", (1, 90_000)).save(tmp_path / "thin.png")
    Image.fromarray(np.full((40, 40), 40_000, np.uint16)).save(tmp_path / "deep.png")
    os.mkfifo(tmp_path / "pipe.png")
    for name, reason in (("thin", "too long and narrow"), ("deep", "more than 8 bits"), ("pipe", "not a file")):
        with pytest.raises(UnusablePictureError, match=reason):
            open_picture(tmp_path / f"{name}.png")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_formats_without_loss_give_the_same_pixels(tmp_path: Path, kind: str) -> None:
    Image.fromarray(NOISE).save(tmp_path / "a.jpg", kind, lossless=True)
    assert np.array_equal(read(tmp_path / "a.jpg"), fit(Image.fromarray(NOISE), 32))


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "AVIF"])
def test_formats_with_loss_give_almost_the_same(tmp_path: Path, kind: str) -> None:
    if kind == "AVIF" and "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF")
    smooth = Image.fromarray(NOISE).resize((4, 4)).resize((40, 40))
    smooth.save(tmp_path / "a.png", kind)
    assert np.abs(read(tmp_path / "a.png").astype(int) - fit(smooth, 32)).mean() < 10


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_of_several_pictures_in_a_file_the_first_counts(tmp_path: Path, kind: str) -> None:
    first, second = Image.new("RGB", (40, 40), "white"), Image.new("RGB", (40, 40), "black")
    first.save(tmp_path / "a", kind, save_all=True, append_images=[second])
    assert read(tmp_path / "a").min() > 250


def _deep_png(colour: int, channels: int) -> bytes:
    header = struct.pack(">IIBBBBB", 40, 40, 16, colour, 0, 0, 0)
    parts = {b"IHDR": header, b"IDAT": zlib.compress((b"\0" + bytes(80 * channels)) * 40), b"IEND": b""}
    chunks = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)], ids=["grey", "colour", "both", "clear"])
def test_more_than_eight_bits_are_refused_whatever_pillow_makes_of_them(tmp_path: Path, colour: int, channels: int) -> None:
    (tmp_path / "a.png").write_bytes(_deep_png(colour, channels))
    assert refused(tmp_path / "a.png") == "more than 8 bits a channel"


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_deep_tiffs_are_refused(tmp_path: Path, kind: type) -> None:
    Image.fromarray(np.full((40, 40), 300, kind)).save(tmp_path / "a.tiff")
    assert refused(tmp_path / "a.tiff") == "more than 8 bits a channel"


def test_a_tiff_of_deep_colours_is_refused(tmp_path: Path) -> None:
    """Pillow reads its upper bytes, and writes none."""
    where = 8 + 2 + 12 * 8 + 4
    tags = [
        (256, 3, 1, 40),
        (257, 3, 1, 40),
        (258, 3, 3, where),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, where + 6),
        (277, 3, 1, 3),
    ]
    entries = [*tags, (279, 4, 1, 40 * 40 * 6)]
    content = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    (tmp_path / "a.tiff").write_bytes(content + bytes(4) + struct.pack("<HHH", 16, 16, 16) + bytes(40 * 40 * 6))
    with Image.open(tmp_path / "a.tiff") as picture:
        assert picture.mode == "RGB"
    assert refused(tmp_path / "a.tiff") == "more than 8 bits a channel"


@pytest.mark.skipif("AVIF" not in Image.SAVE, reason="this Pillow has no AVIF")
def test_avif_says_how_deep_it_is(tmp_path: Path) -> None:
    """Pillow reads ten bits as eight, and writes eight only: what it read is compared with another header."""
    Image.fromarray(NOISE).save(tmp_path / "a.avif")
    content = bytearray((tmp_path / "a.avif").read_bytes())
    picture = open_picture(tmp_path / "a.avif")
    assert not _is_deep(picture, bytes(content))
    content[content.index(b"av1C") + 6] |= 0x40
    assert _is_deep(picture, bytes(content))


def test_what_transparency_hides_is_not_shown(tmp_path: Path) -> None:
    hidden = np.full((40, 40, 4), HIDDEN, np.uint8)
    hidden[..., 3] = 0
    clear = Image.fromarray(hidden)
    clear.save(tmp_path / "rgba.png")
    clear.convert("LA").save(tmp_path / "la.png")
    clear.save(tmp_path / "a.webp", lossless=True, exact=True)
    clear.save(tmp_path / "a.tiff")
    clear.save(tmp_path / "a.gif")
    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([HIDDEN] * 768)
    palette.save(tmp_path / "p.png", transparency=0)
    Image.new("RGB", (40, 40), (HIDDEN,) * 3).save(tmp_path / "rgb.png", transparency=(HIDDEN,) * 3)
    Image.new("L", (40, 40), HIDDEN).save(tmp_path / "l.png", transparency=HIDDEN)
    for path in sorted(tmp_path.iterdir()):
        assert (read(path) == WHITE).all(), path.name


def test_an_opaque_picture_is_what_it_is_without_its_fourth_channel(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([NOISE, np.full((40, 40), 255, np.uint8)])).save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png"), fit(Image.fromarray(NOISE), 32))


def test_half_transparent_is_half_white(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 40), (0, 0, 0, 128)).save(tmp_path / "a.png")
    assert np.abs(read(tmp_path / "a.png").astype(int) - 127).max() <= 1


def test_colours_that_have_no_rgb_are_named(tmp_path: Path) -> None:
    Image.new("LAB", (40, 40)).save(tmp_path / "a.tiff")
    assert refused(tmp_path / "a.tiff") == "its colours are given as LAB"


def _exif(*entries: tuple[int, int, int, bytes], after: bytes = b"") -> bytes:
    listed = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + listed + bytes(4) + after


TURNED = (0x112, 3, 1, b"\x06\0\0\0")
ODD = {  # the first four raise in `exif_transpose` of Pillow 10.3, three of them still in 13
    "resolution as text": _exif(TURNED, (0x11A, 2, 4, b"abcd")),
    "negative width": _exif(TURNED, (0x100, 9, 1, struct.pack("<i", -5))),
    "width as a number that is none": _exif(TURNED, (0x100, 12, 1, struct.pack("<I", 38)), after=b"\xff" * 8),
    "further entries as text": _exif(TURNED, (0x8769, 2, 4, b"abcd")),
    "further entries in a circle": _exif(TURNED, (0x8769, 4, 1, struct.pack("<I", 8))),
    "far away": _exif(TURNED, (0x10F, 2, 100, struct.pack("<I", 9_000_000))),
    "of no type": _exif(TURNED, (0x9000, 99, 1, b"abcd")),
}


@pytest.mark.parametrize("exif", ODD.values(), ids=ODD)
def test_odd_metadata_do_not_damage_a_picture(tmp_path: Path, exif: bytes) -> None:
    picture = Image.fromarray(NOISE)
    picture.save(tmp_path / "odd.jpg", exif=exif)
    picture.save(tmp_path / "plain.jpg")
    turned = Image.open(tmp_path / "plain.jpg").transpose(Image.Transpose.ROTATE_270)
    assert np.array_equal(read(tmp_path / "odd.jpg"), fit(turned, 32))


@pytest.mark.parametrize(
    "exif",
    [
        _exif((0x112, 2, 2, b"6\0\0\0")),
        _exif((0x112, 3, 1, b"\x63\0\0\0")),
        _exif(TURNED)[:14],
        b"Exif\0\0nonsense",
    ],
    ids=["text", "99", "short", "nonsense"],
)
def test_metadata_that_do_not_say_how_it_was_held_turn_nothing(tmp_path: Path, exif: bytes) -> None:
    picture = Image.fromarray(NOISE)
    picture.save(tmp_path / "odd.jpg", exif=exif)
    picture.save(tmp_path / "plain.jpg")
    assert np.array_equal(read(tmp_path / "odd.jpg"), read(tmp_path / "plain.jpg"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_way_to_hold_a_camera(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(NOISE).save(tmp_path / "a.png", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(tmp_path / "a.png"))
    assert np.array_equal(read(tmp_path / "a.png"), fit(expected, 32))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a picture"),
        (b"hello", "not a picture"),
        (b"\xff\xd8\xff\xe0abc", "damaged"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"GIF89a", "damaged"),
        (b"II*\0", "damaged"),
        (b"\0\0\0\x18ftypheic" + bytes(100), "HEIC, which is not read here: convert it to JPEG or PNG"),
        (b"\0\0\0\x18ftypmif1" + bytes(100), "HEIC, which is not read here: convert it to JPEG or PNG"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000, which is not read here: convert it to JPEG or PNG"),
        (b"\xff\x0a" + bytes(100), "JPEG XL, which is not read here: convert it to JPEG or PNG"),
        (b"8BPS\0\1" + bytes(100), "PSD, which is not read here: convert it to JPEG or PNG"),
    ],
)
def test_what_is_not_read_says_what_it_is(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    assert refused(tmp_path / "a.jpg") == reason


def test_an_avif_that_pillow_cannot_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.tasks.datasets.pictures._READABLE", ("JPEG", "PNG"))
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypavif" + bytes(100))
    assert refused(tmp_path / "a.jpg").startswith("AVIF, which is not read here")


def test_links_to_pictures_are_followed(tmp_path: Path) -> None:
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "link"), read(tmp_path / "a.png"))
    assert refused(tmp_path) == "not a file"
    assert refused(tmp_path / "absent") == "not a file"
