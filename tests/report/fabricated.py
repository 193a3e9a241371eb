"""A finished workflow in miniature: real tables and figures of drawn scenes, made-up networks.

The responses, pseudo-labels and predictions are the truth, blurred and shifted by a seed, so that a
better rung is better and no network need be trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from pipeline.config import Config, check, merge, read_yaml
from pipeline.datasets import read_truth
from pipeline.layout import Layout
from pipeline.records import Expression
from pipeline.runs import is_refined, is_segmented, is_supervised, run_config
from pipeline.steps import evaluate, miniature, tables
from pipeline.steps.inputs import columns_of, expressions_of
from pipeline.store import read_table, rle_decode, rle_encode, write_maps, write_table

ROOT = Path(__file__).parents[2]
SIDE = 64
EVIL = '<script>alert("x")</script> & the <b>red</b> one \' {{ 7 * 7 }}'


def configuration(folder: Path, **changes: Any) -> Config:
    """The default run's configuration, at the smallest sizes, with everything in ``folder``."""
    clip = {"model": str(folder / "artifacts/encoders/small_clip"), "image_size": SIDE}
    overlay: dict[str, Any] = {
        "paths": {"artifacts": str(folder / "artifacts"), "results": str(folder / "results")},
        "machine": {"shards": 2, "accelerator": "cpu"},
        "dataset": {"folder": str(folder / "artifacts/miniature/raw")},
        "miniature": {
            "splits": {"train": 2, "val": 2, "testA": 6, "testB": 1},
            "scene": {"canvas": SIDE, "clutter": 1},
        },
        "encoder": clip,
        "critic": clip,
        "evaluation": {"bootstrap": 40},
        "report": {"gallery": 3},
        "runs": {"weak": {}, "supervised": {"segmentor": {"supervision": "masks"}}},
    }
    content = read_yaml(ROOT / "config.yaml")
    content["runs"] = {}
    return check(merge(merge(content, overlay), changes))


def fabricate(folder: Path, **changes: Any) -> Config:
    """Everything that the report reads of the runs weak, again (another seed) and supervised."""
    changes = {"runs": {"again": {"seed": 1}}} | changes
    config = configuration(folder, **changes)
    layout = Layout.of(config)
    miniature.run(config, processes=1)
    tables.run(config)
    say_something_evil(layout, config.dataset.headline)
    for number, run in enumerate(config.runs):
        fabricate_run(config, run, np.random.default_rng(number))
        evaluate.run(config, run=run)
    write_benchmarks(layout)
    return config


def say_something_evil(layout: Layout, split: str) -> None:
    """Put markup before every sentence of a split."""
    path = layout.table("expressions")
    columns = read_table(path, kind="expressions").to_pydict()
    for name in ("raw", "sentence"):
        columns[name] = [
            f"{EVIL} {text}" if where == split else text
            for text, where in zip(columns[name], columns["split"], strict=True)
        ]
    write_table(path, columns, kind="expressions", config_digest="0")


def fabricate_run(config: Config, run: str, rng: np.random.Generator) -> None:
    """The tables and curves that a run's networks would have written."""
    layout = Layout.of(config)
    settings = run_config(config, run)
    truth = {
        (t.split, t.ref_id): rle_decode(t.rle, t.height, t.width)
        for t in read_truth(layout.table("truth"), split=None)
    }
    evaluated = expressions_of(config, config.dataset.evaluate)
    if is_segmented(settings):
        write_curves(layout.curves(run, "segmentor"), ["segmentation", "deep_supervision"])
        write_masks(layout.predictions(run), evaluated, truth, rng, kind="predictions", shift=3)
    if is_supervised(settings):
        return
    write_curves(layout.curves(run, "localizer"), ["classification"])
    everything = expressions_of(config, config.dataset.splits)
    write_maps(
        layout.responses(run),
        columns_of(everything),
        (blurred(truth[e.split, e.ref_id], rng) for e in everything),
        config_digest="0",
    )
    if not is_refined(settings):
        return
    labelled = expressions_of(config, settings.pseudo_labels.splits)
    for shard, path in enumerate(layout.all_pseudo_labels(run)):
        mine = [e for e in labelled if e.image_id % config.machine.shards == shard]
        write_masks(path, mine, truth, rng, kind="pseudo_labels", shift=5)


def blurred(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A response of 8 x 8 cells that is roughly about the mask."""
    cells = mask.reshape(8, SIDE // 8, 8, SIDE // 8).mean(axis=(1, 3))
    return (ndimage.gaussian_filter(cells, 1) - 0.1 + 0.1 * rng.normal(size=(8, 8))).astype("f2")


def write_masks(
    path: Path,
    expressions: list[Expression],
    truth: dict[tuple[str, int], np.ndarray],
    rng: np.random.Generator,
    *,
    kind: str,
    shift: int,
) -> None:
    """The truth, moved at random by up to ``shift`` pixels each way, now and then by far more."""
    masks = [
        np.roll(
            truth[e.split, e.ref_id],
            rng.integers(-shift, shift + 1, size=2) * rng.choice([1, 6], p=[0.8, 0.2]),
            axis=(0, 1),
        )
        for e in expressions
    ]
    columns: dict[str, list[Any]] = {
        **columns_of(expressions),
        "rle": [rle_encode(mask) for mask in masks],
        "height": [SIDE] * len(masks),
        "width": [SIDE] * len(masks),
        "score": [0.75] * len(masks),
    }
    if kind == "predictions":
        peaks = [np.argwhere(mask)[0] if mask.any() else (0, 0) for mask in masks]
        columns |= {"peak_x": [float(p[1]) for p in peaks], "peak_y": [float(p[0]) for p in peaks]}
    else:
        columns["source"] = ["map/crf"] * len(masks)
    write_table(path, columns, kind=kind, config_digest="0")


def write_curves(path: Path, terms: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        ",".join(["step", "epoch", "learning_rate", "loss", *terms, "seconds", "images_per_second"])
    ]
    for step in (10, 20, 30, 40):
        losses = [f"{5 / step + 0.1 * place:.4f}" for place in range(1 + len(terms))]
        lines.append(",".join([str(step), "0", "0.001", *losses, f"{step * 3.5}", "41.5"]))
    path.write_text("\n".join(lines) + "\n40,0,0.00", encoding="utf-8")  # its writer was killed


BENCHMARKS = {
    "tables": ("1.25", "210.5", "1.1"),
    "train_localizer-weak": ("170.0", "612.0", "165"),
    "refine-weak-0": ("61.0", "NA", "60"),
    "refine-gone-0": ("999.0", "999.0", "999"),  # of a run that is no longer configured
    "report": ("5.0", "300.0", "5"),
}


def write_benchmarks(layout: Layout) -> None:
    folder = layout.results / "benchmarks"
    folder.mkdir(parents=True)
    header = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for job, (seconds, memory, processor) in BENCHMARKS.items():
        row = [seconds, "0:00:01", memory, "1", "1", "1", "0", "0", "99.0", processor]
        (folder / f"{job}.tsv").write_text(header + "\t".join(row) + "\n", encoding="utf-8")
