"""Who is photographed: identities with lasting traits, photos with passing ones, and everybody's age."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

OLDEST = 90.0  # years; ages are uniform on [0, OLDEST)
TEXTURE_GRID = 9  # a skin texture is a coarse grid of uniform numbers, interpolated when painted

Column = NDArray[np.float32]


class Person(NamedTuple):
    """Lasting traits of an identity, each uniform on [0, 1); columns [B, 1, 1]."""

    wrinkle_onset: Column
    grey_onset: Column
    hair_loss: Column
    goes_bald: Column
    sagging: Column
    skin_tone: Column
    skin_green: Column
    skin_blue: Column
    hair_colour: Column
    hair_lightness: Column
    eye_colour: Column
    face_width: Column
    face_height: Column
    clothes_red: Column
    clothes_green: Column
    long_hair: Column
    hair_length: Column
    hair_volume: Column
    jaw: Column
    age_spots: Column
    freckles: Column
    eye_height: Column
    eye_distance: Column
    eye_size: Column
    eye_opening: Column
    eye_bags: Column
    brow_height: Column
    brow_thickness: Column
    brow_slant: Column
    nose_length: Column
    nose_width: Column
    mouth_height: Column
    mouth_width: Column
    lip_thickness: Column
    forehead_lines: Column
    forehead_depth: Column
    smile_lines: Column
    beard: Column
    hairline: Column
    hair_parting: Column


class PhotoTraits(NamedTuple):
    """Passing traits of one photo, each uniform on [0, 1); columns [B, 1, 1]."""

    scale: Column
    roll: Column
    shift_x: Column
    shift_y: Column
    yaw: Column
    backdrop: Column
    backdrop_red: Column
    backdrop_green: Column
    backdrop_slope_x: Column
    backdrop_slope_y: Column
    clothes_blue: Column
    eyelids: Column
    gaze: Column
    brows_raised: Column
    smile: Column
    mouth_open: Column
    glasses: Column
    light_x: Column
    light_y: Column
    exposure: Column
    cast_red: Column
    cast_green: Column
    cast_blue: Column
    noise: Column


@dataclass(frozen=True)
class People:
    """Latent tables of `identities` people with `photos` photos each; photo i shows person `identity[i]`."""

    identity: NDArray[np.int64]  # [n]
    age: NDArray[np.float64]  # [n] years, the true age
    apparent_age: NDArray[np.float64]  # [n] years, the age that is drawn
    person: NDArray[np.float32]  # [identities, len(Person._fields)]
    photo: NDArray[np.float32]  # [n, len(PhotoTraits._fields)]
    texture: NDArray[np.float32]  # [identities, 3, TEXTURE_GRID, TEXTURE_GRID]
    seed: int

    def __len__(self) -> int:
        return len(self.identity)


def random_numbers(seed: int, stream: int) -> np.random.Generator:
    """A counter-based generator; streams of one seed never meet."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream], dtype=np.uint64)))


def _near_normal(uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of four uniforms, scaled to unit variance: [..., 4] -> [...]. Exact arithmetic, unlike a log or a cosine."""
    total = (uniform[..., 0] + uniform[..., 1]) + (uniform[..., 2] + uniform[..., 3])
    return (total - 2.0) * np.float64(1.7320508075688772)


def draw_people(identities: int, photos: int, *, person_sd: float, photo_sd: float, seed: int) -> People:
    """Draw the latent tables.

    The drawn age differs from the true one by a normal offset per identity (sd `person_sd`, years) and another per photo
    (sd `photo_sd`): what a network can only know of a person by memorising them.
    """
    traits, passing = len(Person._fields), len(PhotoTraits._fields)
    lasting = random_numbers(seed, 1).random((identities, traits + 8))
    fleeting = random_numbers(seed, 2).random((identities * photos, passing + 8))
    identity = np.repeat(np.arange(identities), photos)
    age = lasting[identity, traits] * OLDEST
    person_offset = person_sd * _near_normal(lasting[:, traits + 1 : traits + 5])
    photo_offset = photo_sd * _near_normal(fleeting[:, passing + 1 : passing + 5])
    return People(
        identity=identity,
        age=age,
        apparent_age=age + person_offset[identity] + photo_offset,
        person=lasting[:, :traits].astype(np.float32),
        photo=fleeting[:, :passing].astype(np.float32),
        texture=random_numbers(seed, 3).random((identities, 3, TEXTURE_GRID, TEXTURE_GRID), dtype=np.float32),
        seed=seed,
    )
