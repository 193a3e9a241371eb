"""The quality ladder: every rung of the pipeline measured on the same expressions, alike.

A rung (``response``, ``pseudo_label``, ``segmentor``, or a baseline) is a stream of predictions,
one image at a time; only its records stay in memory. Each rung must speak of every expression of
the ground truth's splits, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.baselines import BASELINES, baseline_records
from pipeline.evaluation.conventions import Convention
from pipeline.evaluation.readout import Size, binarise_maps, read_responses
from pipeline.evaluation.scoring import (
    KEYS,
    MEASURES,
    WORDS,
    Column,
    ImagePredictions,
    Records,
    gather,
    score_image,
)
from pipeline.evaluation.summary import Figures, summarise
from pipeline.evaluation.truth import ExpressionKey, GroundTruth, ImageKey, decode
from pipeline.metrics import peaks
from pipeline.safety import InputError

if TYPE_CHECKING:
    import pyarrow as pa

BASELINE_METRICS: tuple[str, ...] = ("mIoU", "PointM", "PointIt")


@dataclass(frozen=True)
class RungResult:
    """One rung's records (columns, see ``scoring``) and its figures by split (see ``summary``)."""

    rung: str
    records: Records
    figures: dict[str, Figures]


def evaluate_rung(
    rung: str,
    predictions: Iterable[ImagePredictions],
    truth: GroundTruth,
    convention: Convention,
    rng: np.random.Generator,
    *,
    resamples: int,
) -> RungResult:
    """Measures one rung. Predictions of splits that ``truth`` does not hold are passed over.

    InputError: an expression has no prediction, or two different ones, or is not known.
    """
    known = (part for part in predictions if part.image[1] in truth.splits)
    records = gather(score_image(part, truth.image(part.image), convention) for part in known)
    _require_all(rung, records, truth)
    figures = summarise(records, convention=convention, rng=rng, resamples=resamples)
    return RungResult(rung, records, figures)


def evaluate_baselines(
    truth: GroundTruth, convention: Convention, rng: np.random.Generator, *, resamples: int
) -> list[RungResult]:
    """The baselines as rungs, on the same expressions: mIoU, PointM, PointIt where they apply.

    Those that need objects are left out where none is annotated.
    """
    parts = [baseline_records(key, truth.image(key), convention) for key in truth.images()]
    results = []
    for name in BASELINES:
        records = gather(part[name] for part in parts)
        if np.isnan(records["iou"]).all() and np.isnan(records["point"]).all():
            continue
        figures = summarise(
            records, convention=convention, rng=rng, resamples=resamples, only=BASELINE_METRICS
        )
        results.append(RungResult(name, records, figures))
    return results


def _require_all(rung: str, records: Records, truth: GroundTruth) -> None:
    if len(records["sent_id"]) == len(truth):
        return
    names = ("dataset", "split", "ref_id", "sent_id")
    found: set[ExpressionKey] = set(zip(*(records[n].tolist() for n in names), strict=True))
    missing = [key for key in truth if key not in found]
    first = ", ".join(f"{name} {value}" for name, value in zip(names, missing[0], strict=True))
    raise InputError(
        f"{rung}: {len(missing)} of {len(truth)} expressions have no prediction (the first: "
        f"{first}); run the step that makes them again"
    )


def known_only(
    predictions: Iterable[ImagePredictions], truth: GroundTruth
) -> Iterator[ImagePredictions]:
    """The predictions about expressions that ``truth`` holds, where it does not hold all."""
    known = set(truth)
    for part in predictions:
        dataset, split, _ = part.image
        pairs = zip(part.ref_ids.tolist(), part.sent_ids.tolist(), strict=True)
        keep = np.array([(dataset, split, *pair) in known for pair in pairs], dtype=np.bool_)
        if keep.any():
            yield ImagePredictions(
                image=part.image,
                ref_ids=part.ref_ids[keep],
                sent_ids=part.sent_ids[keep],
                masks=None if part.masks is None else part.masks[keep],
                peaks=None if part.peaks is None else part.peaks[keep],
                said_none=None if part.said_none is None else part.said_none[keep],
            )


# -- streams from the standard tables --------------------------------------------------------------


def _images(columns: Mapping[str, Sequence[Any]]) -> Iterator[tuple[ImageKey, list[int]]]:
    """The rows of each image; rows of one image that lie apart come as two parts."""
    keys = list(zip(*(columns[name] for name in KEYS[:3]), strict=True))
    for key, rows in groupby(range(len(keys)), key=keys.__getitem__):
        yield key, list(rows)


def from_masks(tables: Iterable[pa.Table], truth: GroundTruth) -> Iterator[ImagePredictions]:
    """Predictions of ``pseudo_labels`` or ``predictions`` tables (one shard in memory at a time).

    Tables with ``peak_x`` and ``peak_y`` give the peaks too, cut to pixels.
    """
    for table in tables:
        with_peaks = "peak_x" in table.column_names
        for key, rows in _images(table.select(KEYS[:3]).to_pydict()):
            if key[1] not in truth.splits:
                continue
            part = table.slice(rows[0], len(rows))
            points = None
            if with_peaks:
                points = np.stack([part["peak_x"].to_numpy(), part["peak_y"].to_numpy()], axis=1)
                points = np.floor(points).astype(np.int64)
            yield ImagePredictions(
                image=key,
                ref_ids=part["ref_id"].to_numpy(),
                sent_ids=part["sent_id"].to_numpy(),
                masks=decode(part, range(len(rows))),
                peaks=points,
            )


def from_responses(
    images: Iterable[tuple[Mapping[str, Sequence[Any]], Sequence[NDArray[np.float16]]]],
    truth: GroundTruth,
    convention: Convention,
    *,
    input_size: Size | None,
) -> Iterator[ImagePredictions]:
    """Predictions of a ``responses`` table: masks and peaks of the maps at the image's size.

    ``images`` is what ``store.read_maps`` yields: an image's key columns and its raw maps (h, w).
    ``input_size``: height and width of the localizer's input (see ``readout.read_responses``).
    """
    for columns, raw in images:
        for key, rows in _images(columns):
            if key[1] not in truth.splits:
                continue
            maps = read_responses(
                np.stack([raw[row] for row in rows]),
                size=truth.image(key).size,
                input_size=input_size,
                convention=convention,
            )
            yield ImagePredictions(
                image=key,
                ref_ids=np.array([columns["ref_id"][row] for row in rows], dtype=np.int64),
                sent_ids=np.array([columns["sent_id"][row] for row in rows], dtype=np.int64),
                masks=binarise_maps(maps, convention.binarise),
                peaks=peaks(maps),
            )


# -- what is written -------------------------------------------------------------------------------


def ladder_figures(results: Iterable[RungResult]) -> dict[str, dict[str, Figures]]:
    """``{rung: {split: figures}}`` for ``metrics.json``."""
    return {result.rung: result.figures for result in results}


def ladder_rows(results: Iterable[RungResult]) -> dict[str, Column]:
    """One row an expression and rung, in the order of the images, as columns for a table."""
    results = list(results)
    names = (*KEYS, *MEASURES, *WORDS)
    if not results:
        kinds = dict.fromkeys(("image_id", "ref_id", "sent_id"), "i8")
        kinds |= dict.fromkeys(MEASURES, "f8")
        return {name: np.array([], dtype=kinds.get(name, "U")) for name in (*names, "rung")}
    columns = {n: np.concatenate([result.records[n] for result in results]) for n in names}
    columns["rung"] = np.repeat(
        [result.rung for result in results], [len(result.records["iou"]) for result in results]
    )
    order = np.argsort(columns["image_id"], kind="stable")
    return {name: column[order] for name, column in columns.items()}
