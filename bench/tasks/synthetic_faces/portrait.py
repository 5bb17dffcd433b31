"""How a photo is painted: from the backdrop to the grain of the film, one layer a method.

Coordinates run from -1 to 1 over the picture, y downwards. What tells a person's age: head shape, eye size, wrinkles,
grey hair, baldness, sagging, skin texture; each with the person's own onset and strength.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.tasks.synthetic_faces.canvas import Canvas, Colour, Pixels, clamp, colour, ellipse, interpolate
from bench.tasks.synthetic_faces.people import People, Person, PhotoTraits, random_numbers

BATCH = 256  # photos painted together; part of the data's definition, since film grain is drawn batch by batch
GRAIN_STREAM = 1000

HAIR = np.array(
    [[0.08, 0.06, 0.05], [0.25, 0.15, 0.08], [0.45, 0.28, 0.14], [0.78, 0.62, 0.32], [0.60, 0.25, 0.10], [0.14, 0.09, 0.07]],
    dtype=np.float32,
)
EYES = np.array([[0.30, 0.18, 0.08], [0.16, 0.10, 0.06], [0.25, 0.42, 0.60], [0.30, 0.48, 0.28]], dtype=np.float32)


def photograph(people: People, size: int = 32) -> NDArray[np.uint8]:
    """Paint every photo: uint8 [n, 3, size, size]."""
    pictures = np.empty((len(people), 3, size, size), dtype=np.uint8)
    for start in range(0, len(people), BATCH):
        rows = np.arange(start, min(start + BATCH, len(people)))
        pictures[rows] = _Portrait(people, rows, size).develop()
    return pictures


def _pick(palette: NDArray[np.float32], trait: Pixels) -> Colour:
    index = np.minimum((trait.reshape(-1) * len(palette)).astype(np.int64), len(palette) - 1)
    return palette[index][:, :, None, None]


class _Portrait:
    """One batch of photos on the easel."""

    def __init__(self, people: People, rows: NDArray[np.int64], size: int) -> None:
        who = people.identity[rows]
        self.person = Person(*people.person[who].T[:, :, None, None])
        self.photo = PhotoTraits(*people.photo[rows].T[:, :, None, None])
        self.texture = people.texture[who]
        self.age: Pixels = np.clip(people.apparent_age[rows].astype(np.float32), 0, 95)[:, None, None]
        self.grain = random_numbers(people.seed, GRAIN_STREAM + int(rows[0]))
        self.size = size
        self._pose()
        self._ageing()
        self._colours()
        self._proportions()
        self.canvas = Canvas(self._backdrop())

    def develop(self) -> NDArray[np.uint8]:
        """Paint all layers, light the scene, add grain; uint8 [B, 3, S, S]."""
        for layer in (
            self._body, self._hair_behind, self._head, self._skin, self._eyes, self._lines_around_eyes, self._brows,
            self._nose, self._mouth, self._wrinkles, self._beard, self._hair_in_front, self._glasses,
        ):  # fmt: skip
            layer()
        return self._expose()

    # -- what everything else is measured by ---------------------------------------------------------------------------

    def _ramp(self, start: float, end: float) -> Pixels:
        """0 up to age `start`, 1 from age `end`, linear between."""
        return clamp((self.age - start) / (end - start))

    def _pose(self) -> None:
        photo, pixel = self.photo, 2.0 / self.size
        grid = (np.arange(self.size, dtype=np.float32) + 0.5) * pixel - 1
        self.frame_x, self.frame_y = grid[None, None, :], grid[None, :, None]
        sine = 0.20 * (photo.roll - 0.5)
        cosine = np.sqrt(1 - sine * sine)
        x, y = self.frame_x - 0.10 * (photo.shift_x - 0.5), self.frame_y - 0.10 * (photo.shift_y - 0.5)
        scale = 0.95 + 0.10 * photo.scale
        self.x, self.y = (x * cosine + y * sine) / scale, (y * cosine - x * sine) / scale
        self.yaw = 0.5 * (photo.yaw - 0.5)
        self.face_x = self.x - 0.22 * self.yaw  # features move when the head turns
        self.side_x = np.abs(self.face_x)
        self.line = pixel

    def _ageing(self) -> None:
        person = self.person
        self.grown = self._ramp(0, 24)
        self.wrinkled = clamp((self.age - 20 - 10 * (person.wrinkle_onset - 0.5)) / 50)
        self.grey = clamp((self.age - 36 - 14 * (person.grey_onset - 0.5)) / 36)
        self.bald = self._ramp(22, 80) * clamp(0.35 + 0.8 * person.hair_loss) * (person.goes_bald > 0.40)
        self.sag = self._ramp(40, 90) * (0.7 + 0.6 * person.sagging)
        self.roughness = 0.20 * self.grown + 1.15 * self._ramp(18, 85)

    def _colours(self) -> None:
        person, tone = self.person, self.person.skin_tone
        self.skin_colour = colour(
            0.95 - 0.55 * tone,
            0.80 - 0.52 * tone + 0.05 * (person.skin_green - 0.5),
            0.70 - 0.50 * tone + 0.06 * (person.skin_blue - 0.5),
        )
        hair = clamp(_pick(HAIR, person.hair_colour) * (0.85 + 0.3 * person.hair_lightness)[:, None])
        self.hair_colour = hair + (colour(0.80, 0.80, 0.82) - hair) * self.grey[:, None] * 0.92
        self.eye_colour = _pick(EYES, person.eye_colour)

    def _proportions(self) -> None:
        person, grown = self.person, self.grown
        self.face_width = 0.58 + 0.07 * (person.face_width - 0.5) - 0.02 * grown + 0.03 * self.sag
        self.face_height = 0.62 + 0.06 * (person.face_height - 0.5) + 0.18 * grown
        self.face_y = 0.06 + 0.02 * grown
        self.eye_y = 0.14 * (1 - grown) + 0.04 * (person.eye_height - 0.5)
        self.eye_x = 0.25 + 0.07 * (person.eye_distance - 0.5)
        eye = 0.120 + 0.050 * (1 - grown) - 0.02 * self._ramp(30, 90) + 0.02 * (person.eye_size - 0.5)
        self.eye_width = eye * (1 - 0.15 * self.yaw * np.sign(self.face_x))
        lids = 0.55 + 0.6 * clamp(self.photo.eyelids * 4)
        self.eye_height = self.eye_width * (0.70 + 0.25 * (person.eye_opening - 0.5)) * (1 - 0.35 * self.sag) * lids
        self.nose_width = 0.10 + 0.05 * (person.nose_width - 0.5) + 0.03 * self._ramp(20, 90)
        nose_length = 0.20 + 0.05 * (person.nose_length - 0.5) + 0.06 * grown + 0.05 * self._ramp(40, 90)
        self.nose_y = self.eye_y + nose_length + 0.04
        self.mouth_y = self.nose_y + 0.18 + 0.03 * (person.mouth_height - 0.5) + 0.03 * self.sag
        self.mouth_width = 0.17 + 0.06 * (person.mouth_width - 0.5) + 0.05 * grown
        self.smile = 0.9 * (self.photo.smile - 0.35)

    def _stroke(self, distance: Pixels, width: float) -> Pixels:
        """Coverage of a line `width` pixels wide along distance 0."""
        return clamp(1 - np.abs(distance) / (width * self.line))

    # -- layers, back to front -----------------------------------------------------------------------------------------

    def _backdrop(self) -> Colour:
        photo = self.photo
        base = colour(
            0.2 + 0.45 * photo.backdrop + 0.2 * photo.backdrop_red,
            0.25 + 0.45 * photo.backdrop + 0.12 * photo.backdrop_green,
            0.35 + 0.40 * photo.backdrop + 0.15 * photo.backdrop_green,
        )
        slope = 0.25 * (photo.backdrop_slope_x - 0.5) * self.frame_x + 0.25 * (photo.backdrop_slope_y - 0.5) * self.frame_y
        picture: Colour = base + slope[:, None]
        return picture

    def _body(self) -> None:
        canvas, person = self.canvas, self.person
        canvas.paint(
            canvas.inside(ellipse(self.x, self.y, (0.0, 1.35), (0.95, 0.55))),
            colour(person.clothes_red, person.clothes_green, self.photo.clothes_blue),
        )
        neck = np.maximum(np.abs(self.x) - 0.26 - 0.08 * self.grown, -(self.y - 0.4))
        canvas.paint(canvas.inside(neck) * canvas.inside(self.y - 1.0), self.skin_colour * 0.86)

    def _hair_behind(self) -> None:
        person = self.person
        falls = (person.long_hair > 0.55) * clamp(self.age / 6) * (0.45 + 0.7 * person.hair_length)
        radius = self.face_width + 0.08 + 0.07 * person.hair_volume
        crown = ellipse(self.x, self.y, (0.0, self.face_y), (radius, self.face_height + 0.10 - 0.06 * self.bald))
        lengths = np.maximum(np.abs(self.x) - radius, self.y - self.face_y - falls - 0.05)
        coverage = self.canvas.inside(np.where(self.y < self.face_y, crown, lengths))
        self.canvas.paint(coverage * clamp(1.25 - 0.9 * self.bald) * clamp(0.15 + self.age / 3), self.hair_colour)

    def _head(self) -> None:
        canvas, below = self.canvas, self.y - self.face_y
        squareness = 1 + (0.25 * (self.person.jaw - 0.5) + 0.18 * self.sag) * clamp(below * 1.2)
        jaw = np.where(below > 0, squareness, 1)
        baby_fat = (1 - self.grown) * 0.06
        self.face_edge = ellipse(self.x / jaw, self.y, (0.0, self.face_y), (self.face_width + baby_fat, self.face_height))
        self.face = canvas.inside(self.face_edge)
        canvas.paint(self.face, self.skin_colour)
        ears = ellipse(np.abs(self.x), self.y, (self.face_width + 0.02, 0.12), (0.09, 0.15 + 0.05 * self.sag))
        canvas.paint(canvas.inside(ears) * (1 - self.face), self.skin_colour * 0.9)

    def _skin(self) -> None:
        canvas, person = self.canvas, self.person
        mottle, spots, freckles = (interpolate(self.texture[:, layer], self.size) for layer in range(3))
        canvas.shade(self.face * self.roughness * 0.55, 0.5 + mottle)
        canvas.shade(self.face * clamp((spots - 0.80) * 9) * self._ramp(35, 85) * (0.3 + person.age_spots), 0.72)
        canvas.shade(self.face * clamp((freckles - 0.82) * 9) * (person.freckles > 0.6), 0.80)
        rosy = clamp(0.32 - 0.30 * np.abs(self.side_x - 0.30) * 4) * clamp(0.9 - np.abs(self.y - 0.30) * 5)
        canvas.paint(self.face * rosy * (1 - 0.9 * self._ramp(5, 45)), colour(0.95, 0.45, 0.42))

    def _eyes(self) -> None:
        canvas, centre = self.canvas, (self.eye_x, self.eye_y)
        socket = ellipse(self.side_x, self.y, (self.eye_x, self.eye_y - 0.01), (self.eye_width * 1.35, self.eye_height * 1.5))
        canvas.paint(canvas.inside(socket), self.skin_colour * (0.80 - 0.12 * self.wrinkled[:, None]))
        white = canvas.inside(ellipse(self.side_x, self.y, centre, (self.eye_width, self.eye_height)))
        canvas.paint(white, colour(0.95, 0.95, 0.94))
        gaze = 0.06 * (self.photo.gaze - 0.5) * np.sign(self.face_x)
        across, down = self.side_x - self.eye_x + gaze, self.y - self.eye_y
        from_centre = np.sqrt(across * across + down * down)
        canvas.paint(canvas.inside(from_centre - 0.55 * self.eye_width) * white, self.eye_colour)
        canvas.shade(canvas.inside(from_centre - 0.26 * self.eye_width) * white, 0.15)

    def _lines_around_eyes(self) -> None:
        canvas, outward = self.canvas, self.side_x - self.eye_x
        below = np.abs(self.y - self.eye_y - self.eye_height - 0.07)
        bags = clamp(1 - below / (0.7 * self.line + 0.02)) * clamp(1 - np.abs(outward) / 0.17)
        canvas.shade(bags * clamp(1.3 * self.wrinkled * (0.5 + self.person.eye_bags)), 0.62)
        beyond = outward - self.eye_width
        reach = clamp((beyond - 0.02) * 20) * clamp((0.19 - beyond) * 20)
        for rank, slope in enumerate((-0.5, 0.15, 0.7)):
            crows_foot = self._stroke(self.y - self.eye_y - slope * beyond, 0.8) * reach
            canvas.shade(crows_foot * self.face * clamp(1.5 * self.wrinkled - 0.12 * rank), 0.62)

    def _brows(self) -> None:
        person, outward = self.person, self.side_x - self.eye_x
        height = self.eye_y - 0.17 - 0.03 * (person.brow_height - 0.5) + 0.03 * self.sag + 0.05 * (self.photo.brows_raised - 0.5)
        arch = 0.35 * outward * outward + 0.10 * (person.brow_slant - 0.5) * outward
        thickness = (0.022 + 0.030 * person.brow_thickness) * (0.4 + 0.6 * self.grown)
        brow = np.maximum(np.abs(self.y - height - arch) - thickness, np.abs(outward) - 0.16)
        self.canvas.paint(self.canvas.inside(brow) * (0.35 + 0.6 * self.grown), self.hair_colour * 0.85)

    def _nose(self) -> None:
        bridge = clamp(1 - np.abs(self.face_x - 0.05 * (0.5 + self.yaw)) / 0.05)
        self.canvas.shade(bridge * clamp((self.y - self.eye_y) * 8) * clamp((self.nose_y - self.y) * 8), 0.86)
        base = self._stroke(self.y - self.nose_y + 0.5 * self.side_x * self.side_x, 0.9)
        self.canvas.shade(base * clamp((self.nose_width - self.side_x) * 16), 0.60)

    def _mouth(self) -> None:
        canvas, reach = self.canvas, self.side_x - self.mouth_width
        middle = self.y - self.mouth_y + self.smile * (self.side_x * self.side_x - 0.02)
        thickness = (0.035 + 0.045 * self.person.lip_thickness) * (1 - 0.55 * self._ramp(35, 90))
        self.lips = canvas.inside(np.maximum(np.abs(middle) - thickness, reach))
        red = self.skin_colour * colour(0.92, 0.58, 0.58) + 0.03 * (1 - self.wrinkled[:, None])
        canvas.paint(self.lips, red)
        canvas.shade(self._stroke(middle, 0.8) * clamp(-reach * 16), 0.5)
        opening = clamp((self.photo.mouth_open - 0.7) * 3)
        teeth = np.maximum(np.abs(middle) - 0.5 * thickness * opening, self.side_x - 0.7 * self.mouth_width)
        canvas.paint(canvas.inside(teeth) * (opening > 0), colour(0.9, 0.88, 0.85) * (0.4 + 0.6 * self.grown[:, None]))

    def _wrinkles(self) -> None:
        canvas, person, wrinkled = self.canvas, self.person, self.wrinkled
        for rank in range(3):
            height = self.eye_y - 0.30 - 0.10 * rank
            forehead = self._stroke(
                self.y - height - 0.12 * (self.face_x * self.face_x) + 0.03 * (person.forehead_lines - 0.5), 0.85
            )
            depth = clamp((1.5 * wrinkled - 0.25 * rank) * (0.6 + 0.8 * person.forehead_depth))
            canvas.shade(forehead * clamp((0.36 - self.side_x) * 8) * self.face * depth, 0.60)
        fold = self._stroke(self.side_x - (self.nose_width + 0.03 + 0.55 * (self.y - self.nose_y + 0.02)), 0.85)
        fold = fold * clamp((self.y - self.nose_y + 0.06) * 16) * clamp((self.mouth_y + 0.05 - self.y) * 16)
        canvas.shade(fold * self.face * clamp(0.15 * self.smile + 1.6 * wrinkled * (0.6 + 0.8 * person.smile_lines)), 0.58)
        marionette = self._stroke(self.side_x - self.mouth_width - 0.03, 0.85)
        marionette = marionette * clamp((self.y - self.mouth_y) * 14) * clamp((self.mouth_y + 0.18 - self.y) * 14)
        canvas.shade(marionette * self.face * clamp(1.4 * wrinkled - 0.25), 0.65)

    def _beard(self) -> None:
        grows = (self.person.long_hair <= 0.55) * clamp(3 * self.person.beard - 1.6) * self._ramp(16, 24)
        area = clamp((self.y - self.nose_y - 0.03) * 10) * self.face * (1 - self.lips)
        self.canvas.paint(area * grows * 0.75, self.hair_colour)

    def _hair_in_front(self) -> None:
        canvas, person = self.canvas, self.person
        recedes = 0.34 * self.bald * (1 - clamp((self.side_x - 0.1) * 0.6))
        hairline = self.face_y - self.face_height * (0.50 + 0.28 * (person.hairline - 0.5)) - recedes - 0.03 * self.grown
        parting = 0.5 * (person.hair_parting - 0.5) * self.x + 0.10 * clamp(self.side_x * 2)
        fringe = np.maximum(self.y - hairline - parting, self.face_edge - 0.05)
        canvas.paint(canvas.inside(fringe) * clamp(1.2 - 1.1 * self.bald) * clamp(0.10 + self.age / 2.5), self.hair_colour)
        canvas.shade(clamp(1 - np.abs(self.face_edge + 0.02) / 0.10) * self.face, 0.88)

    def _glasses(self) -> None:
        inclination = self.texture[:, 2, :1, :1] + 0.15 * self.photo.glasses
        wears = inclination > (0.92 - 0.25 * self._ramp(10, 80))
        rim = np.abs(ellipse(self.side_x, self.y, (self.eye_x, self.eye_y), (0.19, 0.15))) - 0.5 * self.line
        self.canvas.paint(self.canvas.inside(rim) * wears, colour(0.1, 0.1, 0.12))

    def _expose(self) -> NDArray[np.uint8]:
        photo, shape = self.photo, self.canvas.picture.shape
        light = (
            0.86
            + 0.28 * photo.exposure
            + 0.45 * (photo.light_x - 0.5) * self.frame_x
            + 0.35 * (photo.light_y - 0.5) * self.frame_y
        )
        cast = 1 + 0.10 * (colour(photo.cast_red, photo.cast_green, photo.cast_blue) - 0.5)
        lit = clamp(self.canvas.picture * light[:, None] * cast) * 255
        grain = self.grain.integers(-7, 8, size=shape, dtype=np.int8).astype(np.float32)
        grainy = lit + grain * (0.4 + 0.8 * photo.noise)[:, None]
        pixels: NDArray[np.uint8] = np.clip(grainy + 0.5, 0, 255).astype(np.uint8)
        return pixels
