"""``ris propose``: class-agnostic masks of one shard of the images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config import Config
from pipeline.layout import Layout
from pipeline.proposals import PROPOSERS
from pipeline.records import ImageRecord
from pipeline.runs import step_settings
from pipeline.steps.inputs import images_of, in_shard, pictures_of
from pipeline.steps.parts import write_in_parts
from pipeline.store import digest_file, digest_of, rle_encode

Found = list[tuple[NDArray[np.bool_], float]]
OF_BOTH = {"minimum_area", "maximum_overlap", "keep"}  # numbers that every method has


def run(config: Config, *, shard: int) -> None:
    """Write the proposals, best first, of the shard's images that get pseudo-labels.

    A job that was killed goes on where it was, if settings, images and SAM's weights are the same.
    """
    layout = Layout.of(config)
    propose, files = proposer_of(config)
    pictures = pictures_of(config)
    images = [
        record
        for image_id, record in sorted(images_of(config, config.pseudo_labels.splits).items())
        if in_shard(image_id, shard, layout.shards)
    ]
    settings = step_settings(config, None, "propose")
    digests = [digest_file(path) for path in (layout.table("images"), *files)]
    key = digest_of([settings, digests])
    write_in_parts(
        layout.proposals(shard),
        images,
        lambda record: _rows(record, propose(pictures.load(record))),
        kind="proposals",
        config_digest=digest_of(settings),
        parts=layout.checkpoints(config.dataset.name, f"propose-{shard}", key),
        title=f"propose {shard}",
        unit="image",
    )


def proposer_of(config: Config) -> tuple[Callable[[NDArray[np.uint8]], Found], list[Path]]:
    """The configured method, and the files of weights that it reads."""
    section = config.proposals
    propose = PROPOSERS[section.method]
    if section.method == "superpixels":
        return partial(propose, **section.model_dump(exclude={"method"})), []
    # segment_anything is not imported where it is not asked for
    from pipeline.encoders.sam import files_of_sam, load_sam
    from pipeline.encoders.sam_prompts import SamEverything
    from pipeline.inference import device_of

    sam = SamEverything(
        load_sam(config.sam.model, config.sam.weights),
        device=device_of(config.machine.accelerator),
        points_per_batch=config.sam.prompts_per_batch,
        **config.sam.generator.model_dump(),
    )
    files = files_of_sam(config.sam.model, config.sam.weights)
    return partial(propose, sam=sam, **section.model_dump(include=OF_BOTH)), files


def _rows(record: ImageRecord, found: Found) -> dict[str, list[Any]]:
    count = len(found)
    return {
        "dataset": [record.dataset] * count,
        "image_id": [record.image_id] * count,
        "rank": list(range(count)),
        "rle": [rle_encode(mask) for mask, _ in found],
        "height": [record.height] * count,
        "width": [record.width] * count,
        "area": [int(mask.sum()) for mask, _ in found],
        "score": [score for _, score in found],
    }
