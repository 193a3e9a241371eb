"""The real steps of IRNet, on tables, pictures and response maps as the pipeline writes them.

As a module, `python -m tests.steps.weak_irnet FOLDER KILL_AT`, it trains IRNet's network in FOLDER
until the process kills itself at batch KILL_AT.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.config import Config, check, merge
from pipeline.layout import Layout
from pipeline.steps import label_irnet, refine, train_irnet
from pipeline.steps.inputs import columns_of, expressions_of
from pipeline.store import write_maps
from tests.training import real, tiny

RUN = "weak"


def config(folder: Path, **irnet: Any) -> Config:
    """Everything small; `irnet` changes keys of the section."""
    small = {
        "network": {
            "edge_width": 8,
            "displacement_widths": [8, 8, 8, 8],
            "fused_width": 8,
            "group_width": 4,
            "radius": 3,
        },
        "training": {
            "epochs": 2,
            "batch_size": 2,
            "crop": tiny.SIDE,
            "scales": [0.75, 1.25],
            "precision": "32",
            "curve_steps": 1,
        },
    }
    changes: dict[str, Any] = {
        "machine": {"shards": 2},
        "pseudo_labels": {
            "refine": ["prms", "exclusion", "irnet"],
            "splits": ["train"],
            "irnet": merge(small, irnet),
        },
    }
    return check(merge(real.config(folder).model_dump(), changes))


def write_inputs(folder: Path, *, images: int, silent: bool = False) -> None:
    """Tables without any annotation, pictures, a small CLIP, and responses where the truth is.

    `silent`: responses that are nowhere positive.
    """
    real.write_inputs(folder, images=images)
    settings = config(folder)
    layout = Layout.of(settings)
    for name in ("truth", "objects"):
        layout.table(name).unlink()
    expressions = expressions_of(settings, ["train"])
    maps = []
    for expression in expressions:
        found = np.full((8, 8), -1.0, dtype=np.float32)
        if not silent:
            column = 2 * (expression.ref_id % 10)
            found[1:5, column : column + 2] = 1 + expression.sent_id % 2
        maps.append(found)
    write_maps(layout.responses(RUN), columns_of(expressions), maps, config_digest="0")


def label(settings: Config) -> list[bytes]:
    """`ris label-irnet` of every shard; the tables it wrote."""
    for shard in range(settings.machine.shards):
        label_irnet.run(settings, run=RUN, shard=shard)
    return [path.read_bytes() for path in Layout.of(settings).all_irnet_labels(RUN)]


def train(settings: Config) -> bytes:
    """`ris train-irnet`; the weights it wrote."""
    torch.manual_seed(0)  # a step is a process of its own, whose random state is always the same
    train_irnet.run(settings, run=RUN)
    return Layout.of(settings).irnet(RUN).read_bytes()


def pseudo_label(settings: Config) -> list[bytes]:
    """`ris refine` of every shard; the tables it wrote."""
    for shard in range(settings.machine.shards):
        refine.run(settings, run=RUN, shard=shard)
    return [path.read_bytes() for path in Layout.of(settings).all_pseudo_labels(RUN)]


if __name__ == "__main__":
    make, kill_at = train_irnet.irnet_batches, int(sys.argv[2])
    train_irnet.irnet_batches = lambda *args: tiny.Interrupted(  # type: ignore
        make(*args), kill_at, tiny.send(signal.SIGKILL)
    )
    train(config(Path(sys.argv[1])))
