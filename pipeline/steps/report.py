"""``ris report``: all runs in results/metrics.json, a folder of figures and one HTML page."""

from __future__ import annotations

import numpy as np
import yaml

from pipeline.config import Config, run_config
from pipeline.evaluation import convention
from pipeline.layout import Layout
from pipeline.report.cases import choose_cases, read_cases, with_reference
from pipeline.report.costs import costs_table, duration, read_costs, total_seconds
from pipeline.report.curves import Curve, curves_chart, read_curve, training_table
from pipeline.report.failures import (
    MEANINGS,
    FailureCounts,
    count_failures,
    failures_chart,
    failures_table,
)
from pipeline.report.gallery import Card, make_cards, readme_picture
from pipeline.report.ladder import group_table, ladder_table
from pipeline.report.ladder_chart import ladder_chart
from pipeline.report.measured import (
    MeasuredRun,
    average,
    main_run,
    plain_metrics,
    reference_run,
)
from pipeline.report.page import Chart, Page, render
from pipeline.report.tables import Table
from pipeline.report.verdict import verdict
from pipeline.report.versions import versions, versions_table
from pipeline.report.views import Sources, Views
from pipeline.runs import STEP_KEYS, is_supervised, owner
from pipeline.steps.inputs import pictures_of
from pipeline.store import atomic_folder, atomic_path, read_json, write_json

README_CASES = 6  # rows of gallery.png


def run(config: Config) -> None:
    """Write the metrics that DVC shows, the figures and the page."""
    layout = Layout.of(config)
    name, split = config.dataset.name, config.dataset.headline
    runs = [_measured(config, layout, run) for run in config.runs]
    write_json(layout.metrics, plain_metrics(runs, dataset=name))

    curves, failures = _curves(config, layout), _failures(layout, runs, split)
    charts = {
        "ladder": Chart(
            ladder_chart(runs, split=split), f"The quality ladder on {split}, with 95 % intervals"
        ),
        "curves": Chart(curves_chart(curves), "Loss terms of every network against steps"),
        "failures": Chart(
            failures_chart(failures), f"Kinds of failure by sentence style on {split}"
        ),
    }
    gallery, picture = _gallery(config, layout, runs)
    with atomic_folder(layout.figures) as folder:
        for key, chart in charts.items():
            (folder / f"{key}.png").write_bytes(chart.content)
        (folder / "gallery.png").write_bytes(picture)

    costs = read_costs(
        layout.results / "benchmarks",
        steps=[step for step in STEP_KEYS if step != "report"],
        runs=config.runs,
    )
    page = Page(
        title=f"Segmentation from sentences alone: {name}",
        verdict=verdict(runs, dataset=name, split=split),
        tiles=_tiles(runs, split, duration(total_seconds(costs)) if costs else None),
        headline=_tables(config, runs, split),
        more={f"Split {s}": _tables(config, runs, s) for s in _other_splits(config, runs)},
        ladder=charts["ladder"],
        curves=charts["curves"],
        training=training_table(curves),
        split=split,
        run=main_run(runs).name,
        gallery=gallery,
        failures=charts["failures"],
        failure_table=failures_table(failures, split=split),
        failure_meanings=MEANINGS,
        costs=costs_table(costs) if costs else None,
        versions=versions_table(versions()),
        config=yaml.safe_dump(
            config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100
        ),
    )
    with atomic_path(layout.report) as partial:
        partial.write_text(render(page), encoding="utf-8")


def _measured(config: Config, layout: Layout, name: str) -> MeasuredRun:
    path = layout.run_metrics(name)
    supervised = is_supervised(run_config(config, name))
    return MeasuredRun.of(name, read_json(path), supervised=supervised, source=str(path))


def _curves(config: Config, layout: Layout) -> list[Curve]:
    """The small CLIP's if it is there, then each network's once, with the runs that share it."""
    found = []
    clip = layout.small_clip_files["curves"]
    if clip.is_file():
        found.append(read_curve(clip, title="small CLIP"))
    for stage in ("localizer", "segmentor"):
        users: dict[str, list[str]] = {}
        for name in config.runs:
            if stage == "segmentor" or not is_supervised(run_config(config, name)):
                users.setdefault(owner(config, name, f"train_{stage}"), []).append(name)
        for first, names in users.items():
            title = f"{stage}: {', '.join(names)}"
            found.append(read_curve(layout.curves(first, stage), title=title))
    return found


def _failures(layout: Layout, runs: list[MeasuredRun], split: str) -> list[FailureCounts]:
    """Every rung of the main run, the segmentor of the others."""
    main = main_run(runs)
    found = count_failures(layout.run_expressions(main.name), run=main.name, split=split)
    for other in runs:
        if other is not main:
            counts = count_failures(layout.run_expressions(other.name), run=other.name, split=split)
            found += [one for one in counts if one.rung == "segmentor"]
    return found


def _gallery(
    config: Config, layout: Layout, runs: list[MeasuredRun]
) -> tuple[dict[str, list[Card]], bytes]:
    """The cards of the page by group, and the picture for the README."""
    split = config.dataset.headline
    main, reference = main_run(runs), reference_run(runs)
    cases = read_cases(layout.run_expressions(main.name), split=split)
    if reference is not None and reference is not main:
        others = read_cases(layout.run_expressions(reference.name), split=split)
        cases = with_reference(cases, others, name=reference.name)
    rng = np.random.default_rng(config.seed)
    groups = choose_cases(cases, count=config.report.gallery, rng=rng)
    shown = choose_cases(cases, count=README_CASES, rng=rng)["random"]
    with _views(config, layout, main) as views:
        cards = make_cards(groups, views.view)
        picture = readme_picture(shown, views.view)
    return {name.capitalize(): group for name, group in cards.items()}, picture


def _tables(config: Config, runs: list[MeasuredRun], split: str) -> list[Table]:
    return [
        ladder_table(runs, split=split, families=_families(config)),
        group_table(runs, split=split, group="style"),
        group_table(runs, split=split, group="size"),
    ]


def _views(config: Config, layout: Layout, main: MeasuredRun) -> Views:
    settings = run_config(config, main.name)
    name = main.name
    return Views(
        Sources(
            expressions=layout.table("expressions"),
            images=layout.table("images"),
            truth=layout.table("truth"),
            responses=None if main.supervised else layout.responses(owner(config, name, "respond")),
            pseudo_labels=[]
            if main.supervised
            else layout.all_pseudo_labels(owner(config, name, "refine")),
            predictions=layout.predictions(owner(config, name, "segment")),
        ),
        load=pictures_of(config).load,
        text=config.dataset.text,
        convention=convention(settings.evaluation.convention),
        input_size=settings.encoder.image_size,
    )


def _families(config: Config) -> dict[str, list[str]]:
    """The runs that differ in their seed alone, under the name of the first."""
    found: dict[str, list[str]] = {}
    settings = {
        name: run_config(config, name).model_dump(exclude={"seed", "runs"}) for name in config.runs
    }
    for name in config.runs:
        first = next(other for other in settings if settings[other] == settings[name])
        found.setdefault(first, []).append(name)
    return found


def _other_splits(config: Config, runs: list[MeasuredRun]) -> list[str]:
    """Those with figures but the headline, as configured, training split last."""
    found = {split for run in runs for split in run.splits()} - {config.dataset.headline}
    return [name for name in (*config.dataset.evaluate, config.dataset.train) if name in found]


def _tiles(runs: list[MeasuredRun], split: str, time: str | None) -> list[tuple[str, str, str]]:
    """Name, value and explanation of the few first numbers; those that there are."""
    main, reference = main_run(runs), reference_run(runs)
    segmentor = average(main.figures("segmentor", split), "mIoU")
    found: list[tuple[str, float | None, str]] = [
        ("Segmentor mIoU", segmentor, f"{main.name}, {split}, percent"),
        (
            "Pseudo-label mIoU",
            average(main.figures("pseudo_label", split), "mIoU"),
            "measured only, not trained on",
        ),
        (
            "Response PointM",
            average(main.figures("response", split), "PointM"),
            "peak of the map in the object, percent",
        ),
    ]
    if reference is not None and reference is not main:
        best = average(reference.figures("segmentor", split), "mIoU")
        found.append(("Reference mIoU", best, "the same network with true masks"))
    tiles = [(name, f"{value:.1f}", words) for name, value, words in found if value is not None]
    return [*tiles, ("Time", time, "all jobs, one after another")] if time else tiles
