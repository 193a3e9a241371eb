"""``ris evaluate``: the quality ladder of one run, and the baselines beside it."""

from __future__ import annotations

import numpy as np

from pipeline.config import Config, run_config
from pipeline.evaluation import (
    GroundTruth,
    RungResult,
    convention,
    evaluate_baselines,
    evaluate_rung,
    from_masks,
    from_responses,
    ladder_figures,
    ladder_rows,
)
from pipeline.layout import Layout
from pipeline.runs import is_supervised, owner, step_settings
from pipeline.store import digest_of, read_maps, read_table, write_json, write_table


def run(config: Config, *, run: str) -> None:
    """Write the run's metrics.json and the table of its expressions."""
    settings = run_config(config, run)
    layout = Layout.of(config)
    rule = convention(settings.evaluation.convention)
    resamples = settings.evaluation.bootstrap
    size = settings.encoder.image_size

    tables = {
        kind: read_table(layout.table(kind), kind=kind)
        for kind in ("expressions", "truth", "objects")
    }

    def truth_of(splits: list[str]) -> GroundTruth:
        return GroundTruth(
            **tables,
            splits=splits,
            text=config.dataset.text,
        )

    def rng() -> np.random.Generator:
        # One stream a rung: adding a rung must not move the intervals of another.
        return np.random.default_rng(settings.seed)

    held_out = truth_of(config.dataset.evaluate)
    results: list[RungResult] = []
    if not is_supervised(settings):
        responses = layout.responses(owner(config, run, "respond"))
        labels = layout.all_pseudo_labels(owner(config, run, "refine"))
        results.append(
            evaluate_rung(
                "response",
                from_responses(
                    read_maps(responses, only={image for _, _, image in held_out.images()}),
                    held_out,
                    rule,
                    input_size=(size, size),
                ),
                held_out,
                rule,
                rng(),
                resamples=resamples,
            )
        )
        labelled = truth_of(settings.pseudo_labels.splits)
        results.append(
            evaluate_rung(
                "pseudo_label",
                from_masks((read_table(p, kind="pseudo_labels") for p in labels), labelled),
                labelled,
                rule,
                rng(),
                resamples=resamples,
            )
        )
    predictions = layout.predictions(owner(config, run, "segment"))
    results.append(
        evaluate_rung(
            "segmentor",
            from_masks([read_table(predictions, kind="predictions")], held_out),
            held_out,
            rule,
            rng(),
            resamples=resamples,
        )
    )
    baselines = evaluate_baselines(held_out, rule, rng(), resamples=resamples)
    figures = {
        "rungs": ladder_figures(results),
        "baselines": ladder_figures(baselines),
    }
    write_table(
        layout.run_expressions(run),
        ladder_rows(results),
        kind="evaluated",
        config_digest=digest_of(step_settings(config, run, "evaluate")),
        inputs={},
    )
    write_json(layout.run_metrics(run), figures)
