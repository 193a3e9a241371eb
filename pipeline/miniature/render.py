"""Draws a scene with the difficulties of a photograph: texture, light, clutter, noise.

Bit-identical for a seed on any machine: only exactly rounded operations, element by element; float
sums over arrays are avoided because their order depends on the processor.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.miniature.scenes import (
    Background,
    Rgb,
    Scene,
    SceneObject,
    any_colour,
    pick,
    silhouettes,
    uniform,
    visible_parts,
)
from pipeline.miniature.shapes import (
    ANGLE_STEPS,
    Bools,
    Floats,
    direction,
    distance_field,
    local_offsets,
)

Image = NDArray[np.uint8]
_OCTAVES = (3, 6, 12, 24, 48)  # cells across the picture


@lru_cache(maxsize=64)
def _interpolation(size: int, cells: int) -> tuple[NDArray[np.int64], Floats]:
    """Cell of each pixel (size,) and its smooth weight (size,) towards the next."""
    at = (np.arange(size) + 0.5) * cells / size
    cell = at.astype(np.int64)
    t = at - cell
    return cell, (t * t * (3 - 2 * t)).astype(np.float32)


def _clip(values: Floats, high: float = 1.0) -> Floats:
    clipped: Floats = np.clip(values, 0, high)
    return clipped


def _rgb(colour: Rgb) -> Floats:
    return np.asarray(colour, dtype=np.float32)


def value_noise(rng: np.random.Generator, size: int) -> Floats:
    """(size,size) multi-octave value noise in [0, 1], stretched to use most of that range."""
    total: Floats = np.zeros((size, size), dtype=np.float32)
    weight = 0.5
    for cells in _OCTAVES:
        grid = rng.random((cells + 1, cells + 1), dtype=np.float32)
        cell, w = _interpolation(size, cells)
        rows = grid[cell] + (grid[cell + 1] - grid[cell]) * w[:, None]
        total += (rows[:, cell] + (rows[:, cell + 1] - rows[:, cell]) * w) * np.float32(weight)
        weight *= 0.55
    scale = 0.5 * (1 - 0.55 ** len(_OCTAVES)) / 0.45
    return _clip((total / np.float32(scale) - 0.5) * 1.9 + 0.5)


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[Floats, Floats]:
    """Pixel centres: x (1,size) and y (size,1), px."""
    at = (np.arange(size) + 0.5).astype(np.float32)
    return at[None, :], at[:, None]


def _fraction(x: Floats) -> Floats:
    below: Floats = np.floor(x)
    return x - below


def _triangle_wave(x: Floats) -> Floats:
    """Period 1, values in [0, 1]."""
    away: Floats = np.abs(_fraction(x) - np.float32(0.5))
    return away * 2


def _mix(under: Floats, over: Floats | Rgb, alpha: Floats) -> Floats:
    colour = np.asarray(over, dtype=np.float32)
    return under + (colour - under) * alpha[..., None]


def _backdrop(back: Background, coarse: Floats, fine: Floats, size: int) -> Floats:
    """(size,size,3) background before clutter, values about [0, 1]."""
    if back.kind == "plain":
        return np.broadcast_to(_rgb(back.colours[0]), (size, size, 3)).copy()
    image = _mix(np.broadcast_to(_rgb(back.colours[0]), (size, size, 3)), back.colours[1], coarse)
    image = _mix(image, back.colours[2], np.clip(fine * 1.4 - 0.45, 0, 1))
    x, y = _grid(size)
    c, s = (np.float32(v) for v in direction(back.turn))
    period = np.float32(back.period)
    along = (x * c + y * s) / period + fine * np.float32(0.25)
    if back.kind == "planks":
        ridge = np.clip(_triangle_wave(along) * 3 - 1, 0, 1)
        image *= (0.62 + 0.5 * ridge)[..., None]
    elif back.kind == "tiles":
        across = (y * c - x * s) / period + coarse * np.float32(0.25)
        odd = (np.floor(along) + np.floor(across)) % 2
        image *= (0.68 + 0.42 * odd)[..., None]
    return image * (0.72 + 0.5 * fine)[..., None]


def _fragment(rng: np.random.Generator, image: Floats, colour: Rgb) -> None:
    """One small thing that has no name: a line, a shard, or a smear often cut by the border."""
    size = image.shape[0]
    kind = pick(rng, ("line", "shard", "shard", "smear"))
    cx, cy = uniform(rng, 0, size), uniform(rng, 0, size)
    c, s = direction(int(rng.integers(ANGLE_STEPS)))
    if kind == "line":
        half, width, alpha = uniform(rng, 6, 26), uniform(rng, 0.6, 1.5), uniform(rng, 0.5, 1.0)
    elif kind == "shard":
        half, width, alpha = uniform(rng, 2.5, 6.5), uniform(rng, 1.5, 3.5), 1.0
    else:
        half, width, alpha = uniform(rng, 7, 15), uniform(rng, 4, 9), uniform(rng, 0.4, 0.75)
        edge = pick(rng, (0.0, float(size)))
        cx, cy = (edge, cy) if rng.random() < 0.5 else (cx, edge)
    rows, cols, dx, dy = local_offsets(cx, cy, half + 2, size)
    u = np.abs(dx * np.float32(c) + dy * np.float32(s))
    v = np.abs(dy * np.float32(c) - dx * np.float32(s))
    if kind == "line":
        inside: Floats = np.minimum(half - u, width - v) + np.float32(0.5)
    elif kind == "shard":  # a sliver pointed at both ends
        inside = (1 - u / np.float32(half)) * np.float32(width) - v + np.float32(0.5)
    else:
        a, b = u / np.float32(half), v / np.float32(width)
        inside = (1 - np.sqrt(a * a + b * b)) * 2
    image[rows, cols] = _mix(image[rows, cols], colour, np.clip(inside, 0, 1) * np.float32(alpha))


def _strokes(thing: SceneObject, dx: Floats, dy: Floats, blotches: Floats) -> Floats:
    """(h,w) opacity in [0, 1] of the object's ink: stripes, dots, or soft blotches if plain."""
    period = np.float32(thing.stroke_period)
    c, s = (np.float32(v) for v in direction(thing.stroke_turn))
    along = (dx * c + dy * s) / period + np.float32(thing.stroke_phase[0])
    if thing.texture == "striped":
        return _clip((_triangle_wave(along) - np.float32(0.60)) * period * 0.7 + 0.5)
    if thing.texture == "dotted":
        across = (dy * c - dx * s) / period + np.float32(thing.stroke_phase[1])
        a = _fraction(along) - np.float32(0.5)
        b = _fraction(across) - np.float32(0.5)
        return _clip((np.float32(0.34) - np.sqrt(a * a + b * b)) * period + 0.5)
    # Pale blotches are kept thin: a washed-out red would be a pink.
    return _clip(blotches * 1.6 - 0.62, 0.42 if sum(thing.ink) > 1.5 else 0.72)


def _paint(image: Floats, thing: SceneObject, coarse: Floats) -> None:
    """Draws one object and the soft shadow it throws, in place."""
    size = image.shape[0]
    rows, cols, dx, dy = local_offsets(thing.cx, thing.cy, thing.radius * 1.2 + 5, size)
    field = distance_field(thing.shape, dx, dy, thing.radius, thing.turn)
    lx, ly = direction(thing.light_turn)
    # The shadow is the outline itself, softened and moved away from the light by two pixels.
    shadow = distance_field(
        thing.shape, dx + np.float32(2 * lx), dy + np.float32(2 * ly), thing.radius, thing.turn
    )
    image[rows, cols] *= (1 - np.clip(shadow / 6 + 0.5, 0, 1) * np.float32(0.5))[..., None]

    reach = np.float32(thing.radius)
    ramp = np.clip((dx * np.float32(lx) + dy * np.float32(ly)) / reach * 0.5 + 0.5, 0, 1)
    # A patch of the picture's noise, taken from elsewhere so that it never lines up with it.
    patch = coarse[::-1, ::-1][rows, cols] if thing.turn % 2 else coarse.T[rows, cols]
    start = np.broadcast_to(_rgb(thing.rgb), (*field.shape, 3))
    body = _mix(start, thing.rgb_end, ramp)
    body = _mix(body, thing.ink, _strokes(thing, dx, dy, patch))
    rim = np.clip(field / 3, 0, 1) * np.float32(0.22) + np.float32(0.78)
    body *= ((0.5 + 0.62 * ramp) * (0.78 + 0.4 * patch) * rim)[..., None]
    image[rows, cols] = _mix(image[rows, cols], body, np.clip(field + np.float32(0.5), 0, 1))


def _camera(rng: np.random.Generator, image: Floats, back: Background) -> Image:
    """Light over the whole picture, blur, sensor noise, eight bits."""
    size = image.shape[0]
    x, y = _grid(size)
    lx, ly = (np.float32(v * 2 / size * back.light) for v in direction(back.light_turn))
    image = image * (1 + (x - size / 2) * lx + (y - size / 2) * ly)[..., None]
    if back.blur > 0.1:
        mix = np.float32(back.blur / 4)
        for axis in (0, 1):
            moved = np.swapaxes(image, 0, axis)
            inner = moved[1:-1] + (moved[:-2] + moved[2:] - 2 * moved[1:-1]) * mix
            moved[1:-1] = inner
    # The sum of two uniforms: a triangular density with the wanted standard deviation.
    noise = rng.random(image.shape, dtype=np.float32) - rng.random(image.shape, dtype=np.float32)
    image = image + noise * np.float32(back.noise * 2.449489743)
    return (np.clip(image, 0, 1) * 255 + np.float32(0.5)).astype(np.uint8)


def render(scene: Scene, rng: np.random.Generator) -> tuple[Image, Bools]:
    """The picture, uint8 (H,W,3), and the visible parts of the objects, bool (N,H,W), disjoint."""
    size = scene.canvas
    coarse, fine = value_noise(rng, size), value_noise(rng, size)
    image = _backdrop(scene.background, coarse, fine, size)
    for _ in range(scene.background.clutter):
        borrowed = rng.random() < 0.6  # most fragments have the colour of some object
        colour = pick(rng, scene.objects).rgb if borrowed else any_colour(rng)
        _fragment(rng, image, colour)
    for thing in scene.objects:
        _paint(image, thing, coarse)
    return _camera(rng, image, scene.background), visible_parts(silhouettes(scene))
