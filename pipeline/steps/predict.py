"""``ris predict``: what a trained run sees in one image, for one or more expressions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.config import Config, run_config
from pipeline.evaluation import binarise_logits, convention
from pipeline.inference import CuesOf, Item, Viewer, computes_in_bf16, device_of
from pipeline.layout import Layout
from pipeline.report import overlay
from pipeline.runs import has_cues, is_segmented, owner
from pipeline.safety import InputError, checked_text, open_image
from pipeline.steps.decompose import decomposer_of
from pipeline.steps.localizer_network import build_localizer
from pipeline.steps.segment import confidence
from pipeline.steps.segmentor_network import build_segmentor
from pipeline.store import atomic_path, rle_encode, write_json
from pipeline.training.weights import load_weights

if TYPE_CHECKING:
    from pipeline.steps.sam_segmentor import SamViewer

MAX_PIXELS = 1 << 26  # of the image
MAX_LOGITS = 1 << 28  # pixels times expressions that are held at once: 1 GiB
SMALLEST_OVERLAY, LARGEST_OVERLAY = 320, 2048  # pixels of its longer side
SLUG_LENGTH = 40


def run(
    config: Config, *, run: str | None, image: Path, expressions: list[str], output: Path
) -> None:
    """Write a mask and an overlay for each expression, and ``predictions.json`` about all.

    Without ``run``, the first of the configuration is asked. The image is turned as its camera's
    note says, and everything is in pixels of the turned image.
    Other files in ``output`` stay as they are. :class:`InputError` for an expression without words
    or too long, a file that is no image or too large, or a run that is not trained yet.
    """
    name = chosen_run(config, run)
    picture, texts = checked_request(image, expressions)
    viewer = load_segmentor(config, name)
    (logits,) = viewer.segment([(picture, texts)], total=1, title=f"predict {name}")
    rule = convention(run_config(config, name).evaluation.convention).binarise
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{output}: cannot be a folder to write to ({error.strerror})") from None
    found = []
    for number, (text, one) in enumerate(zip(texts, logits, strict=True), 1):
        mask = binarise_logits(one, rule)
        y, x = divmod(int(one.argmax()), one.shape[1])
        stem = f"{number:02d}-{slug(text)}"
        record = {
            "expression": text,
            "score": round(confidence(one, mask), 4),
            "peak": [x, y],
            "box": box_of(mask),
            "rle": {"size": list(mask.shape), "counts": rle_encode(mask).decode("ascii")},
            "mask": f"{stem}-mask.png",
            "overlay": f"{stem}-overlay.png",
            "image": str(image),
            "height": mask.shape[0],
            "width": mask.shape[1],
        }
        _write(output / record["mask"], overlay.encoded(mask, "png"))
        drawn = draw_overlay(picture, mask, peak=(x, y), text=text)
        _write(output / record["overlay"], overlay.encoded(drawn, "png"))
        found.append(record)
    # Last, so that what it names is there.
    write_json(output / "predictions.json", found)
    print(_summary(found, output))


def chosen_run(config: Config, run: str | None) -> str:
    """``run``, or the first of the configuration; :class:`InputError` if there is none of it."""
    name = next(iter(config.runs)) if run is None else run
    run_config(config, name)
    return name


def checked_request(image: Path, expressions: list[str]) -> Item:
    """The picture, upright, and the texts that a user asks about; :class:`InputError` as above."""
    texts = [
        checked_text(text, f"expression {number}") for number, text in enumerate(expressions, 1)
    ]
    if not texts:
        raise InputError("EXPRESSIONS: give at least one expression, in quotes")
    picture = open_image(image, MAX_PIXELS)
    most = MAX_LOGITS // (picture.shape[0] * picture.shape[1])
    if len(texts) > most:
        raise InputError(
            f"{image}: {len(texts)} expressions of a picture of this size need too much memory; "
            f"ask for at most {most} at a time, or make it smaller"
        )
    return picture, texts


def load_viewer(config: Config, run: str, *, stage: Literal["localizer", "segmentor"]) -> Viewer:
    """The trained network of a run, one image at a time; :class:`InputError` if there is none."""
    settings = run_config(config, run)
    paths = {"localizer": Layout.of(config).localizer, "segmentor": Layout.of(config).segmentor}
    if stage == "segmentor" and not is_segmented(settings):
        raise InputError(
            f"run {run!r} has no segmentor: its evaluation.rungs are "
            f"{', '.join(settings.evaluation.rungs)}; choose another run, or add segmentor"
        )
    weights = paths[stage](owner(config, run, f"train_{stage}"))
    if not weights.is_file():
        raise InputError(f"{weights}: run {run!r} has no trained {stage} yet; `make run` first")
    cues = None
    if stage == "localizer":
        network = build_localizer(settings, with_critic=False)
        precision = settings.localizer.training.precision
        mirror = settings.inference.mirror_responses
        cues = asked_cues(settings)
    else:
        network = build_segmentor(settings)
        precision = settings.segmentor.training.precision
        mirror = settings.inference.mirror_masks
    load_weights(network, weights)
    return Viewer(
        network,
        size=settings.encoder.image_size,
        device=device_of(config.machine.accelerator),
        images_per_batch=1,
        bf16=computes_in_bf16(config.machine.accelerator, precision),
        mirror=mirror,
        cues=cues,
    )


def asked_cues(config: Config) -> CuesOf | None:
    """The cues of any expression, made as those of the table are, if the run's localizer reads any.

    :class:`InputError` if the model that makes them is not there.
    """
    if not has_cues(config):
        return None
    decomposer = decomposer_of(config, threads=torch.get_num_threads())
    return lambda text: decomposer.decompose([text])[0].cues


def load_segmentor(config: Config, run: str) -> Viewer | SamViewer:
    """What gives a run's masks: its trained segmentor, or its localizer and SAM."""
    settings = run_config(config, run)
    if settings.segmentor.method != "sam" or not is_segmented(settings):
        return load_viewer(config, run, stage="segmentor")
    # segment_anything is not imported where it is not asked for
    from pipeline.steps.sam_segmentor import SamViewer, prompter_of

    localizer = load_viewer(config, run, stage="localizer")
    return SamViewer(localizer, prompter_of(settings), settings.segmentor.sam)


def slug(text: str) -> str:
    """The expression as part of a file name: a-z, 0-9 and dashes; never empty."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower())[:SLUG_LENGTH].strip("-")
    return words or "expression"


def box_of(mask: NDArray[np.bool_]) -> list[int] | None:
    """x, y, width and height in pixels of the box around a mask; None around nothing."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]


def draw_overlay(
    picture: NDArray[np.uint8], mask: NDArray[np.bool_], *, peak: tuple[int, int], text: str
) -> NDArray[np.uint8]:
    """Image, mask, peak and sentence; a small image is enlarged, a large one reduced."""
    side = min(max(SMALLEST_OVERLAY, *picture.shape[:2]), LARGEST_OVERLAY)
    drawn = overlay.tinted(
        overlay.fitted(picture, side), overlay.fitted_mask(mask, side), overlay.PREDICTION
    )
    place = overlay.fitted_point(*peak, picture.shape, side)
    drawn = overlay.with_peak(drawn, *place)
    return overlay.captioned(
        drawn, text, width=SMALLEST_OVERLAY, text_size=max(14, drawn.shape[1] // 32)
    )


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as partial:
        partial.write_bytes(content)


def _summary(found: list[dict[str, Any]], output: Path) -> str:
    """One line an expression, and where it all lies."""
    lines = [f"{'score':>5}  {'peak':>11}  {'box':>19}  {'mask':56}  expression"]
    for record in found:
        peak = ", ".join(str(value) for value in record["peak"])
        box = ", ".join(str(value) for value in record["box"] or ["nothing found"])
        lines.append(
            f"{record['score']:5.2f}  {peak:>11}  {box:>19}  {record['mask']:56}  "
            f"{record['expression']}"
        )
    return "\n".join([*lines, f"written to {output}: {2 * len(found)} pictures, predictions.json"])
