"""The pictures of a dataset, decoded once and kept while there is room."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np

from pipeline.records import ImageRecord
from pipeline.safety import inside, open_image


class ImageFolder:
    """Reads the pictures of ``folder`` and keeps the last used, at most ``cache_mb`` MiB of them.

    Every process has a cache of its own. 0 keeps none. ``upright``: whether pictures are turned as
    their cameras noted (EXIF); where masks are defined on the stored pixels they must not be.
    """

    def __init__(self, folder: str | Path, *, cache_mb: float, upright: bool) -> None:
        self._folder = Path(folder)
        self._upright = upright
        self._capacity = int(cache_mb * (1 << 20))
        self._used = 0
        self._kept: OrderedDict[str, np.ndarray] = OrderedDict()

    def load(self, record: ImageRecord) -> np.ndarray:
        """uint8 (height, width, 3) RGB, read-only: copy it before writing to it.

        InputError names a file that is missing, damaged, or of another size than its record.
        """
        kept = self._kept.get(record.file)
        if kept is not None:
            self._kept.move_to_end(record.file)
            return kept
        size = (record.height, record.width)
        path = inside(self._folder, record.file)
        image = open_image(path, size[0] * size[1], apply_exif=self._upright, size=size)
        image.flags.writeable = False
        self._keep(record.file, image)
        return image

    def _keep(self, name: str, image: np.ndarray) -> None:
        if image.nbytes > self._capacity:
            return
        self._kept[name] = image
        self._used += image.nbytes
        while self._used > self._capacity:
            _, oldest = self._kept.popitem(last=False)
            self._used -= oldest.nbytes
