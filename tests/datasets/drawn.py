"""A dataset of one's own, drawn: a coloured square and disc a picture, a sentence about each."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 64
COLOURS = {"red": (220, 30, 30), "blue": (30, 60, 220), "green": (30, 180, 60)}


def draw_own(folder: Path, *, images: int, masks: int = 0, **columns: Any) -> Path:
    """``expressions.csv`` with its pictures; of the first ``masks`` pictures, masks in PNG.

    ``columns``: more of them, one value for all rows, or a function of the picture's number.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    rows = []
    for number in range(images):
        rng = np.random.default_rng(number)
        names = list(rng.permutation(list(COLOURS))[:2])
        picture = rng.integers(90, 160, (SIDE, SIDE, 3), dtype=np.uint8)
        name = f"photo {number}.png"
        for place, (colour, shape) in enumerate(zip(names, ("square", "disc"), strict=True)):
            centre = np.array([20 + rng.integers(0, 24), 16 + 32 * place])
            mask = drawn_mask(shape, centre)
            picture[mask] = COLOURS[colour]
            row = {"image": name, "expression": f"the {colour} {shape}"}
            for column, value in columns.items():
                row[column] = value(number) if callable(value) else value
            if number < masks:
                row["mask"] = f"{number}-{shape}.png"
                Image.fromarray(mask).save(folder / "masks" / row["mask"])
            rows.append(row)
        Image.fromarray(picture).save(folder / "images" / name)
    names = list(dict.fromkeys(column for row in rows for column in row))
    with open(folder / "expressions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    return folder


def drawn_mask(shape: str, centre: np.ndarray) -> np.ndarray:
    """Bool (SIDE, SIDE) of a square or a disc about ``centre`` (row, column)."""
    offset = np.abs(np.indices((SIDE, SIDE)) - centre[:, None, None])
    return offset.max(axis=0) < 10 if shape == "square" else (offset**2).sum(axis=0) < 120
