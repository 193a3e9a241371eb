"""``ris evaluate``: the quality ladder of one run, and the baselines beside it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipeline.config import Config, run_config
from pipeline.evaluation import (
    GroundTruth,
    ImagePredictions,
    RungResult,
    annotated,
    convention,
    evaluate_baselines,
    evaluate_rung,
    from_masks,
    from_responses,
    known_only,
    ladder_figures,
    ladder_rows,
)
from pipeline.layout import Layout
from pipeline.runs import owner, run_rungs, step_settings
from pipeline.store import digest_of, read_maps, read_table, write_json, write_table


def run(config: Config, *, run: str) -> None:
    """Write the run's metrics.json and the table of its expressions.

    Of a dataset of your own, what has no mask is counted instead of measured (``unmeasured``).
    """
    settings = run_config(config, run)
    layout = Layout.of(config)
    rule = convention(settings.evaluation.convention)
    resamples = settings.evaluation.bootstrap
    size = settings.encoder.image_size

    tables = {
        kind: read_table(layout.table(kind), kind=kind)
        for kind in ("expressions", "truth", "objects")
    }

    unmeasured: dict[str, int] = {}
    if config.dataset.reader == "csv":
        tables["expressions"], unmeasured = annotated(tables["expressions"], tables["truth"])
    with_masks = set(tables["expressions"]["split"].to_pylist())
    objects = tables["objects"] if tables["objects"].num_rows else None

    def truth_of(splits: list[str]) -> GroundTruth | None:
        """None where nothing of the splits has a mask, as only your own data may be."""
        if config.dataset.reader == "csv" and not with_masks & set(splits):
            return None
        return GroundTruth(
            expressions=tables["expressions"],
            truth=tables["truth"],
            objects=objects,
            splits=splits,
            text=config.dataset.text,
        )

    def rng() -> np.random.Generator:
        # One stream a rung: adding a rung must not move the intervals of another.
        return np.random.default_rng(settings.seed)

    held_out = truth_of(config.dataset.evaluate)
    results: list[RungResult] = []
    for rung in run_rungs(settings):
        truth = truth_of(settings.pseudo_labels.splits) if rung == "pseudo_label" else held_out
        if truth is None:
            continue
        found: Iterable[ImagePredictions]
        if rung == "response":
            path = layout.responses(owner(config, run, "respond"))
            maps = read_maps(path, only={image for _, _, image in truth.images()})
            found = from_responses(maps, truth, rule, input_size=(size, size))
        elif rung == "pseudo_label":
            shards = layout.all_pseudo_labels(owner(config, run, "refine"))
            found = from_masks((read_table(p, kind="pseudo_labels") for p in shards), truth)
        else:
            path = layout.predictions(owner(config, run, "segment"))
            found = from_masks([read_table(path, kind="predictions")], truth)
        if unmeasured:
            found = known_only(found, truth)
        results.append(evaluate_rung(rung, found, truth, rule, rng(), resamples=resamples))
    baselines: list[RungResult] = []
    if held_out is not None:
        baselines = evaluate_baselines(held_out, rule, rng(), resamples=resamples)
    figures = {
        "rungs": ladder_figures(results),
        "baselines": ladder_figures(baselines),
        "unmeasured": unmeasured,
    }
    write_table(
        layout.run_expressions(run),
        ladder_rows(results),
        kind="evaluated",
        config_digest=digest_of(step_settings(config, run, "evaluate")),
        inputs={},
    )
    write_json(layout.run_metrics(run), figures)
