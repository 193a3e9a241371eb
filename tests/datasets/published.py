"""gRefCOCO and ReferIt in the form of their files, drawn: to be changed before they are written."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.store import rle_encode

from .conftest import annotation, square

SIDE = 64
PLACES = {"left": (6, 20, 26, 44), "right": (36, 18, 58, 46)}  # of two objects, x1 y1 x2 y2


def picture(number: int) -> np.ndarray:
    """Two rectangles on grey, whose colours tell the pictures apart."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(100, 150, (SIDE, SIDE, 3), dtype=np.uint8)
    for colour, (x1, y1, x2, y2) in zip(
        ([210, 40, 40], [40, 60, 210]), PLACES.values(), strict=True
    ):
        pixels[y1:y2, x1:x2] = np.roll(colour, number)
    return pixels


@dataclass
class Grefs:
    """``refs`` and ``instances`` as plain data."""

    folder: Path
    refs: Any
    instances: Any

    def write(self, *, split_by: str = "unc", pickled: bool = False) -> Path:
        (self.folder / "images").mkdir(parents=True, exist_ok=True)
        if pickled:
            (self.folder / f"grefs({split_by}).p").write_bytes(pickle.dumps(self.refs, 2))
        else:
            (self.folder / f"grefs({split_by}).json").write_text(json.dumps(self.refs))
        (self.folder / "instances.json").write_text(json.dumps(self.instances))
        for number, image in enumerate(self.instances["images"]):
            place = self.folder / "images" / str(image["file_name"])
            if not place.exists():
                Image.fromarray(picture(number)).save(place)
        return self.folder


def gref(
    ref_id: int, image_id: int, split: str, ann_id: Any, *texts: str, first: int
) -> dict[str, Any]:
    """A ref whose sentences are numbered from ``first``."""
    return {
        "ref_id": ref_id,
        "image_id": image_id,
        "split": split,
        "ann_id": ann_id,
        "category_id": [1] if isinstance(ann_id, list) else 1,
        "file_name": f"COCO_train2014_{image_id:012d}.jpg",
        "sent_ids": list(range(first, first + len(texts))),
        "sentences": [
            {"raw": text.upper(), "sent": text, "sent_id": first + k, "tokens": text.split()}
            for k, text in enumerate(texts)
        ],
    }


def draw_grefs(folder: Path, sizes: dict[str, int]) -> Grefs:
    """Images of each split with one target, with two, and with none."""
    images, annotations, refs = [], [], []
    image_id = 0
    for split, count in sizes.items():
        for _ in range(count):
            image_id += 1
            name = f"COCO_train2014_{image_id:012d}.png"
            images.append({"id": image_id, "file_name": name, "height": SIDE, "width": SIDE})
            ids = [10 * image_id + k for k in range(2)]
            annotations += [
                annotation(ann, image_id, [square(*box)], category_id=1 + k)
                for k, (ann, box) in enumerate(zip(ids, PLACES.values(), strict=True))
            ]
            first = 100 * image_id
            for k, (ann_id, text) in enumerate(
                [(ids[:1], "the left box"), (ids, "both boxes"), ([-1], "the dog")]
            ):
                refs.append(gref(first + k, image_id, split, ann_id, text, first=first + 10 * k))
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "bus"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    return Grefs(folder, refs, content)


@dataclass
class ReferIt:
    """``splits``: name of a pickle -> its content as plain data."""

    folder: Path
    splits: dict[str, Any]

    def write(self, protocol: int = pickle.HIGHEST_PROTOCOL) -> Path:
        (self.folder / "annotations").mkdir(parents=True, exist_ok=True)
        (self.folder / "images").mkdir(exist_ok=True)
        for split, content in self.splits.items():
            path = self.folder / "annotations" / f"{split}.pickle"
            path.write_bytes(pickle.dumps(content, protocol))
            for number in content if isinstance(content, dict) else ():
                place = self.folder / "images" / f"{number}.jpg"
                if str(number).isdigit() and not place.exists():
                    Image.fromarray(picture(int(number))).save(place)
        return self.folder


def draw_referit(folder: Path, sizes: dict[str, int]) -> ReferIt:
    """Two referents an image: the first with two queries, the second with one."""
    splits: dict[str, Any] = {}
    number = 0
    for split, count in sizes.items():
        splits[split] = {}
        for _ in range(count):
            number += 1
            entries = [
                entry(number, 10 * number + k, box, query)
                for k, (name, box) in enumerate(PLACES.items())
                for query in ([f"{name} box", f"box on the {name}"] if k == 0 else [f"{name} one"])
            ]
            splits[split][str(number)] = {
                "image_id": number,
                "size": (SIDE, SIDE, 3),
                "queries": [e["query"] for e in entries],
                "annotations": entries,
                "captions": ["two boxes"],
            }
    return ReferIt(folder, splits)


def entry(image_id: int, ref_id: int, box: tuple[int, int, int, int], query: str) -> dict[str, Any]:
    """An annotation of a query: MultiGrounding's, with REFER's run lengths."""
    x1, y1, x2, y2 = box
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    mask[y1:y2, x1:x2] = True
    return {
        "ref_id": ref_id,
        "image_id": image_id,
        "query": query,
        "category": {94},
        "bbox": [[x1, y1, x2, y2]],
        "bbox_norm": [[side / SIDE for side in box]],
        "segmentation": [{"size": [SIDE, SIDE], "counts": rle_encode(mask).decode()}],
        "idx": list(range(len(query.split()))),
        "image_size": (SIDE, SIDE, 3),
    }
