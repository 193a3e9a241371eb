"""The referents of a shard's images with their response maps: what refiners are applied to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.config import Config
from pipeline.layout import Layout
from pipeline.pseudo_labels import ReferentState, Refiner, normalised_maps, refine_images
from pipeline.records import Expression
from pipeline.runs import owner
from pipeline.steps.inputs import by_image, expressions_of, images_of, in_shard, pictures_of
from pipeline.store import TableReader, map_decode, rle_decode


@dataclass(frozen=True, slots=True)
class RefinedImage:
    """An image after some refiners.

    expressions: all of the image, in the order of their keys. pixels: (H, W, 3) uint8 RGB.
    """

    image_id: int
    expressions: list[Expression]
    pixels: NDArray[np.uint8]
    referents: list[ReferentState]


def refined_images(
    config: Config,
    run: str,
    refiners: Sequence[Refiner],
    *,
    splits: Sequence[str],
    shard: int,
    with_proposals: bool,
    title: str,
) -> Iterator[RefinedImage]:
    """The shard's images of these splits, by rising id, after the refiners; in flat memory."""
    layout = Layout.of(config)
    images, pictures = images_of(config, splits), pictures_of(config)
    groups = [
        (image_id, group)
        for image_id, group in by_image(expressions_of(config, splits))
        if in_shard(image_id, shard, layout.shards)
    ]
    with ExitStack() as stack:
        path = layout.responses(owner(config, run, "respond"))
        responses = stack.enter_context(TableReader(path, kind="responses"))
        proposals = None
        if with_proposals:
            path = layout.proposals(shard)
            proposals = stack.enter_context(TableReader(path, kind="proposals"))
        bar = stack.enter_context(
            tqdm(total=len(groups), desc=title, unit="image", mininterval=1.0)
        )
        for chunk in _chunks(groups, config.machine.evaluation_batch):
            loaded = [pictures.load(images[image_id]) for image_id, _ in chunk]
            starts = [
                _states(responses, image_id, group, pixels.shape[:2])
                for (image_id, group), pixels in zip(chunk, loaded, strict=True)
            ]
            masks = [
                _proposals(proposals, image_id, pixels.shape[:2])
                for (image_id, _), pixels in zip(chunk, loaded, strict=True)
            ]
            found = refine_images(loaded, starts, masks, refiners)
            for (image_id, group), pixels, states in zip(chunk, loaded, found, strict=True):
                yield RefinedImage(image_id, group, pixels, states)
            bar.update(len(chunk))


def _states(
    responses: TableReader, image_id: int, group: list[Expression], size: tuple[int, int]
) -> list[ReferentState]:
    """The referents of an image with the maps of their sentences."""
    rows = responses.image(image_id).to_pylist()
    maps = {row["sent_id"]: map_decode(row["map"], row["height"], row["width"]) for row in rows}
    of_referent: dict[int, list[Expression]] = defaultdict(list)
    for expression in group:
        of_referent[expression.ref_id].append(expression)
    return [
        ReferentState.start(
            ref_id=ref_id,
            sent_ids=tuple(e.sent_id for e in mine),
            texts=tuple(e.text for e in mine),
            maps=normalised_maps(
                np.stack([maps[e.sent_id] for e in mine]), height=size[0], width=size[1]
            ),
        )
        for ref_id, mine in of_referent.items()
    ]


def _proposals(
    reader: TableReader | None, image_id: int, size: tuple[int, int]
) -> NDArray[np.bool_]:
    rows = [] if reader is None else reader.image(image_id).to_pylist()
    rows.sort(key=lambda row: row["rank"])
    if not rows:
        return np.zeros((0, *size), dtype=np.bool_)
    return np.stack([rle_decode(row["rle"], row["height"], row["width"]) for row in rows])


def _chunks(
    groups: Iterable[tuple[int, list[Expression]]], size: int
) -> Iterator[list[tuple[int, list[Expression]]]]:
    stream = iter(groups)
    while chunk := list(islice(stream, size)):
        yield chunk
