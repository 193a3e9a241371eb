"""A dataset as its publishers offer it, small: an archive, pictures, weights, and their table."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

SIDE = 32
SPLITS = ("train", "train", "train", "val", "test")


def picture(number: int) -> bytes:
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG")
    return buffer.getvalue()


def file_name(number: int) -> str:
    return f"COCO_train2014_{number:012d}.jpg"


def zipped(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def refer_files(count: int) -> dict[str, bytes]:
    """`refs(umd).p` and `instances.json` of ``count`` images with an object and a sentence each."""
    refs = [
        {
            "ref_id": number,
            "ann_id": 100 + number,
            "image_id": number,
            "category_id": 1,
            "file_name": f"COCO_train2014_{number:012d}_{100 + number}.jpg",
            "split": SPLITS[number % len(SPLITS)],
            "sent_ids": [number],
            "sentences": [
                {"raw": f"Man {number}", "sent": f"man {number}", "sent_id": number, "tokens": []}
            ],
        }
        for number in range(count)
    ]
    polygon = [4, 4, 20, 4, 20, 24, 4, 24]
    instances = {
        "images": [
            {"id": n, "file_name": file_name(n), "height": SIDE, "width": SIDE}
            for n in range(count)
        ],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {
                "id": 100 + n,
                "image_id": n,
                "category_id": 1,
                "bbox": [4, 4, 16, 20],
                "area": 320.0,
                "iscrowd": 0,
                "segmentation": [polygon],
            }
            for n in range(count)
        ],
    }
    return {
        "refs(umd).p": pickle.dumps(refs, 2),
        "instances.json": json.dumps(instances).encode(),
    }


@dataclass
class Published:
    """``files`` by path, as a server offers them."""

    count: int
    files: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        entries = refer_files(self.count)
        pictures = {file_name(n): picture(n) for n in range(self.count)}
        self.files = {
            "/toy.zip": zipped({f"toy/{name}": data for name, data in entries.items()}),
            "/pictures.zip": zipped({f"train/{name}": data for name, data in pictures.items()}),
            "/weights": np.random.default_rng(1).bytes(20_000),
            **{f"/train/{name}": data for name, data in pictures.items()},
        }

    def table(self, url: str, path: Path, **changes: dict[str, Any]) -> Path:
        """Writes the table of a server at ``url``; ``changes`` are keys of sources by name."""
        sources = {
            "toy": {
                "title": "toy",
                "files": [self._file(url, "/toy.zip", known=True)],
                "unpacked": {"files": 10, "bytes": 10_000_000, "ratio": 1000},
            },
            "pictures": {
                "title": "pictures",
                "files": [self._file(url, "/pictures.zip", known=False)],
                "unpacked": {"files": 1000, "bytes": 10_000_000, "ratio": 1000},
                "pictures": {
                    "folder": "train",
                    "count": self.count,
                    "addresses": [f"{url}/train/{{file}}"],
                    "mean_bytes": 2000,
                    "at_most": 100_000,
                },
            },
            "clip": {
                "title": "clip",
                "files": [self._file(url, "/weights", known=True, name="tiny.x.safetensors")],
            },
        }
        terms = {"licence": "MIT", "licence_page": "https://example.org"}
        content = {
            "sources": {
                name: source | terms | changes.get(name, {}) for name, source in sources.items()
            },
            "datasets": {
                "toy": {"annotations": "toy", "folder": "unpacked/toy", "images": "pictures"}
            },
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def _file(self, url: str, path: str, *, known: bool, name: str = "") -> dict[str, Any]:
        content = self.files[path]
        facts: dict[str, Any] = {"at_most": 10_000_000}
        if known:
            facts = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        return {"name": name or path[1:], "addresses": [url + path], **facts}
