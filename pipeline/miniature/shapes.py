"""The eight silhouettes, as distance fields built from + - * / sqrt alone.

Only exactly rounded operations are used (and angles come from a rounded table), because the SIMD
versions of sin, exp or pow may differ between processors in the last bit, and the miniature must be
the same, bit for bit, on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]  # float32 in fact
Bools = NDArray[np.bool_]

ANGLE_STEPS = 72  # directions are multiples of 5 degrees
_COS = tuple(round(math.cos(2 * math.pi * k / ANGLE_STEPS), 9) for k in range(ANGLE_STEPS))
_SIN = tuple(round(math.sin(2 * math.pi * k / ANGLE_STEPS), 9) for k in range(ANGLE_STEPS))


def direction(step: int) -> tuple[float, float]:
    """Unit vector (x right, y down) of angle ``step`` * 5 degrees."""
    return _COS[step % ANGLE_STEPS], _SIN[step % ANGLE_STEPS]


def _circle(u: Floats, v: Floats) -> Floats:
    return 0.94 - np.sqrt(u * u + v * v)


def _square(u: Floats, v: Floats) -> Floats:
    far: Floats = np.maximum(np.abs(u), np.abs(v))
    return 0.82 - far


def _triangle(u: Floats, v: Floats) -> Floats:
    w = v - 0.18  # the centroid sits below the middle of the bounding box
    field: Floats = np.minimum(0.56 - w, 0.56 - 0.866025404 * np.abs(u) + 0.5 * w)
    return field


# The five outward directions of a pentagram's edges, one of them straight down.
_PENTAGON = tuple(
    (
        round(math.cos(math.pi / 2 + 2 * math.pi * k / 5), 9),
        round(math.sin(math.pi / 2 + 2 * math.pi * k / 5), 9),
    )
    for k in range(5)
)


def _star(u: Floats, v: Floats) -> Floats:
    # A pentagram is where at most one of its five half-planes is violated: the second-smallest
    # of the five distances is its distance field.
    smallest: Floats = 0.36 - (_PENTAGON[0][0] * u + _PENTAGON[0][1] * v)
    second: Floats = np.full_like(smallest, 9.0)
    for nx, ny in _PENTAGON[1:]:
        d = 0.36 - (nx * u + ny * v)
        second = np.minimum(second, np.maximum(smallest, d))
        smallest = np.minimum(smallest, d)
    return second


def _cross(u: Floats, v: Floats) -> Floats:
    a, b = np.abs(u), np.abs(v)
    field: Floats = np.minimum(0.98 - np.maximum(a, b), 0.34 - np.minimum(a, b))
    return field


def _ring(u: Floats, v: Floats) -> Floats:
    rho = np.sqrt(u * u + v * v)
    field: Floats = np.minimum(0.98 - rho, rho - 0.5)
    return field


def _heart(u: Floats, v: Floats) -> Floats:
    # A square on its corner with a disc on each of its two upper sides.
    a, w = np.abs(u) - 0.4, v + 0.31
    discs = 0.566 - np.sqrt(a * a + w * w)
    corner = (0.8 - np.abs(u) - np.abs(v - 0.09)) * 0.707106781
    field: Floats = np.maximum(discs, corner)
    return field


def _moon(u: Floats, v: Floats) -> Floats:
    w = u - 0.52
    bite = np.sqrt(w * w + v * v) - 0.76
    field: Floats = np.minimum(1.0 - np.sqrt(u * u + v * v), bite)
    return field


_FIELDS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
    "heart": _heart,
    "moon": _moon,
}
SHAPES: tuple[str, ...] = tuple(_FIELDS)

# How far each shape may turn either way, in steps of 5 degrees: a square turned by 45 degrees
# would be a diamond, a star or a moon may lie any way round.
TURNS: dict[str, int] = {
    "circle": 36,
    "square": 4,
    "triangle": 5,
    "star": 36,
    "cross": 4,
    "ring": 36,
    "heart": 6,
    "moon": 36,
}


def distance_field(shape: str, dx: Floats, dy: Floats, radius: float, turn: int) -> Floats:
    """Approximate signed distance in px (positive inside) at offsets ``dx``, ``dy`` px."""
    c, s = direction(turn)
    u = (dx * np.float32(c) + dy * np.float32(s)) / np.float32(radius)
    v = (dy * np.float32(c) - dx * np.float32(s)) / np.float32(radius)
    return _FIELDS[shape](u, v) * np.float32(radius)


def local_offsets(
    cx: float, cy: float, reach: float, canvas: int | None
) -> tuple[slice, slice, Floats, Floats]:
    """Box of +-``reach`` px around a point: (rows, columns, dx (1,w), dy (h,1)) at pixel centres.

    Clipped to the canvas if one is given; empty slices are possible then.
    """
    x0, x1 = math.floor(cx - reach), math.ceil(cx + reach) + 1
    y0, y1 = math.floor(cy - reach), math.ceil(cy + reach) + 1
    if canvas is not None:
        x0, y0 = min(max(x0, 0), canvas), min(max(y0, 0), canvas)
        x1, y1 = max(min(x1, canvas), x0), max(min(y1, canvas), y0)
    dx = (np.arange(x0, x1) + (0.5 - cx)).astype(np.float32)[None, :]
    dy = (np.arange(y0, y1) + (0.5 - cy)).astype(np.float32)[:, None]
    return slice(y0, y1), slice(x0, x1), dx, dy
