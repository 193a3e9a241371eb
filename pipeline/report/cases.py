"""Which expressions the gallery shows: a random draw, the best and the worst of a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.styles import style_of
from pipeline.safety import InputError
from pipeline.store import read_table

Key = tuple[str, str, int, int, int]  # dataset, split, image_id, ref_id, sent_id

KEYS: tuple[str, ...] = ("dataset", "split", "image_id", "ref_id", "sent_id")


@dataclass(frozen=True, slots=True)
class Case:
    """One expression as it was measured; ``iou`` in [0, 1] by rung, ``failure`` of one of them."""

    key: Key
    style: str
    size: str
    failure: str
    iou: Mapping[str, float]


def read_cases(path: str | Path, *, split: str, rung: str) -> list[Case]:
    """Every expression of a split in a run's table ``evaluated``, by key, and how ``rung`` failed.

    :class:`InputError` if the run has no masks of that rung for the split.
    """
    columns = [*KEYS, "rung", "iou", "style", "size", "failure"]
    table = read_table(path, kind="evaluated", columns=columns, filters=[("split", "==", split)])
    iou: dict[Key, dict[str, float]] = {}
    found: dict[Key, Case] = {}
    for *key, name, value, style, size, failure in zip(
        *(column.to_pylist() for column in table.columns), strict=True
    ):
        expression: Key = (key[0], key[1], key[2], key[3], key[4])
        iou.setdefault(expression, {})[name] = value
        if name == rung:
            found[expression] = Case(expression, style, size, failure, {})
    if not found:
        raise InputError(
            f"{path}: no masks of split {split!r} for {rung}; run `ris evaluate` again"
        )
    return [replace(found[key], iou=iou[key]) for key in sorted(found)]


def unmeasured_cases(path: str | Path, *, split: str, text: str) -> list[Case]:
    """Every expression of a split in the table of expressions, of whose masks nothing is known.

    ``text`` is the column that methods read.
    """
    columns = [*KEYS, text]
    table = read_table(path, kind="expressions", columns=columns, filters=[("split", "==", split)])
    rows = zip(*(table.column(name).to_pylist() for name in columns), strict=True)
    return sorted(
        (
            Case((row[0], row[1], row[2], row[3], row[4]), style_of(row[5]), "", "no mask", {})
            for row in rows
        ),
        key=lambda case: case.key,
    )


def draw_cases(
    cases: Sequence[Case], *, count: int, rng: np.random.Generator
) -> dict[str, list[Case]]:
    """``{"random": ...}`` of cases that were not measured."""
    return {"random": _apart(cases, rng.permutation(len(cases)), count)}


def with_reference(
    cases: Sequence[Case], reference: Sequence[Case], *, rung: str, name: str
) -> list[Case]:
    """The cases with the IoU of another run's ``rung`` under ``name``, where it has one."""
    other = {case.key: case.iou[rung] for case in reference}
    return [
        replace(case, iou={**case.iou, name: other[case.key]}) if case.key in other else case
        for case in cases
    ]


def choose_cases(
    cases: Sequence[Case], *, rung: str, count: int, rng: np.random.Generator
) -> dict[str, list[Case]]:
    """``{"random": ..., "best": ..., "worst": ...}``, at most ``count`` each.

    Best and worst by the rung's IoU, ties at random; one case an image within each group.
    """
    order = rng.permutation(len(cases))
    iou = np.array([case.iou[rung] for case in cases])[order]
    ranked = order[np.argsort(iou, kind="stable")]
    return {
        "random": _apart(cases, order, count),
        "best": _apart(cases, ranked[::-1], count),
        "worst": _apart(cases, ranked, count),
    }


def _apart(cases: Sequence[Case], order: NDArray[np.int64], count: int) -> list[Case]:
    """The first cases in this order whose images differ."""
    chosen: dict[int, Case] = {}
    for place in order.tolist():
        if len(chosen) == count:
            break
        chosen.setdefault(cases[place].key[2], cases[place])
    return list(chosen.values())
