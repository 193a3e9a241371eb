"""The real localizer with a tiny random CLIP, on tables as the pipeline writes them.

As a module, `python -m tests.training.real FOLDER KILL_AT`, it trains in FOLDER; at batch KILL_AT the
process kills itself, -1 lets it finish.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.encoders.openclip import OpenClipEncoder, new_clip, vocabulary_of
from pipeline.localizers import LOCALIZERS
from pipeline.records import Expression
from pipeline.store import read_table, rle_encode, write_table
from pipeline.training.batches import ExpressionBatches
from pipeline.training.optimisation import Optimisation
from tests.training import tiny

WEIGHTS = {"classification": 5.0, "foreground": 1.0, "calibration": 2.0}
TEXTS = [expression.text for expression in tiny.expressions()]


def encoder(seed: int) -> OpenClipEncoder:
    vocabulary = vocabulary_of(TEXTS)
    architecture = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
        "text_cfg": {
            "context_length": 10,
            "vocab_size": vocabulary.size,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    }
    return OpenClipEncoder(
        new_clip(architecture, seed),
        vocabulary,
        architecture=architecture,
        output_stride=16,
        context=10,
        normalise="clip",
    )


def localizer() -> Any:
    tiny.torch.manual_seed(0)
    return LOCALIZERS["tris"](
        encoder=encoder(0),
        critic=encoder(1),
        hidden=16,
        alpha=0.1,
        temperature=0.07,
        prompt_texts="batch",
        levels=[-1],
        coordinates=False,
        positives="text",
        same_image="negative",
        focal_power=3.0,
        focal_floor=0.01,
        cosine_floor=1e-4,
        cosine_ceiling=0.9999,
        terms=list(WEIGHTS),
    )


def write_tables(folder: Path, *, shuffle: int | None = None) -> None:
    """expressions.parquet and truth.parquet of the tiny data set; the truth is a box."""
    rows = tiny.expressions()
    keys = ("dataset", "split", "image_id", "ref_id", "sent_id")
    columns: dict[str, list[Any]] = {key: [getattr(row, key) for row in rows] for key in keys}
    columns["raw"] = columns["sentence"] = [row.text for row in rows]
    write_table(folder / "expressions.parquet", columns, kind="expressions", config_digest="0")
    write_truth(folder, rows, noise=None)


def write_truth(folder: Path, rows: list[Expression], *, noise: int | None) -> None:
    referents = {row.ref_id: row for row in rows}
    rng = np.random.default_rng(noise)
    columns: dict[str, list[Any]] = {
        key: [getattr(row, key) for row in referents.values()]
        for key in ("dataset", "split", "image_id", "ref_id")
    }
    masks = []
    for ref_id in referents:
        mask = np.zeros((tiny.SIDE, tiny.SIDE), dtype=bool)
        mask[4:20, ref_id % 10 * 8 : ref_id % 10 * 8 + 8] = True
        masks.append(mask if noise is None else rng.random(mask.shape) < 0.5)
    columns["rle"] = [rle_encode(mask) for mask in masks]
    columns["height"] = columns["width"] = [tiny.SIDE] * len(masks)
    columns["area"] = [int(mask.sum()) for mask in masks]
    columns["category"] = [f"noise{noise}"] * len(masks)
    for name in ("box_x", "box_y", "box_w", "box_h"):
        columns[name] = [float(noise or 0)] * len(masks)
    write_table(folder / "truth.parquet", columns, kind="truth", config_digest="0")


def batches(folder: Path) -> ExpressionBatches:
    """The localizer's batches, from the tables that its step reads."""
    rows = read_table(folder / "expressions.parquet", kind="expressions").to_pylist()
    expressions = [
        Expression(text=row["sentence"], **{key: row[key] for key in row if key not in TEXT_COLUMNS})
        for row in rows
    ]
    return tiny.batches(expressions, encoder=encoder(0), batch_size=4)


TEXT_COLUMNS = ("raw", "sentence")


def train(folder: Path, **changes: Any) -> None:
    optimisation = Optimisation(**{**vars(tiny.ADAMW), "learning_rate": 1e-3})
    settings: dict[str, Any] = {
        "batches": batches(folder),
        "loss_weights": WEIGHTS,
        "optimisation": optimisation,
        "epochs": 2,
    }
    tiny.train(folder, localizer(), **(settings | changes))


if __name__ == "__main__":
    where, kill_at = Path(sys.argv[1]), int(sys.argv[2])
    source = tiny.Interrupted(batches(where), kill_at, tiny.send(signal.SIGKILL))
    train(where, batches=source)
