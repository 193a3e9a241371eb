"""Pictures with captions for pretraining a small CLIP: another seed stream than the dataset.

The captions only describe; unlike the dataset's sentences they need not single anything out. The
compositions held out of training are held out here too, so that testB stays new to every model.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.miniature import phrases
from pipeline.miniature.attributes import ATTRIBUTES, COMMON_PAIRS
from pipeline.miniature.examples import CAPTION_STREAM, MiniatureSettings, generator
from pipeline.miniature.language import noun_phrase, place_phrase
from pipeline.miniature.refer_format import in_order, jpeg
from pipeline.miniature.render import Image, render
from pipeline.miniature.scenes import (
    Scene,
    SceneObject,
    SceneSettings,
    make_background,
    make_object,
    pick,
    random_kind,
    sample_scene,
    uniform,
)
from pipeline.miniature.shapes import ANGLE_STEPS, direction
from pipeline.miniature.truth import Facts

Row = tuple[bytes, str, str]  # JPEG, caption, kind
JPEG_QUALITY = 90
_ROWS_A_GROUP = 4096
_SCHEMA = pa.schema([("image", pa.binary()), ("caption", pa.string()), ("kind", pa.string())])


def _some_attributes(rng: np.random.Generator) -> tuple[str, ...]:
    """At least two of the four attributes, mostly all."""
    count = pick(rng, (2, 3, 3, 4, 4, 4, 4, 4))
    order = sorted(ATTRIBUTES, key={a: float(rng.random()) for a in ATTRIBUTES}.__getitem__)
    # A description without a shape is rarer than one without another attribute, as in the dataset.
    if "shape" not in order[:count] and rng.random() < 0.6:
        order[0], order[order.index("shape")] = "shape", order[0]
    return tuple(a for a in ATTRIBUTES if a in order[:count])


def object_example(
    rng: np.random.Generator, settings: SceneSettings, size_px: int = 64
) -> tuple[Image, str]:
    """One object at the size it has in a scene, uint8 (size_px,size_px,3), and its caption.

    A third of the pictures have everything but the object blacked or greyed out: a CLIP that has
    seen masked pictures is a better critic of masked pictures.
    """
    middle = size_px / 2
    slack = size_px * 0.11
    main = make_object(
        rng,
        random_kind(rng, COMMON_PAIRS),
        middle + uniform(rng, -slack, slack),
        middle + uniform(rng, -slack, slack),
        settings.canvas,
    )
    things = [main]
    setting = pick(rng, ("scene", "scene", "neighbour", "neighbour", "masked", "masked", "plain"))
    if setting == "neighbour" or (setting == "masked" and rng.random() < 0.4):
        # A piece of something else at the border, behind or, less often, in front.
        x, y = direction(int(rng.integers(ANGLE_STEPS)))
        reach = size_px * uniform(rng, 0.5, 0.62)
        other = make_object(
            rng,
            random_kind(rng, COMMON_PAIRS),
            middle + reach * x,
            middle + reach * y,
            settings.canvas,
        )
        things.insert(0 if rng.random() < 0.75 else 1, other)
    back = make_background(rng, settings)
    # Fragments by area: a small picture of the same world has fewer of them.
    share = (size_px / settings.canvas) ** 2
    back = replace(
        back,
        kind="plain" if setting == "plain" else back.kind,
        clutter=0 if setting == "plain" else int(back.clutter * share + float(rng.random())),
    )
    image, visible = render(Scene(tuple(things), size_px, back), rng)
    if setting == "masked":
        level = 0 if rng.random() < 0.6 else int(rng.integers(60, 200))
        image = np.where(visible[things.index(main)][..., None], image, np.uint8(level))
    return image, _object_caption(main, rng)


def _object_caption(thing: SceneObject, rng: np.random.Generator) -> str:
    said = noun_phrase(thing, _some_attributes(rng), rng, tails="any")
    return pick(rng, phrases.CAPTIONS).format(np=said)


def _scene_caption(scene: Scene, facts: Facts, rng: np.random.Generator) -> str:
    """One to three objects, often with where they are, in the picture or beside another."""
    everything = sorted(facts.all)
    order = sorted(everything, key=[float(rng.random()) for _ in everything].__getitem__)
    parts: list[str] = []
    for i in order[: pick(rng, (1, 1, 2, 2, 2, 3))]:
        attributes = _some_attributes(rng)
        said = noun_phrase(scene.objects[i], attributes, rng, tails="with" if parts else "any")
        draw = rng.random()
        if draw < 0.4 and (places := _places(facts, i)):
            said = place_phrase(pick(rng, places), said, rng)
        elif draw < 0.75 and (relations := _relations(facts, i)):
            name, anchor = pick(rng, relations)
            other = noun_phrase(scene.objects[anchor], _some_attributes(rng), rng, tails="")
            article = pick(rng, ("a", "the"))
            said = f"{said} {pick(rng, phrases.RELATIONS[name])} {article} {other}"
        elif rng.random() < 0.6:
            said = f"a {said}"
        parts.append(said)
    return pick(rng, (" and ", ", ")).join(parts)


def _places(facts: Facts, index: int) -> list[tuple[str, ...]]:
    sides = ("left", "right", "top", "bottom")
    found: list[tuple[str, ...]] = [("side", s) for s in sides if index in facts.side(s).yes]
    for v in ("top", "bottom"):
        for h in ("left", "right"):
            if index in facts.corner(v, h).yes:
                found += [("corner", v, h)] * 3
    if index in facts.middle().yes:
        found += [("middle",)] * 3
    for side in sides:
        if facts.rank(index, side, facts.all) == 0:
            found.append(("rank", "0", side))
    return found


def _relations(facts: Facts, index: int) -> list[tuple[str, int]]:
    return [
        (name, anchor)
        for anchor in sorted(facts.all - {index})
        for name in phrases.RELATIONS
        if name != "closest" and index in facts.relation(name, anchor).yes
    ]


def scene_example(rng: np.random.Generator, settings: SceneSettings) -> tuple[Image, str]:
    """A whole scene, uint8 (canvas,canvas,3), and a caption of some of its objects."""
    scene = sample_scene(rng, settings, allowed=COMMON_PAIRS)
    image, visible = render(scene, rng)
    return image, _scene_caption(scene, Facts(scene, visible), rng)


def _row(settings: MiniatureSettings, objects: int, object_px: int, index: int) -> Row:
    rng = generator(settings.seed, CAPTION_STREAM, index)
    if index < objects:
        image, caption = object_example(rng, settings.scene, object_px)
    else:
        image, caption = scene_example(rng, settings.scene)
    return jpeg(image, JPEG_QUALITY), caption, "object" if index < objects else "scene"


def write_captions(
    path: Path | str,
    *,
    settings: MiniatureSettings,
    objects: int,
    scenes: int,
    processes: int,
    object_px: int = 64,
) -> None:
    """One parquet file: image (JPEG bytes), caption, kind ('object' or 'scene'); objects first.

    Row ``i`` depends on the seed and ``i`` (and on whether it is an object) alone. The file
    appears whole or not at all.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    work = partial(_row, settings, objects, object_px)
    try:
        with pq.ParquetWriter(draft, _SCHEMA) as writer:
            rows: list[Row] = []
            for row in in_order(work, objects + scenes, processes, "captions"):
                rows.append(row)
                if len(rows) == _ROWS_A_GROUP:
                    writer.write_table(_table(rows))
                    rows = []
            if rows:
                writer.write_table(_table(rows))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _table(rows: list[Row]) -> pa.Table:
    images, captions, kinds = zip(*rows, strict=True)
    return pa.table([list(images), list(captions), list(kinds)], schema=_SCHEMA)
