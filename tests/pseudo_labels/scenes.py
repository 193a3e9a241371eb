"""Small pictures with known objects, and states about them."""

import numpy as np

from pipeline.pseudo_labels import ReferentState

NO_PROPOSALS = np.zeros((0, 1, 1), dtype=np.bool_)


def disc(height: int, width: int, y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


def two_discs(height: int = 48, width: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A noisy grey picture with a red and a green disc, and the two masks."""
    red = disc(height, width, height / 2, width / 4, height / 5)
    green = disc(height, width, height / 2, 3 * width / 4, height / 5)
    image = np.full((height, width, 3), 110.0)
    image[red], image[green] = [210, 40, 40], [40, 190, 50]
    image += np.random.default_rng(0).normal(0, 6, image.shape)
    return image.clip(0, 255).astype(np.uint8), red, green


def state(
    *maps: np.ndarray, ref_id: int = 5, texts: tuple[str, ...] | None = None
) -> ReferentState:
    return ReferentState.start(
        ref_id=ref_id,
        sent_ids=tuple(range(100, 100 + len(maps))),
        texts=texts or tuple(f"text {k}" for k in range(len(maps))),
        maps=np.stack(maps).astype(np.float32),
    )


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sum(a & b) / np.sum(a | b))
