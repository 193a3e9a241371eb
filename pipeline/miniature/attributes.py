"""What objects may be: their attributes, and the compositions held out of training."""

from __future__ import annotations

from pipeline.miniature.shapes import SHAPES

Pair = tuple[str, str]  # (colour, shape)

# Name -> (hue range in degrees, saturation range, value range). Ranges of different names are kept
# apart by more than shading and lighting move a colour, so that a name is never in doubt.
PALETTE: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "red": ((-8, 6), (0.80, 0.98), (0.68, 0.95)),
    "orange": ((23, 32), (0.85, 1.0), (0.85, 1.0)),
    "yellow": ((51, 60), (0.72, 0.98), (0.85, 1.0)),
    "green": ((100, 140), (0.60, 0.95), (0.45, 0.80)),
    "blue": ((208, 232), (0.65, 0.95), (0.60, 0.95)),
    "purple": ((266, 284), (0.60, 0.90), (0.45, 0.75)),
    "pink": ((318, 338), (0.35, 0.58), (0.92, 1.0)),
    "white": ((0, 360), (0.0, 0.06), (0.90, 1.0)),
}
COLOURS: tuple[str, ...] = tuple(PALETTE)
TEXTURES: tuple[str, ...] = ("plain", "striped", "dotted")
SIZES: tuple[str, ...] = ("small", "big")
RADII: dict[str, tuple[float, float]] = {"small": (0.088, 0.112), "big": (0.152, 0.200)}
ATTRIBUTES: tuple[str, ...] = ("size", "colour", "texture", "shape")
VALUES: dict[str, tuple[str, ...]] = {
    "size": SIZES,
    "colour": COLOURS,
    "texture": TEXTURES,
    "shape": SHAPES,
}

ALL_PAIRS: frozenset[Pair] = frozenset((c, s) for c in COLOURS for s in SHAPES)
# One pair in eight, each colour and each shape exactly once (3 is coprime to 8).
HELD_OUT: frozenset[Pair] = frozenset(
    (colour, SHAPES[(3 * i + 2) % len(SHAPES)]) for i, colour in enumerate(COLOURS)
)
COMMON_PAIRS: frozenset[Pair] = ALL_PAIRS - HELD_OUT
