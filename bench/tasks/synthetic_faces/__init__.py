"""Synthetic faces whose age can be seen: the images of the embedded task.

People and photos are drawn from counter-based random numbers (`people`) and painted by a few dozen soft-edged shapes
(`portrait`, on a `canvas`). Only additions, multiplications, divisions, square roots and comparisons are used, one numpy
operation at a time; IEEE 754 fixes the result of each, so the same bytes come out on every machine, for any thread count.
"""

from bench.tasks.synthetic_faces.people import People, draw_people
from bench.tasks.synthetic_faces.portrait import photograph

__all__ = ["People", "draw_people", "photograph"]
