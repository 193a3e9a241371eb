"""What a miniature picture contains, before anything is drawn or said.

Scenes are sampled so that a sentence is needed: most objects have a *distractor* beside them that
differs in exactly one attribute, or in nothing but its place, and many hide part of another.
"""

from __future__ import annotations

import colorsys
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.miniature.attributes import (
    ALL_PAIRS,
    ATTRIBUTES,
    PALETTE,
    RADII,
    SIZES,
    TEXTURES,
    VALUES,
    Pair,
)
from pipeline.miniature.shapes import (
    ANGLE_STEPS,
    TURNS,
    Bools,
    direction,
    distance_field,
    local_offsets,
)

T = TypeVar("T")
Rgb = tuple[float, float, float]  # each in [0, 1]

MIN_VISIBLE_AREA = 0.0045  # of the canvas: 74 px of 128 x 128, whatever the share that is visible
_PLACE_TRIES = 30
_SCENE_TRIES = 200


@dataclass(frozen=True)
class SceneSettings:
    """The tunables of a scene. Defaults live in the project's configuration, not here."""

    canvas: int  # side of the square picture, px
    min_objects: int
    max_objects: int
    distractor_share: float  # chance that an object is a near copy of an earlier one
    overlap_share: float  # chance that an object is put where it overlaps another
    min_visible: float  # least visible share of an object's whole silhouette
    clutter: int  # mean number of unnamed fragments in the background
    noise: float  # largest standard deviation of the sensor noise, of the range [0, 1]


@dataclass(frozen=True)
class SceneObject:
    """One nameable thing. Lengths in px; angles in steps of 5 degrees; colours in [0, 1]."""

    shape: str
    colour: str
    texture: str
    size: str
    cx: float
    cy: float
    radius: float
    turn: int
    rgb: Rgb  # colour at one end of the object ...
    rgb_end: Rgb  # ... and at the other, both within the named colour
    ink: Rgb  # colour of the strokes or of the blotches
    stroke_turn: int
    stroke_period: float
    stroke_phase: tuple[float, float]
    light_turn: int  # direction from which the object is lit

    def value(self, attribute: str) -> str:
        """The value of one of ``ATTRIBUTES``."""
        return str(getattr(self, attribute))


@dataclass(frozen=True)
class Background:
    """Everything behind the objects, and the camera."""

    kind: str  # 'noise', 'planks', 'tiles', or 'plain' (in captioned pictures alone)
    colours: tuple[Rgb, Rgb, Rgb]
    turn: int
    period: float  # of planks and tiles, px
    light_turn: int
    light: float  # strength of the illumination gradient
    clutter: int
    blur: float  # 0 sharp .. 1
    noise: float  # standard deviation, of the range [0, 1]


@dataclass(frozen=True)
class Scene:
    """Objects from back to front on a square canvas of ``canvas`` px."""

    objects: tuple[SceneObject, ...]
    canvas: int
    background: Background


def differences(a: SceneObject, b: SceneObject) -> tuple[str, ...]:
    """The attributes in which two objects differ."""
    return tuple(name for name in ATTRIBUTES if a.value(name) != b.value(name))


def has_distractor(scene: Scene, index: int) -> bool:
    """Is there another object that differs in one attribute at most?"""
    me = scene.objects[index]
    return any(
        len(differences(me, other)) <= 1 for j, other in enumerate(scene.objects) if j != index
    )


def silhouette(thing: SceneObject, canvas: int) -> tuple[Bools, int]:
    """Whole outline on the canvas (H,W) and its area in px, the part off the canvas included."""
    rows, cols, dx, dy = local_offsets(thing.cx, thing.cy, thing.radius * 1.2 + 1, None)
    inside = distance_field(thing.shape, dx, dy, thing.radius, thing.turn) >= 0
    full: Bools = np.zeros((canvas, canvas), dtype=np.bool_)
    y0, x0 = max(rows.start, 0), max(cols.start, 0)
    part = inside[y0 - rows.start : canvas - rows.start, x0 - cols.start : canvas - cols.start]
    full[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = part
    return full, int(np.count_nonzero(inside))


def silhouettes(scene: Scene) -> Bools:
    """(N,H,W) whole outlines, hidden parts included."""
    return np.stack([silhouette(thing, scene.canvas)[0] for thing in scene.objects])


def visible_parts(outlines: Bools) -> Bools:
    """(N,H,W) what is left of outlines, given back to front, once those in front are drawn."""
    visible = outlines.copy()
    covered = np.zeros(outlines.shape[1:], dtype=np.bool_)
    for k in range(len(outlines) - 1, -1, -1):
        visible[k] &= ~covered
        covered |= outlines[k]
    return visible


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A float in [low, high)."""
    return low + (high - low) * float(rng.random())


def pick(rng: np.random.Generator, items: Collection[T]) -> T:
    """One of the items, each as likely as the others (a set must be sorted first)."""
    return tuple(items)[int(rng.integers(len(items)))]


def _hsv(hue: float, saturation: float, value: float) -> Rgb:
    return colorsys.hsv_to_rgb((hue % 360) / 360, saturation, value)


def any_colour(rng: np.random.Generator) -> Rgb:
    """Some colour of a wall or a floor; often close to that of a nameable object."""
    return _hsv(uniform(rng, 0, 360), uniform(rng, 0.05, 0.75), uniform(rng, 0.2, 0.95))


def _named_colour(rng: np.random.Generator, name: str) -> Rgb:
    hue, saturation, value = PALETTE[name]
    return _hsv(uniform(rng, *hue), uniform(rng, *saturation), uniform(rng, *value))


def make_object(
    rng: np.random.Generator, kind: dict[str, str], cx: float, cy: float, canvas: int
) -> SceneObject:
    """An object of the given attributes; ``canvas`` fixes what big and small mean in px."""
    radius = uniform(rng, *RADII[kind["size"]]) * canvas
    if kind["shape"] in ("star", "moon"):
        radius *= 1.06  # thin shapes would otherwise look smaller than their size says
    rgb = _named_colour(rng, kind["colour"])
    # Strokes are nearly black or nearly white, so that they never change the object's name.
    light_ink = kind["colour"] not in ("white", "yellow", "pink") and rng.random() < 0.45
    tint = uniform(rng, 0.0, 0.25)
    level = uniform(rng, 0.82, 1.0) if light_ink else uniform(rng, 0.04, 0.2)
    ink = (
        level + (rgb[0] - level) * tint,
        level + (rgb[1] - level) * tint,
        level + (rgb[2] - level) * tint,
    )
    turns = TURNS[kind["shape"]]
    return SceneObject(
        shape=kind["shape"],
        colour=kind["colour"],
        texture=kind["texture"],
        size=kind["size"],
        cx=cx,
        cy=cy,
        radius=radius,
        turn=int(rng.integers(-turns, turns + 1)),
        rgb=rgb,
        rgb_end=_named_colour(rng, kind["colour"]),
        ink=ink,
        stroke_turn=int(rng.integers(ANGLE_STEPS)),
        stroke_period=uniform(rng, 4.6, 6.4) * (1.0 if kind["size"] == "small" else 1.3),
        stroke_phase=(float(rng.random()), float(rng.random())),
        light_turn=int(rng.integers(ANGLE_STEPS)),
    )


def muted(rng: np.random.Generator) -> Rgb:
    """A background colour: like any colour, but greyer, as rooms and landscapes are."""
    colour = any_colour(rng)
    grey = (colour[0] + colour[1] + colour[2]) / 3
    keep = uniform(rng, 0.2, 0.7)
    return (
        grey + keep * (colour[0] - grey),
        grey + keep * (colour[1] - grey),
        grey + keep * (colour[2] - grey),
    )


def make_background(rng: np.random.Generator, settings: SceneSettings) -> Background:
    """A background; the number of fragments varies around ``settings.clutter``."""
    return Background(
        kind=pick(rng, ("noise", "noise", "planks", "tiles")),
        colours=(muted(rng), muted(rng), muted(rng)),
        turn=int(rng.integers(ANGLE_STEPS)),
        period=uniform(rng, 9, 26),
        light_turn=int(rng.integers(ANGLE_STEPS)),
        light=uniform(rng, 0.1, 0.4),
        clutter=int(rng.integers(settings.clutter // 2, settings.clutter * 3 // 2 + 1)),
        blur=uniform(rng, 0.0, 0.6),
        noise=uniform(rng, 0.35, 1.0) * settings.noise,
    )


def random_kind(rng: np.random.Generator, pairs: Collection[Pair]) -> dict[str, str]:
    """Attributes of an object whose (colour, shape) is one of ``pairs``."""
    colour, shape = pick(rng, sorted(pairs))
    return {
        "size": pick(rng, SIZES),
        "colour": colour,
        "texture": pick(rng, TEXTURES),
        "shape": shape,
    }


def _near_copy(
    rng: np.random.Generator, kind: dict[str, str], pairs: Collection[Pair]
) -> dict[str, str]:
    """The same attributes with one changed; one time in five none, so that only place tells."""
    while True:
        changed = dict(kind)
        attribute = pick(rng, ("nothing", *ATTRIBUTES))
        if attribute != "nothing":
            changed[attribute] = pick(rng, [v for v in VALUES[attribute] if v != kind[attribute]])
        if (changed["colour"], changed["shape"]) in pairs:
            return changed


def _propose_place(
    rng: np.random.Generator, radius: float, placed: list[SceneObject], settings: SceneSettings
) -> tuple[float, float]:
    """A centre in px; at most about a quarter of the object is cut off by the border."""
    low, high = 0.6 * radius, settings.canvas - 0.6 * radius
    if placed and rng.random() < settings.overlap_share:
        other = pick(rng, placed)
        x, y = direction(int(rng.integers(ANGLE_STEPS)))
        reach = uniform(rng, 0.55, 0.95) * (radius + other.radius)
        return (
            min(max(other.cx + reach * x, low), high),
            min(max(other.cy + reach * y, low), high),
        )
    return uniform(rng, low, high), uniform(rng, low, high)


def _fits(outlines: list[Bools], wholes: list[int], settings: SceneSettings) -> bool:
    """Does every object, given back to front, keep enough to be seen?"""
    counts: NDArray[np.int64] = np.count_nonzero(visible_parts(np.stack(outlines)), axis=(1, 2))
    floor = MIN_VISIBLE_AREA * settings.canvas * settings.canvas
    return all(
        int(n) >= max(floor, settings.min_visible * whole)
        for n, whole in zip(counts, wholes, strict=True)
    )


def sample_scene(
    rng: np.random.Generator,
    settings: SceneSettings,
    allowed: Collection[Pair] = ALL_PAIRS,
    first: Collection[Pair] | None = None,
) -> Scene:
    """A scene whose objects' (colour, shape) all lie in ``allowed``; one object's in ``first``."""
    for _ in range(_SCENE_TRIES):
        wanted = int(rng.integers(settings.min_objects, settings.max_objects + 1))
        objects: list[SceneObject] = []
        outlines: list[Bools] = []
        wholes: list[int] = []
        for _ in range(wanted):
            if objects and rng.random() < settings.distractor_share:
                parent = pick(rng, objects)
                kind = _near_copy(rng, {a: parent.value(a) for a in ATTRIBUTES}, allowed)
            else:
                kind = random_kind(rng, first if first and not objects else allowed)
            for _ in range(_PLACE_TRIES):
                radius = RADII[kind["size"]][1] * settings.canvas
                cx, cy = _propose_place(rng, radius, objects, settings)
                thing = make_object(rng, kind, cx, cy, settings.canvas)
                outline, whole = silhouette(thing, settings.canvas)
                depth = int(rng.integers(len(objects) + 1))
                trial = [*outlines[:depth], outline, *outlines[depth:]]
                trial_wholes = [*wholes[:depth], whole, *wholes[depth:]]
                if _fits(trial, trial_wholes, settings):
                    objects.insert(depth, thing)
                    outlines, wholes = trial, trial_wholes
                    break
        if len(objects) >= settings.min_objects:
            return Scene(tuple(objects), settings.canvas, make_background(rng, settings))
    raise ValueError(f"no scene fits these settings: {settings}")
