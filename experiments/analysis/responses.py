"""The rung `response` of the headline split for every run of a configuration, without `respond`.

    python experiments/analysis/responses.py --config config.yaml OVERLAY.yaml

Runs that are named alike up to a last number (`base-0`, `base-1`) are seeds of one variant: the
table shows their mean and standard deviation. Runs whose localizer is not trained yet are left out
and named. PointM and mIoU in percent, PointM also by style of sentence.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.config import Config, load, run_config
from pipeline.evaluation import GroundTruth, convention, evaluate_rung, from_responses
from pipeline.layout import Layout
from pipeline.runs import owner
from pipeline.steps.inputs import by_image, columns_of, expressions_of, images_of, pictures_of
from pipeline.steps.predict import load_viewer
from pipeline.store import read_table

Figures = dict[str, float]


def measure(config: Config, run: str, truth: GroundTruth) -> Figures:
    """PointM and mIoU of a run's localizer, PointM by style."""
    settings, split = run_config(config, run), config.dataset.headline
    side = settings.encoder.image_size
    groups = [group for _, group in by_image(expressions_of(config, [split]))]
    images, pictures = images_of(config, [split]), pictures_of(config)
    viewer = load_viewer(config, run, stage="localizer")
    items = ((pictures.load(images[g[0].image_id]), [e.text for e in g]) for g in groups)

    found = viewer.respond(items, total=len(groups), title=run)
    keyed = (
        (columns_of(group), [response.astype(np.float16) for response in responses])
        for group, responses in zip(groups, found, strict=True)
    )
    rule = convention(settings.evaluation.convention)
    scores = from_responses(keyed, truth, rule, input_size=(side, side))
    rung = evaluate_rung("response", scores, truth, rule, np.random.default_rng(0), resamples=0)
    figures = rung.figures[split]
    means = {name: figures[name]["value"] for name in ("PointM", "mIoU")}
    return means | {s: f["PointM"]["value"] for s, f in figures["by_style"].items()}


def variants(config: Config) -> dict[str, list[str]]:
    """Variant -> its runs, one a seed."""
    found: dict[str, list[str]] = defaultdict(list)
    for run in config.runs:
        found[re.sub(r"-\d+$", "", run)].append(run)
    return found


def cell(values: NDArray[np.float64]) -> str:
    spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
    return f"{values.mean():.1f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, nargs="+", default=[Path("config.yaml")])
    config = load(parser.parse_args().config)
    layout = Layout.of(config)
    truth = GroundTruth(
        expressions=read_table(layout.table("expressions"), kind="expressions"),
        truth=read_table(layout.table("truth"), kind="truth"),
        objects=read_table(layout.table("objects"), kind="objects"),
        splits=[config.dataset.headline],
        text=config.dataset.text,
    )
    missing, header = [], False
    for variant, runs in variants(config).items():
        there = [r for r in runs if layout.localizer(owner(config, r, "train_localizer")).is_file()]
        missing += [run for run in runs if run not in there]
        if not there:
            continue
        rows = [measure(config, run, truth) for run in there]
        if not header:
            print("| variant | seeds | " + " | ".join(rows[0]) + " |")
            print("|---" * (len(rows[0]) + 2) + "|")
            header = True
        cells = [cell(np.array([row[name] for row in rows])) for name in rows[0]]
        print(f"| {variant} | {len(rows)} | " + " | ".join(cells) + " |", flush=True)
    if missing:
        print(f"not trained yet: {', '.join(missing)}")


if __name__ == "__main__":
    main()
