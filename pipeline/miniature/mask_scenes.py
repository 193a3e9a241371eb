"""Other scenes with the masks of their objects, to pretrain a small SAM: a seed stream of its own.

The masks carry no names and no sentences: as the data of the real SAM, they only say where things
are. The compositions held out of training are held out here too, so that testB stays new.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from pipeline.miniature.attributes import COMMON_PAIRS
from pipeline.miniature.examples import MASK_STREAM, MiniatureSettings, generator
from pipeline.miniature.refer_format import in_order, jpeg
from pipeline.miniature.render import render
from pipeline.miniature.scenes import sample_scene
from pipeline.safety import InputError
from pipeline.store import digest_of, labels_decode, labels_encode, read_table, table_writer

JPEG_QUALITY = 90
KIND = "mask_scenes"


@dataclass(frozen=True)
class MaskScenes:
    """Scenes of one size in memory.

    images: (N, S, S, 3) uint8. labels: (N, S, S) uint8, 0 the background, then the visible part of
    each object.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def split(self, held_out: int) -> tuple[MaskScenes, MaskScenes]:
        """All but the last `held_out`, and those."""
        cut = len(self.images) - held_out
        if cut <= 0:
            raise InputError(
                f"small_sam.held_out: {held_out} of {len(self.images)} scenes leave none to train "
                "on; lower it, or raise small_sam.scenes"
            )
        return (
            MaskScenes(self.images[:cut], self.labels[:cut]),
            MaskScenes(self.images[cut:], self.labels[cut:]),
        )


def _row(settings: MiniatureSettings, index: int) -> tuple[bytes, bytes]:
    rng = generator(settings.seed, MASK_STREAM, index)
    image, visible = render(sample_scene(rng, settings.scene, allowed=COMMON_PAIRS), rng)
    labels = np.zeros(visible.shape[1:], dtype=np.uint8)
    for number, mask in enumerate(visible, 1):
        labels[mask] = number
    return jpeg(image, JPEG_QUALITY), labels_encode(labels)


def write_mask_scenes(
    path: Path, *, settings: MiniatureSettings, scenes: int, processes: int
) -> None:
    """One table: image (JPEG) and labels (PNG) of each scene. Row i depends on the seed and i."""
    side = settings.scene.canvas
    work = partial(_row, settings)
    with table_writer(path, kind=KIND, config_digest=digest_of([settings.seed, scenes])) as writer:
        for image, labels in in_order(work, scenes, processes, "mask scenes"):
            writer.append({"image": [image], "labels": [labels], "height": [side], "width": [side]})


def read_mask_scenes(path: Path) -> MaskScenes:
    """The scenes of a table, in its order; InputError if it is damaged or none."""
    rows = read_table(path, kind=KIND).to_pylist()
    if not rows:
        raise InputError(f"{path}: no scenes; make it again with `ris mask-scenes`")
    try:
        images = np.stack([_decoded(row["image"]) for row in rows])
        labels = np.stack([labels_decode(r["labels"], r["height"], r["width"]) for r in rows])
        if images.shape[:3] != labels.shape:
            raise ValueError(f"images {images.shape}, labels {labels.shape}")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: no scenes of one size ({error}); make it again with `ris mask-scenes`"
        ) from error
    return MaskScenes(images, labels)


def _decoded(content: bytes) -> NDArray[np.uint8]:
    with PilImage.open(io.BytesIO(content), formats=("JPEG",)) as image:
        return np.asarray(image.convert("RGB"))
