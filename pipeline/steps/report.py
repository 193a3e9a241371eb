"""``ris report``: all runs in results/metrics.json, a folder of figures and one HTML page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import yaml

from pipeline.config import Config, run_config
from pipeline.evaluation import convention
from pipeline.layout import Layout
from pipeline.report.ablation import Variant, ablation_csv, ablation_tables
from pipeline.report.ablation_chart import ablation_chart
from pipeline.report.cases import (
    Case,
    choose_cases,
    draw_cases,
    read_cases,
    unmeasured_cases,
    with_reference,
)
from pipeline.report.costs import costs_table, duration, read_costs, total_seconds
from pipeline.report.cues import cues_table
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
    ladder_files,
    last_rung,
    main_run,
    plain_metrics,
    reference_run,
)
from pipeline.report.page import Ablation, Chart, Page, render
from pipeline.report.published import Published
from pipeline.report.tables import Table
from pipeline.report.verdict import verdict
from pipeline.report.versions import versions, versions_table
from pipeline.report.views import Sources, Views
from pipeline.runs import (
    STEP_KEYS,
    has_ablation,
    has_cues,
    has_irnet,
    is_localized,
    is_supervised,
    learns_to_segment,
    owner,
    run_rungs,
    variants,
)
from pipeline.steps.inputs import pictures_of
from pipeline.store import atomic_folder, atomic_path, read_json, write_json

README_CASES = 6  # rows of gallery.png
# Networks with training curves, and whether a run of a configuration trains them.
STAGES: dict[str, Callable[[Config], bool]] = {
    "localizer": is_localized,
    "irnet": has_irnet,
    "segmentor": learns_to_segment,
}


def run(config: Config) -> None:
    """Write the metrics that DVC shows, the figures and the page."""
    layout = Layout.of(config)
    name, split = config.dataset.name, config.dataset.headline
    runs = [_measured(config, layout, run) for run in config.runs]
    families = variants(config)
    metrics = plain_metrics(runs, dataset=name)
    write_json(layout.metrics, metrics)
    with atomic_folder(layout.ladder) as folder:
        for path, figures in ladder_files(metrics[name], split=split).items():
            write_json(folder / path, figures)
    ablation = _ablation(config, layout, runs, families)

    # Pictures show the first seed of a variant; tables show all.
    shown = [run for run in runs if run.name in {members[0] for members in families.values()}]
    curves, failures = _curves(config, layout), _failures(layout, shown, split)
    charts = {
        "ladder": Chart(
            ladder_chart(shown, split=split), f"The quality ladder on {split}, with 95 % intervals"
        ),
        "curves": Chart(
            curves_chart([curve for names, curve in curves if names & {run.name for run in shown}]),
            "Loss terms of every network against steps",
        ),
        "failures": Chart(
            failures_chart(failures), f"Kinds of failure by sentence style on {split}"
        ),
    }
    gallery, picture = _gallery(config, layout, runs)
    with atomic_folder(layout.figures) as folder:
        for key, chart in charts.items():
            (folder / f"{key}.png").write_bytes(chart.content)
        if ablation is not None:
            (folder / "ablation.png").write_bytes(ablation.chart.content)
        (folder / "gallery.png").write_bytes(picture)

    costs = read_costs(
        layout.results / "benchmarks",
        steps=[step for step in STEP_KEYS if step != "report"],
        runs=config.runs,
    )
    reads_cues = any(has_cues(run_config(config, name)) for name in config.runs)
    page = Page(
        title=f"Segmentation from sentences alone: {name}",
        verdict=verdict(runs, dataset=name, split=split),
        tiles=_tiles(runs, split, duration(total_seconds(costs)) if costs else None),
        headline=_tables(config, runs, split),
        more={f"Split {s}": _tables(config, runs, s) for s in _other_splits(config, runs)},
        ablation=ablation,
        ladder=charts["ladder"],
        curves=charts["curves"],
        training=training_table([curve for _, curve in curves]),
        cues=cues_table(layout.all_cues, costs) if reads_cues else None,
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


def _ablation(
    config: Config,
    layout: Layout,
    runs: Sequence[MeasuredRun],
    families: Mapping[str, Sequence[str]],
) -> Ablation | None:
    """Means and spreads over the seeds, written as CSV too; None where no variant has several."""
    if not has_ablation(config):
        return None
    by_name = {run.name: run for run in runs}
    seeded = [
        Variant(name, tuple(by_name[member] for member in members))
        for name, members in families.items()
    ]
    headline, published = config.dataset.headline, _published(config)
    with atomic_path(layout.ablation) as partial:
        partial.write_text(ablation_csv(seeded, published), encoding="utf-8")
    splits = [headline, *_other_splits(config, runs)]
    chart = ablation_chart(seeded, published, split=headline)
    return Ablation(
        tables={s: ablation_tables(seeded, published, split=s) for s in splits},
        chart=Chart(chart, f"Variants on {headline}: mean and standard deviation over seeds"),
    )


def _published(config: Config) -> list[Published]:
    return [Published(**one) for one in config.report.model_dump()["published"]]


def _curves(config: Config, layout: Layout) -> list[tuple[set[str], Curve]]:
    """Each network's once, with the runs that share it; of all, the small CLIP's if it is there."""
    found = []
    clip = layout.small_clip_files["curves"]
    if clip.is_file():
        found.append((set(config.runs), read_curve(clip, title="small CLIP")))
    llm = layout.small_llm_files["curves"]
    readers = {name for name in config.runs if has_cues(run_config(config, name))}
    if readers and llm.is_file():
        found.append((readers, read_curve(llm, title="small LLM")))
    for stage, has in STAGES.items():
        users: dict[str, list[str]] = {}
        for name in config.runs:
            if has(run_config(config, name)):
                users.setdefault(owner(config, name, f"train_{stage}"), []).append(name)
        for first, names in users.items():
            title = f"{stage}: {', '.join(names)}"
            found.append((set(names), read_curve(layout.curves(first, stage), title=title)))
    return found


def _failures(layout: Layout, runs: list[MeasuredRun], split: str) -> list[FailureCounts]:
    """Every rung of the main run, the last rung of the others."""
    main = main_run(runs)
    found = count_failures(layout.run_expressions(main.name), run=main.name, split=split)
    for other in runs:
        if other is not main:
            counts = count_failures(layout.run_expressions(other.name), run=other.name, split=split)
            found += counts[-1:]
    return found


def _gallery(
    config: Config, layout: Layout, runs: list[MeasuredRun]
) -> tuple[dict[str, list[Card]], bytes]:
    """The cards of the page by group, and the picture for the README."""
    split = config.dataset.headline
    main, reference = main_run(runs), reference_run(runs)
    rung = last_rung(main, split)
    rng = np.random.default_rng(config.seed)
    gallery = config.report.gallery
    if rung is None:
        cases = unmeasured_cases(layout.table("expressions"), split=split, text=config.dataset.text)
        groups = draw_cases(cases, count=gallery, rng=rng)
        shown = draw_cases(cases, count=README_CASES, rng=rng)["random"]
        return _pictured(config, layout, main, groups, shown)
    cases = read_cases(layout.run_expressions(main.name), split=split, rung=rung)
    if reference is not None and reference is not main and rung == "segmentor":
        others = read_cases(layout.run_expressions(reference.name), split=split, rung=rung)
        cases = with_reference(cases, others, rung=rung, name=reference.name)
    groups = choose_cases(cases, rung=rung, count=gallery, rng=rng)
    shown = choose_cases(cases, rung=rung, count=README_CASES, rng=rng)["random"]
    return _pictured(config, layout, main, groups, shown)


def _pictured(
    config: Config,
    layout: Layout,
    main: MeasuredRun,
    groups: Mapping[str, list[Case]],
    shown: list[Case],
) -> tuple[dict[str, list[Card]], bytes]:
    with _views(config, layout, main) as views:
        cards = make_cards(groups, views.view)
        picture = readme_picture(shown, views.view)
    return {name.capitalize(): group for name, group in cards.items()}, picture


def _tables(config: Config, runs: list[MeasuredRun], split: str) -> list[Table]:
    """What is published stands beside the ladder where it does not beside an ablation."""
    published = [] if has_ablation(config) else _published(config)
    return [
        ladder_table(runs, split=split, families=variants(config), published=published),
        group_table(runs, split=split, group="style"),
        group_table(runs, split=split, group="size"),
    ]


def _views(config: Config, layout: Layout, main: MeasuredRun) -> Views:
    settings = run_config(config, main.name)
    rungs = run_rungs(settings)

    def owned(step: str) -> str:
        return owner(config, main.name, step)

    return Views(
        Sources(
            expressions=layout.table("expressions"),
            images=layout.table("images"),
            truth=layout.table("truth"),
            responses=layout.responses(owned("respond")) if "response" in rungs else None,
            pseudo_labels=layout.all_pseudo_labels(owned("refine"))
            if "pseudo_label" in rungs
            else [],
            predictions=layout.predictions(owned("segment")) if "segmentor" in rungs else None,
        ),
        load=pictures_of(config).load,
        text=config.dataset.text,
        convention=convention(settings.evaluation.convention),
        input_size=settings.encoder.image_size,
    )


def _other_splits(config: Config, runs: Sequence[MeasuredRun]) -> list[str]:
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
