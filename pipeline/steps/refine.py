"""``ris refine``: from response maps to pseudo-labels, for one shard of the images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from pipeline.config import Config, run_config
from pipeline.encoders import Encoder
from pipeline.inference import device_of
from pipeline.layout import Layout
from pipeline.pseudo_labels import (
    REFINERS,
    CrfKernels,
    ReferentState,
    Refiner,
    normalised_maps,
    refine_images,
)
from pipeline.records import Expression
from pipeline.runs import owner, step_settings
from pipeline.steps.inputs import (
    by_image,
    columns_of,
    encoder_of,
    expressions_of,
    images_of,
    in_shard,
    pictures_of,
)
from pipeline.store import TableReader, digest_of, map_decode, rle_decode, rle_encode, table_writer

Masks = np.ndarray


def run(config: Config, *, run: str, shard: int) -> None:
    """Write one mask an expression; sentences of a referent share theirs after PRMS."""
    settings = run_config(config, run)
    layout = Layout.of(config)
    splits = settings.pseudo_labels.splits
    refiners = build_refiners(settings)
    images = images_of(config, splits)
    pictures = pictures_of(config)
    groups = [
        (image_id, group)
        for image_id, group in by_image(expressions_of(config, splits))
        if in_shard(image_id, shard, layout.shards)
    ]
    with ExitStack() as stack:
        responses = stack.enter_context(
            TableReader(layout.responses(owner(config, run, "respond")), kind="responses")
        )
        proposals = None
        if "proposal_snap" in settings.pseudo_labels.refine:
            proposals = stack.enter_context(TableReader(layout.proposals(shard), kind="proposals"))
        writer = stack.enter_context(
            table_writer(
                layout.pseudo_labels(run, shard),
                kind="pseudo_labels",
                config_digest=digest_of(step_settings(config, run, "refine")),
            )
        )
        bar = tqdm(total=len(groups), desc=f"refine {run} {shard}", unit="image", mininterval=1.0)
        for chunk in _chunks(groups, config.machine.evaluation_batch):
            loaded = [pictures.load(images[image_id]) for image_id, _ in chunk]
            states = [
                _states(responses, image_id, group, image.shape[:2])
                for (image_id, group), image in zip(chunk, loaded, strict=True)
            ]
            masks = [
                _proposals(proposals, image_id, image.shape[:2])
                for (image_id, _), image in zip(chunk, loaded, strict=True)
            ]
            for (_, group), found in zip(
                chunk, refine_images(loaded, states, masks, refiners), strict=True
            ):
                writer.append(_rows(group, found))
            bar.update(len(chunk))
        bar.close()


def build_refiners(config: Config) -> list[Refiner]:
    """The refiners of ``pseudo_labels.refine``, in order."""
    section = config.pseudo_labels
    device = device_of(config.machine.accelerator)
    special: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "prms": lambda keywords: {
            **keywords,
            "critic": _critic(config, device),
            "device": str(device),
        },
        "crf": lambda keywords: {**keywords, "kernels": CrfKernels(**keywords["kernels"])},
    }
    return [
        REFINERS[name](**special.get(name, dict)(getattr(section, name).model_dump()))
        for name in section.refine
    ]


def _critic(config: Config, device: torch.device) -> Encoder | None:
    """The frozen CLIP on the device, if maps are chosen by it."""
    if config.pseudo_labels.prms.combine == "mean":
        return None
    return encoder_of(config.critic, seed=config.seed).eval().to(device)


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


def _proposals(reader: TableReader | None, image_id: int, size: tuple[int, int]) -> Masks:
    rows = [] if reader is None else reader.image(image_id).to_pylist()
    rows.sort(key=lambda row: row["rank"])
    if not rows:
        return np.zeros((0, *size), dtype=np.bool_)
    return np.stack([rle_decode(row["rle"], row["height"], row["width"]) for row in rows])


def _rows(group: list[Expression], states: list[ReferentState]) -> dict[str, list[Any]]:
    labels = {
        sent_id: state.label(place)
        for state in states
        for place, sent_id in enumerate(state.sent_ids)
    }
    found = [labels[expression.sent_id] for expression in group]
    return {
        **columns_of(group),
        "rle": [rle_encode(mask) for mask, _, _ in found],
        "height": [mask.shape[0] for mask, _, _ in found],
        "width": [mask.shape[1] for mask, _, _ in found],
        "source": [source for _, source, _ in found],
        "score": [score for _, _, score in found],
    }


def _chunks(
    groups: Iterable[tuple[int, list[Expression]]], size: int
) -> Iterator[list[tuple[int, list[Expression]]]]:
    stream = iter(groups)
    while chunk := list(islice(stream, size)):
        yield chunk
