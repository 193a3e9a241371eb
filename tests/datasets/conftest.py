"""A dataset of two pictures in REFER's form, small enough to be known by heart."""

import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.datasets import ReadOptions

HEIGHT, WIDTH = 12, 16


def options(split_by: str = "unc", **changes: Any) -> ReadOptions:
    """The default run's, but for the changes."""
    default = ReadOptions(
        split_by=split_by,
        overlapping_polygons="union",
        train="train",
        held_out_split="val",
        held_out=0.25,
    )
    return replace(default, **changes)


def square(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


@dataclass
class Refer:
    """The two files as plain data, to be changed before they are written."""

    folder: Path
    refs: Any
    instances: Any

    def write(self, split_by: str = "unc") -> Path:
        (self.folder / "images").mkdir(parents=True, exist_ok=True)
        (self.folder / f"refs({split_by}).p").write_bytes(pickle.dumps(self.refs, 2))
        (self.folder / "instances.json").write_text(json.dumps(self.instances))
        for number in (1, 2):
            picture = self.folder / "images" / f"COCO_{number}.jpg"
            if picture.exists():
                continue
            pixels = np.full((HEIGHT, WIDTH, 3), 40 * number, dtype=np.uint8)
            Image.fromarray(pixels).save(picture)
        return self.folder


def ref(ref_id: int, ann_id: Any, image_id: int, split: str, *texts: str) -> dict[str, Any]:
    first = 10 * ref_id
    return {
        "ref_id": ref_id,
        "ann_id": ann_id,
        "image_id": image_id,
        "category_id": 1,
        "file_name": f"COCO_{image_id}_16.jpg",  # no such file, as in RefCOCO
        "split": split,
        "sent_ids": [first + k for k in range(len(texts))],
        "sentences": [
            {"raw": text, "sent": text.lower(), "sent_id": first + k, "tokens": text.split()}
            for k, text in enumerate(texts)
        ],
    }


def annotation(ann_id: Any, image_id: int, segmentation: Any, **other: Any) -> dict[str, Any]:
    return {
        "id": ann_id,
        "image_id": image_id,
        "category_id": 1,
        "bbox": [2, 3.5, 4.25, 5],
        "area": 20.0,
        "iscrowd": 0,
        "segmentation": segmentation,
        **other,
    }


@pytest.fixture
def refer(tmp_path: Path) -> Refer:
    return Refer(
        folder=tmp_path / "toy",
        refs=[
            ref(5, 71, 2, "val", "The DOG"),
            ref(3, 70, 1, "train", "Left man", "man in red"),
        ],
        instances={
            "info": {},
            "images": [
                {"id": n, "file_name": f"COCO_{n}.jpg", "height": HEIGHT, "width": WIDTH}
                for n in (1, 2)
            ],
            "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
            "annotations": [
                annotation(70, 1, [square(2, 3, 6, 8)]),
                annotation(71, 2, [square(0, 0, 8, 6)], category_id=18),
                annotation(72, 1, {"size": [HEIGHT, WIDTH], "counts": [0, 12, 180]}, iscrowd=1),
            ],
        },
    )
