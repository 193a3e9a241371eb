"""SAM as the last step of a localizer: asked where the response peaks, trained for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import config as schema
from pipeline.config.sam import SamPrompt
from pipeline.encoders.sam import load_sam
from pipeline.encoders.sam_prompts import SamPrompter
from pipeline.inference import Item, Viewer, device_of
from pipeline.pseudo_labels import normalised_maps, prompted_logits
from pipeline.pseudo_labels.sam_prompt import peaks
from pipeline.records import Expression
from pipeline.store import TableReader, map_decode


def prompter_of(config: schema.Config) -> SamPrompter:
    """The configured SAM, on the configured device."""
    return SamPrompter(
        load_sam(config.sam.model, config.sam.weights),
        device=device_of(config.machine.accelerator),
        prompts_per_batch=config.sam.prompts_per_batch,
    )


def logits_of(
    sam: SamPrompter, image: NDArray[np.uint8], responses: NDArray[np.floating], section: SamPrompt
) -> NDArray[np.float32]:
    """SAM's logits (N, H, W) for raw responses (N, h, w) of an image (H, W, 3).

    They are highest where the response is: that point is what SAM was told, and the one by which
    the localization is measured.
    """
    maps = normalised_maps(responses, height=image.shape[0], width=image.shape[1])
    logits = prompted_logits(sam, image, maps, **section.model_dump())
    for one, (x, y) in zip(logits, peaks(maps).astype(int), strict=True):
        one[y, x] = np.nextafter(one.max(), np.float32(np.inf))
    return logits


def segmented(
    config: schema.Config,
    responses: Path,
    items: Iterable[tuple[NDArray[np.uint8], Sequence[Expression]]],
) -> Iterator[NDArray[np.float32]]:
    """Image after image, the logits of its expressions, whose responses a table has."""
    sam = prompter_of(config)
    with TableReader(responses, kind="responses") as reader:
        for image, group in items:
            rows = reader.image(group[0].image_id).to_pylist()
            maps = {r["sent_id"]: map_decode(r["map"], r["height"], r["width"]) for r in rows}
            mine = np.stack([maps[expression.sent_id] for expression in group])
            yield logits_of(sam, image, mine, config.segmentor.sam)


class SamViewer:
    """A localizer and SAM behind the face of a segmentor, see `inference.Viewer`."""

    def __init__(self, localizer: Viewer, sam: SamPrompter, section: SamPrompt) -> None:
        self._localizer = localizer
        self._sam = sam
        self._section = section

    def segment(
        self, items: Iterable[Item], *, total: int | None, title: str
    ) -> Iterator[NDArray[np.float32]]:
        """Image after image, the logits (N, H, W) of its N expressions at the image's size."""
        kept = list(items)
        found = self._localizer.respond(kept, total=total, title=title)
        for (image, _), responses in zip(kept, found, strict=True):
            yield logits_of(self._sam, image, responses, self._section)
