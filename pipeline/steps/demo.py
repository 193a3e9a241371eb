"""``ris demo``: what a trained run makes of a few held-out images, or of yours, in one picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.config import Config, run_config
from pipeline.evaluation import binarise_logits, convention, read_responses
from pipeline.inference import Item
from pipeline.layout import Layout
from pipeline.metrics import peaks
from pipeline.records import Expression
from pipeline.report import overlay
from pipeline.report.gallery import picture_grid
from pipeline.report.views import View
from pipeline.runs import is_segmented, is_supervised
from pipeline.safety import InputError
from pipeline.steps.inputs import by_image, expressions_of, images_of, pictures_of
from pipeline.steps.predict import checked_request, chosen_run, load_segmentor, load_viewer
from pipeline.steps.segment import confidence
from pipeline.store import atomic_path

IMAGES = 4  # that are drawn from the held-out split
EXPRESSIONS = 2  # of each, about different objects
SIDE = 192  # pixels of a panel's longer side


def run(
    config: Config,
    *,
    run: str | None,
    image: Path | None,
    expressions: list[str],
    output: Path | None,
) -> None:
    """Write one PNG with a row an expression: the picture, Stage-1's response, the prediction.

    Without ``image``, a few images of the headline split with sentences of theirs, always the same
    for a seed. A supervised run has no response, and a run without Stage-2 no prediction. The
    picture is called after the run, in the folder ``output`` or else in ``demo`` among the results.
    :class:`InputError` as for ``ris predict``, and if the dataset's tables are missing.
    """
    name = chosen_run(config, run)
    items = held_out(config) if image is None else [checked_request(image, expressions)]
    views = look(config, name, items)
    folder = Layout.of(config).results / "demo" if output is None else output
    path = folder / f"{name}.png"
    notes = [{"prediction": note} for _, note in views]
    content = overlay.encoded(picture_grid([v for v, _ in views], side=SIDE, notes=notes), "png")
    try:
        with atomic_path(path) as partial:
            partial.write_bytes(content)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror})") from None
    print(f"{len(views)} expressions on {len(items)} images, run {name}: {path}")


def held_out(config: Config) -> list[Item]:
    """Images of the headline split with sentences about different objects, drawn by the seed."""
    split = [config.dataset.headline]
    groups = [group for _, group in by_image(expressions_of(config, split))]
    images, pictures = images_of(config, split), pictures_of(config)
    rng = np.random.default_rng(config.seed)
    chosen = sorted(rng.permutation(len(groups))[:IMAGES].tolist())
    return [
        (pictures.load(images[group[0].image_id]), _one_a_referent(group, rng))
        for group in (groups[place] for place in chosen)
    ]


def _one_a_referent(group: Sequence[Expression], rng: np.random.Generator) -> list[str]:
    """One sentence about each of the first few objects of an image."""
    shuffled = [group[place] for place in rng.permutation(len(group))]
    found = {expression.ref_id: expression.text for expression in shuffled}
    return list(found.values())[:EXPRESSIONS]


def look(config: Config, run: str, items: Sequence[Item]) -> list[tuple[View, str]]:
    """What the run's networks see for every expression, and the score in words."""
    settings = run_config(config, run)
    rule = convention(settings.evaluation.convention)
    total, size = len(items), settings.encoder.image_size
    responses: Iterable[NDArray[np.float32] | None] = [None] * total
    if not is_supervised(settings):
        localizer = load_viewer(config, run, stage="localizer")
        responses = list(localizer.respond(items, total=total, title=f"respond {run}"))
    logits: Iterable[NDArray[np.float32] | None] = [None] * total
    if is_segmented(settings):
        segmentor = load_segmentor(config, run)
        logits = segmentor.segment(items, total=total, title=f"segment {run}")
    found = []
    for (picture, texts), raw, scores in zip(items, responses, logits, strict=True):
        heats: Sequence[NDArray[np.float32] | None] = [None] * len(texts)
        if raw is not None:
            shape = (picture.shape[0], picture.shape[1])
            heats = list(read_responses(raw, size=shape, input_size=(size, size), convention=rule))
        known: Sequence[NDArray[np.float32] | None] = [None] * len(texts)
        for text, heat, one in zip(texts, heats, known if scores is None else scores, strict=True):
            mask = None if one is None else binarise_logits(one, rule.binarise)
            view = View(
                text=text,
                picture=picture,
                truth=None,
                heat=heat,
                heat_peak=None if heat is None or not heat.any() else _peak(heat),
                pseudo_label=None,
                prediction=mask,
                prediction_peak=None if one is None else _peak(one),
            )
            found.append((view, _score(one, mask)))
    return found


def _score(logits: NDArray[np.float32] | None, mask: NDArray[np.bool_] | None) -> str:
    """What to say below a prediction; nothing where there is none."""
    if logits is None or mask is None:
        return ""
    return f"score {100 * confidence(logits, mask):.0f}" if mask.any() else "nothing found"


def _peak(values: NDArray[np.float32]) -> tuple[float, float]:
    """x and y of the largest value, in pixels."""
    x, y = peaks(values[None])[0].tolist()
    return float(x), float(y)
