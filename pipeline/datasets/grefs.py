"""gRefCOCO as its authors publish it (Liu et al., CVPR 2023): no, one or several targets.

``grefs(<split_by>).json`` (or ``.p``) holds the referents, ``instances.json`` and ``images/`` are
as in RefCOCO. Facts to know:

- ``ann_id`` is a list or a number; ``-1`` means that nothing in the image is meant. The mask of
  several targets is their union.
- Crowds among several targets are passed over, as ReLA does it. Where crowds are all that is meant,
  they are kept: an empty mask would say that nothing is.
- Nothing but a warning is made of a repeated ``ref_id`` by the authors, and files of before August
  2023 have other numbers: what repeats an id is given the next free one, in the file's order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from pipeline.datasets.fields import Fields, records
from pipeline.datasets.instances import Annotation, Box, Instances, PublishedImage, read_instances
from pipeline.datasets.options import ReadOptions
from pipeline.datasets.refer import annotation_of, sentences_of
from pipeline.datasets.tables import DatasetTables, Sentence, no_target_split
from pipeline.records import Truth
from pipeline.safety import InputError, inside, load_plain_pickle
from pipeline.store import read_json, rle_area, rle_encode

NO_TARGET = "-1"
Referent = tuple[Truth, list[Sentence]]


def grefs_file(folder: str | Path, split_by: str) -> Path:
    """The pickle where there is one, else the JSON file (there or not)."""
    pickled = inside(folder, f"grefs({split_by}).p")
    return pickled if pickled.is_file() else inside(folder, f"grefs({split_by}).json")


def grefs_sources(folder: str | Path, *, options: ReadOptions) -> dict[str, Path]:
    """By name, the files that the tables are made from, there or not."""
    paths = (grefs_file(folder, options.split_by), Path(folder) / "instances.json")
    return {path.name: path for path in paths}


def read_grefs(folder: str | Path, *, dataset: str, options: ReadOptions) -> DatasetTables:
    """The tables of the dataset in ``folder``, under the name ``dataset``.

    An expression without a target has an empty mask and category; if it is of ``options.train`` it
    goes to the split :func:`no_target_split`, so that nobody takes it for a sentence about its
    image. The category of several targets is theirs joined by ``+``.

    InputError as for :func:`pipeline.datasets.refer.read_refer`.
    """
    folder = Path(folder)
    instances = read_instances(
        folder / "instances.json", overlapping_polygons=options.overlapping_polygons
    )
    path = grefs_file(folder, options.split_by)
    if not path.is_file():
        there = ", ".join(sorted(file.name for file in folder.glob("grefs(*)*"))) or "none"
        raise InputError(f"{path}: no such file; choose a split_by that is there ({there})")
    content = load_plain_pickle(path) if path.suffix == ".p" else read_json(path)
    referents = _distinct(list(_referents(content, str(path), dataset, instances, options.train)))
    truth = [item for item, _ in referents]
    used = {(item.split, item.image_id) for item in truth}
    return DatasetTables(
        expressions=[sentence for _, spoken in referents for sentence in spoken],
        images=instances.image_records(dataset, used),
        truth=truth,
        objects=instances.object_records(dataset, {image_id for _, image_id in used}),
    )


def _referents(
    content: Any, where: str, dataset: str, instances: Instances, train: str
) -> Iterator[Referent]:
    for record in records(content, where):
        ref_id, image_id = record.integer("ref_id"), record.integer("image_id")
        image = instances.images.get(image_id)
        if image is None:
            raise record.wrong("image_id", f"{image_id} is no image of instances.json")
        targets = [
            annotation_of(record, ann_id, image_id, instances.annotations)
            for ann_id in _ann_ids(record)
        ]
        split = record.text("split")
        if split == train and not targets:
            split = no_target_split(train)
        truth = _truth(targets, image, (dataset, split, image_id, ref_id))
        yield truth, sentences_of(record, (dataset, split, image_id, ref_id))


def _ann_ids(record: Fields) -> list[str]:
    """The ids of the targets, each once; none where nothing is meant."""
    value = record.get("ann_id")
    items = value if isinstance(value, list) else [value]
    ids = list(dict.fromkeys(Fields({"ann_id": i}, record.where).identity("ann_id") for i in items))
    if not ids:
        raise record.wrong("ann_id", f"is empty; [{NO_TARGET}] says that nothing is meant")
    if NO_TARGET in ids and len(ids) > 1:
        raise record.wrong("ann_id", f"has {NO_TARGET} (nothing is meant) beside others")
    return [] if ids == [NO_TARGET] else ids


def _truth(
    targets: Sequence[Annotation], image: PublishedImage, keys: tuple[str, str, int, int]
) -> Truth:
    """The union of the targets; ``keys`` are dataset, split, image_id and ref_id."""
    targets = [target for target in targets if not target.crowd] or targets
    if targets:
        size = [image.height, image.width]
        coded = [{"size": size, "counts": target.rle} for target in targets]
        rle: bytes = coco_mask.merge(coded)["counts"]
    else:
        rle = rle_encode(np.zeros((image.height, image.width), dtype=np.bool_))
    return Truth(
        *keys,
        category="+".join(sorted({target.category for target in targets})),
        rle=rle,
        height=image.height,
        width=image.width,
        box=_around([target.box for target in targets]),
        area=rle_area(rle, image.height, image.width),
    )


def _around(boxes: Sequence[Box]) -> Box:
    """The box around boxes of x, y, width, height; four zeros around none."""
    if not boxes:
        return 0.0, 0.0, 0.0, 0.0
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, bottom = max(x + w for x, _, w, _ in boxes), max(y + h for _, y, _, h in boxes)
    return left, top, right - left, bottom - top


def _distinct(referents: list[Referent]) -> list[Referent]:
    """The referents with every repeated ref_id and sent_id replaced by a free number."""
    refs = count(1 + max((truth.ref_id for truth, _ in referents), default=0))
    sents = count(1 + max((s.sent_id for _, spoken in referents for s in spoken), default=0))
    ref_ids: set[int] = set()
    sent_ids: set[int] = set()
    found = []
    for truth, spoken in referents:
        ref_id = next(refs) if truth.ref_id in ref_ids else truth.ref_id
        ref_ids.add(ref_id)
        renumbered = []
        for sentence in spoken:
            sent_id = next(sents) if sentence.sent_id in sent_ids else sentence.sent_id
            sent_ids.add(sent_id)
            renumbered.append(replace(sentence, ref_id=ref_id, sent_id=sent_id))
        found.append((replace(truth, ref_id=ref_id), renumbered))
    return found
