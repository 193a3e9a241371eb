"""The first paragraph of the page: what the numbers say, in words."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.report.measured import (
    RUNGS,
    Figures,
    MeasuredRun,
    average,
    interval,
    main_run,
    reference_run,
)

FAILURE_WORDS: dict[str, str] = {
    "distractor": "it finds another object of the image",
    "background": "it finds no object at all",
    "part": "it finds the right object but too little of it",
    "spill": "it finds the right object and too much around it",
}


def verdict(runs: Sequence[MeasuredRun], *, dataset: str, split: str) -> str:
    """A few sentences about the headline split; what was not measured is not spoken of."""
    main, reference = main_run(runs), reference_run(runs)
    response, label, segmentor = (main.figures(rung, split) for rung in RUNGS)
    said = [
        _opening(main, segmentor, response or label, dataset, split),
        _against(segmentor, reference if reference is not main else None, split),
        _pointing(response, main.figures("random_object", split)),
        _climb(response, label, segmentor),
        _styles(segmentor),
        _failures(segmentor),
        _unmeasured(main, split),
    ]
    return " ".join(sentence for sentence in said if sentence)


def _opening(
    main: MeasuredRun,
    segmentor: Figures | None,
    before: Figures | None,
    dataset: str,
    split: str,
) -> str:
    """``before``: the figures of a lower rung, for runs that have but such."""
    value = average(segmentor, "mIoU")
    if segmentor is None or value is None:
        if before is None:
            return f"Nothing was measured on {split} of {dataset}."
        return (
            f"On {split} of {dataset} ({before['count']:,} expressions of {before['images']:,} "
            f"images), run {main.name} was measured without Stage-2."
        )
    taught = "from true masks" if main.supervised else "from sentences alone, with no mask"
    ends = interval(segmentor, "mIoU")
    between = f" (95 % interval {ends[0]:.1f} to {ends[1]:.1f})" if ends else ""
    return (
        f"On {split} of {dataset} ({segmentor['count']:,} expressions of {segmentor['images']:,} "
        f"images), the segmentor of run {main.name}, taught {taught}, reaches a mIoU of "
        f"{value:.1f} %{between}."
    )


def _against(segmentor: Figures | None, reference: MeasuredRun | None, split: str) -> str:
    value = average(segmentor, "mIoU")
    best = average(reference.figures("segmentor", split), "mIoU") if reference else None
    if value is None or not best:
        return ""
    return (
        f"That is {100 * value / best:.0f} % of the {best:.1f} % that the same network reaches "
        "when it learns from true masks."
    )


def _pointing(response: Figures | None, chance: Figures | None) -> str:
    value, floor = average(response, "PointM"), average(chance, "PointM")
    if value is None:
        return ""
    against = "" if floor is None else f", against {floor:.1f} % for an object drawn at random"
    return (
        f"The response map peaks in the object meant for {value:.1f} % of the expressions{against}."
    )


def _climb(response: Figures | None, label: Figures | None, segmentor: Figures | None) -> str:
    first, second, last = (average(f, "mIoU") for f in (response, label, segmentor))
    if first is None or second is None or last is None:
        return ""
    gain, step = second - first, last - second
    changed = "raises" if gain >= 0 else "lowers"
    beyond = "above" if step >= 0 else "below"
    return (
        f"Refinement {changed} the mIoU from {first:.1f} % (response maps) to {second:.1f} % "
        f"(pseudo-labels), and the segmentor ends {abs(step):.1f} points {beyond} that."
    )


def _styles(segmentor: Figures | None) -> str:
    groups = (segmentor or {}).get("by_style", {})
    found = {name: average(group, "mIoU") for name, group in groups.items()}
    known = {name: value for name, value in found.items() if value is not None}
    if len(known) < 2:
        return ""
    best, worst = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
    return (
        f"It does best on sentences of {best} ({known[best]:.1f} %) and worst on sentences of "
        f"{worst} ({known[worst]:.1f} %)."
    )


def _failures(segmentor: Figures | None) -> str:
    kinds = (segmentor or {}).get("failures", {})
    wrong = {kind: share for kind, share in kinds.items() if kind in FAILURE_WORDS and share > 0}
    if not wrong:
        return ""
    common = max(wrong, key=wrong.__getitem__)
    return (
        f"It is right (IoU of at least 0.5) for {kinds['correct']:.1f} %; where it is wrong, most "
        f"often {FAILURE_WORDS[common]} ({wrong[common]:.1f} % of all)."
    )


def _unmeasured(main: MeasuredRun, split: str) -> str:
    count = main.unmeasured.get(split, 0)
    if not count:
        return ""
    which = "1 expression has" if count == 1 else f"{count:,} expressions have"
    return (
        f"{which.capitalize()} no mask to be measured against; the gallery shows what was found, "
        "and masks can be added at any time."
    )
