"""Writes the miniature as REFER does: ``refs(unc).p``, ``instances.json`` and ``images/``.

The pipeline reads these files exactly as it reads RefCOCO's. Nothing else of a scene is written, so
nothing beyond what REFER holds can reach a method.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask
from skimage.measure import euler_number, find_contours, label
from tqdm import tqdm

from pipeline.miniature.examples import (
    DATASET_STREAM,
    Example,
    MiniatureSettings,
    example_of,
    generator,
)
from pipeline.miniature.shapes import SHAPES, Bools

Answer = TypeVar("Answer")
Record = dict[str, Any]
POLYGON_IOU = 0.98  # a polygon that loses more than this is replaced by RLE
CATEGORY_IDS: dict[str, int] = {shape: k + 1 for k, shape in enumerate(SHAPES)}


def jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """An RGB image (H,W,3) as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def _rle(mask: Bools) -> Record:
    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"counts": code["counts"].decode("ascii"), "size": [int(n) for n in code["size"]]}


def segmentation(mask: Bools) -> list[list[float]] | Record:
    """A COCO segmentation of a mask (H,W): one polygon if that says it all, else RLE."""
    if label(mask, connectivity=1).max() == 1 and euler_number(mask, connectivity=1) == 1:
        # The border keeps contours closed; +0.5 goes from pixel centres to COCO's pixel corners.
        contours = find_contours(np.pad(mask, 1).astype(np.float64), 0.5)
        if len(contours) == 1:
            corners = contours[0][:-1, ::-1] - 1 + 0.5
            polygon = [float(v) for v in corners.ravel()]
            height, width = mask.shape
            decoded = coco_mask.decode(coco_mask.frPyObjects([polygon], height, width))[..., 0] > 0
            union = np.count_nonzero(decoded | mask)
            if np.count_nonzero(decoded & mask) >= POLYGON_IOU * union:
                return [polygon]
    return _rle(mask)


def _annotation(example: Example, index: int) -> Record:
    """The annotation of one object, its id still missing."""
    mask = example.visible[index]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
    return {
        "image_id": example.index + 1,
        "category_id": CATEGORY_IDS[example.scene.objects[index].shape],
        "bbox": [float(v) for v in box],
        "area": float(np.count_nonzero(mask)),
        "iscrowd": 0,
        "segmentation": segmentation(mask),
    }


def image_name(index: int) -> str:
    """File name of an image (0-based index), with its id as COCO writes it."""
    return f"miniature_{index + 1:012d}.jpg"


def _make(
    settings: MiniatureSettings, images: str, index: int
) -> tuple[list[Record], list[Record]]:
    """Writes one image; its annotations and refs, with ids counted within the image."""
    example = example_of(settings, index)
    rng = generator(settings.seed, DATASET_STREAM, index, 0, 3)
    quality = int(rng.integers(60, 91))
    (Path(images) / image_name(index)).write_bytes(jpeg(example.image, quality))
    # Shuffled: the order of annotations must not tell which object is in front.
    order = [int(i) for i in rng.permutation(len(example.scene.objects))]
    annotations = [_annotation(example, i) for i in order]
    refs = [
        {
            "ann_id": order.index(referent.index),
            "category_id": CATEGORY_IDS[example.scene.objects[referent.index].shape],
            "split": example.split,
            "sentences": [{"raw": s.raw, "sent": s.sent} for s in referent.sentences],
        }
        for referent in example.referents
    ]
    return annotations, refs


def in_order(
    work: Callable[[int], Answer], count: int, processes: int, title: str
) -> Iterator[Answer]:
    """``work(0)``, ``work(1)`` ... in that order, shared among processes, with a progress bar."""
    with tqdm(total=count, desc=title, unit="image", mininterval=1.0) as bar:
        if processes <= 1:
            for index in range(count):
                yield work(index)
                bar.update()
            return
        # Spawned, not forked: a fork of a process that runs threads (torch, OpenMP) may hang.
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            for answer in pool.imap(work, range(count), chunksize=16):
                yield answer
                bar.update()


def _assemble(
    settings: MiniatureSettings, made: Iterator[tuple[list[Record], list[Record]]]
) -> tuple[list[Record], Record]:
    """Gives ids that are unique in the dataset; returns the refs and the instances."""
    refs: list[Record] = []
    images: list[Record] = []
    annotations: list[Record] = []
    next_sentence = 0
    side = settings.scene.canvas
    for index, (found, meant) in enumerate(made):
        first = len(annotations) + 1
        annotations += [{"id": first + k, **annotation} for k, annotation in enumerate(found)]
        images.append(
            {"file_name": image_name(index), "height": side, "width": side, "id": index + 1}
        )
        for ref in meant:
            ids = list(range(next_sentence, next_sentence + len(ref["sentences"])))
            next_sentence += len(ids)
            refs.append(
                {
                    "ref_id": len(refs),
                    "ann_id": first + ref["ann_id"],
                    "image_id": index + 1,
                    "category_id": ref["category_id"],
                    # As in RefCOCO, the file name of a ref carries a suffix and is not to be used.
                    "file_name": image_name(index).replace(".jpg", f"_{ref['ann_id']}.jpg"),
                    "split": ref["split"],
                    "sent_ids": ids,
                    "sentences": [
                        {**s, "sent_id": k, "tokens": s["sent"].split()}
                        for k, s in zip(ids, ref["sentences"], strict=True)
                    ],
                }
            )
    instances = {
        "info": {"description": "miniature", "version": "1", "seed": settings.seed},
        "images": images,
        "licenses": [],
        "annotations": annotations,
        "categories": [
            {"id": k, "name": shape, "supercategory": "shape"} for shape, k in CATEGORY_IDS.items()
        ],
    }
    return refs, instances


def write_refer(folder: Path | str, settings: MiniatureSettings, *, processes: int) -> None:
    """Writes the dataset into ``folder`` (replacing it); it appears whole or not at all."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        (draft / "images").mkdir()
        work = partial(_make, settings, str(draft / "images"))
        made = in_order(work, settings.splits.total(), processes, "miniature")
        refs, instances = _assemble(settings, made)
        # Protocol 2: plain types only, no globals, so that a reader may refuse every global.
        # Pickle writes an object met twice only once, and which strings are one object depends on
        # the processes they came from: a detour over JSON makes all of them anew.
        refs = json.loads(json.dumps(refs))
        (draft / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))
        (draft / "instances.json").write_text(json.dumps(instances), encoding="utf-8")
        draft.chmod(0o755)  # mkdtemp makes private folders
        if folder.exists():
            shutil.rmtree(folder)
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
