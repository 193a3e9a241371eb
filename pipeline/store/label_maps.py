"""Label maps of an image as PNG bytes: 8 bits a pixel, small because labels lie in patches."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.safety import InputError
from pipeline.store.manifest import REMEDY

Labels = NDArray[np.uint8]


def labels_encode(labels: Labels) -> bytes:
    """The PNG of a label map (H, W) uint8; equal maps give equal bytes."""
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise ValueError(f"a label map must be (H, W) uint8, not {labels.shape} {labels.dtype}")
    buffer = BytesIO()
    Image.fromarray(labels).save(buffer, format="PNG")
    return buffer.getvalue()


def labels_decode(data: bytes, height: int, width: int) -> Labels:
    """The label map (height, width) of its PNG. InputError if it is none, or of another size."""
    try:
        with Image.open(BytesIO(data), formats=["PNG"]) as image:
            if image.mode != "L" or (image.height, image.width) != (height, width):
                raise ValueError(f"{image.mode} of {image.height} x {image.width}")
            return np.array(image)
    except Exception as error:  # a damaged picture can make a decoder raise anything
        raise InputError(f"label map: no PNG of {height} x {width} ({error}); {REMEDY}") from error
