"""The real step of the localizer, on tables, pictures and a small CLIP as the pipeline writes them.

As a module, `python -m tests.training.real FOLDER KILL_AT`, it trains in FOLDER until the process
kills itself at batch KILL_AT.
"""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipeline.config import Config, check, merge, read_yaml
from pipeline.datasets.tables import DatasetTables, Sentence, write_tables
from pipeline.encoders.openclip import OpenClipEncoder, new_clip, vocabulary_of
from pipeline.layout import Layout
from pipeline.records import ObjectRecord, Truth
from pipeline.steps import train_localizer, train_segmentor
from pipeline.steps.inputs import columns_of, expressions_of
from pipeline.store import rle_encode, write_table
from tests.training import tiny

ROOT = Path(__file__).parents[2]


def config(folder: Path, *, method: str = "tris") -> Config:
    """The shipped configuration with everything made small; all kinds of loss count."""
    encoder = {"model": str(folder / "clip"), "context": 10, "image_size": tiny.SIDE}
    training = {"batch_size": 4, "texts_per_image": 3, "precision": "32", "curve_steps": 1}
    changes: dict[str, Any] = {
        "paths": {"artifacts": str(folder / "artifacts"), "results": str(folder / "results")},
        "machine": {"accelerator": "cpu", "training_threads": 1, "workers": 0, "shards": 1},
        "dataset": {"name": "tiny", "source": "folder", "folder": str(folder / "raw")},
        "encoder": encoder,
        "critic": encoder,
        "localizer": {
            "method": method,
            "hidden": 16,
            "loss_weights": {
                "classification": 5,
                "contrast": 1,
                "foreground": 1,
                "calibration": 2,
            },
            "training": training
            | {"sampling": "expressions", "epochs": 2, "negatives": 3}
            | ({"sampling": "images"} if method == "pcnet" else {}),
        },
        "ehin": {"loss_weights": {"contrast": 1}},
        "segmentor": {
            "hidden": 8,
            "widths": [8, 8, 8, 8, 8],
            "training": training | {"sampling": "images", "epochs": 1},
        },
        "runs": {"weak": {}, "supervised": {"segmentor": {"supervision": "masks"}}},
    }
    return check(merge(read_yaml(ROOT / "config.yaml"), changes))


def write_inputs(folder: Path, *, images: int = 8) -> None:
    """All four tables, cues and proposals, the pictures, and a small CLIP of random weights."""
    write_data(folder, noise=None, images=images)
    write_cues(folder)
    write_proposals(folder, images=images)
    pictures = folder / "raw" / "images"
    pictures.mkdir(parents=True)
    for record in tiny.image_records(images):
        Image.fromarray(tiny.read_image(record)).save(pictures / record.file)
    write_clip(folder, [row.text for row in tiny.expressions()])


def write_cues(folder: Path, *, most: int = 5) -> None:
    """Five of each expression: its first word, its first two, and so on, at most so many."""
    settings = config(folder)
    expressions = expressions_of(settings, ["train"])
    cues = []
    for expression in expressions:
        words = expression.text.split()
        cues.append([" ".join(words[: min(place + 1, most)]) for place in range(5)])
    count = len(cues)
    write_table(
        Layout.of(settings).cues(0),
        {
            **columns_of(expressions),
            "cues": cues,
            "source": ["rules"] * count,
            "made": [len(set(mine)) for mine in cues],
            "dropped": [0] * count,
        },
        kind="cues",
        config_digest="0",
    )


def write_proposals(folder: Path, *, images: int) -> None:
    """Of each image as many upright bars as its number says, and of the first none."""
    rows: dict[str, list[Any]] = {name: [] for name in ("image_id", "rank", "rle")}
    for image_id in range(images):
        for rank in range(image_id % 5):
            mask = np.zeros((tiny.SIDE, tiny.SIDE), dtype=bool)
            mask[:, 6 * rank : 6 * rank + 6] = True
            for name, value in (("image_id", image_id), ("rank", rank), ("rle", rle_encode(mask))):
                rows[name].append(value)
    count = len(rows["rank"])
    write_table(
        Layout.of(config(folder)).proposals(0),
        {
            "dataset": ["tiny"] * count,
            **rows,
            "height": [tiny.SIDE] * count,
            "width": [tiny.SIDE] * count,
            "area": [6 * tiny.SIDE] * count,
            "score": [1.0] * count,
        },
        kind="proposals",
        config_digest="0",
    )


def write_clip(folder: Path, texts: list[str]) -> None:
    """A small CLIP of random weights that knows the words of these texts."""
    vocabulary = vocabulary_of(texts)
    architecture = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": tiny.SIDE, "layers": [1, 1, 1, 1], "width": 8},
        "text_cfg": {
            "context_length": 10,
            "vocab_size": vocabulary.size,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    }
    OpenClipEncoder(
        new_clip(architecture, 0),
        vocabulary,
        architecture=architecture,
        output_stride=16,
        context=10,
        normalise="clip",
    ).save(folder / "clip")


def write_data(folder: Path, *, noise: int | None, images: int = 8) -> None:
    """The tables; masks, boxes and categories are boxes of pixels, or noise."""
    rows = tiny.expressions(images)
    rng = np.random.default_rng(noise)
    truth, objects = [], []
    for ref_id, row in {row.ref_id: row for row in rows}.items():
        mask = np.zeros((tiny.SIDE, tiny.SIDE), dtype=bool)
        mask[4:20, ref_id % 10 * 8 : ref_id % 10 * 8 + 8] = True
        if noise is not None:
            mask = rng.random(mask.shape) < 0.5
        shape: dict[str, Any] = {
            "dataset": row.dataset,
            "image_id": row.image_id,
            "category": f"noise {noise}",
            "rle": rle_encode(mask),
            "height": tiny.SIDE,
            "width": tiny.SIDE,
            "box": (float(noise or 0), 1.0, 2.0, 3.0),
        }
        truth.append(Truth(split=row.split, ref_id=ref_id, area=int(mask.sum()), **shape))
        objects.append(ObjectRecord(ann_id=ref_id, **shape))
    sentences = [
        Sentence(row.dataset, row.split, row.image_id, row.ref_id, row.sent_id, row.text, row.text)
        for row in rows
    ]
    records = [replace(record, split="train") for record in tiny.image_records(images)]
    write_tables(
        Layout.of(config(folder)).table("truth").parent,
        DatasetTables(sentences, records, truth, objects),
        config_digest="0",
        inputs={},
    )


def train(folder: Path, *, method: str = "tris") -> tuple[bytes, Path]:
    """Train the localizer as `ris train-localizer` does; its weights and its curves."""
    settings = config(folder, method=method)
    torch.manual_seed(0)  # a step is a process of its own, whose random state is always the same
    train_localizer.run(settings, run="weak")
    layout = Layout.of(settings)
    return layout.localizer("weak").read_bytes(), layout.curves("weak", "localizer")


def train_on_masks(folder: Path) -> bytes:
    """Train the supervised segmentor as `ris train-segmentor` does; its weights."""
    settings = config(folder)
    torch.manual_seed(0)
    train_segmentor.run(settings, run="supervised")
    return Layout.of(settings).segmentor("supervised").read_bytes()


if __name__ == "__main__":
    make, kill_at = train_localizer.expression_batches, int(sys.argv[2])
    train_localizer.expression_batches = lambda *args, **settings: tiny.Interrupted(  # type: ignore
        make(*args, **settings), kill_at, tiny.send(signal.SIGKILL)
    )
    train(Path(sys.argv[1]))
