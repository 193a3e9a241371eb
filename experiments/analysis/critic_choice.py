"""Can the frozen CLIP judge masked images? Terms of TRIS and of EHIN (its ECLM) rest on it.

For every expression of the headline split, the critic sees the image masked by the true mask of
each object, by pairs of objects, and unmasked. A critic that points at the referent answers:

- choice: the referent's own mask is the most similar to the text (chance: one in the objects);
- alone: the referent alone is more similar than the referent with any one other object;
- masked: the referent alone is more similar than the whole image.

A second table tells what those terms would say of a perfect map and of others, the mean over all
expressions: the image masked to the referent, to it and one other object, to one other object, to
nothing, and unmasked. `own` is -log S of the expression itself (TRIS's foreground), `others` the
mean of -log(1 - S) over expressions of the image's other referents (TRIS's calibration);
`eclm_mean` and `eclm_sum` are EHIN's Eq. 15 with K = 6 under its two rules. What is least is what
a map is drawn to.

    python experiments/analysis/critic_choice.py [--config config.yaml ...] [--images 200]

Needs the data and the small CLIP of a run; prints both tables, the first by style of sentence, in
percent.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.config import Config, load
from pipeline.evaluation import GroundTruth, style_of
from pipeline.layout import Layout
from pipeline.localizers.critic import Critic
from pipeline.steps.inputs import encoder_of, images_of, pictures_of
from pipeline.store import read_table

CERTAIN = 30.0  # a logit whose sigmoid is 0 or 1
NEGATIVES = 6  # K of EHIN


@torch.no_grad()
def answers(
    critic: Critic, image: NDArray[np.uint8], masks: NDArray[np.bool_], texts: list[str]
) -> NDArray[np.float32]:
    """Cosines (V, E) of V masked views of an image (H, W, 3) with E texts; `masks` (V, H, W)."""
    encoder = critic.encoder
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (encoder.mean, encoder.std))
    pixels = (torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255 - mean) / std
    logits = torch.from_numpy(masks)[:, None].float() * (2 * CERTAIN) - CERTAIN
    tokens = encoder.tokenize(texts)[None].expand(len(masks), -1, -1)
    found: Tensor = critic.similarity(pixels.expand(len(masks), -1, -1, -1), logits, tokens)
    return found.numpy()


class Row(NamedTuple):
    """One expression. terms: view -> `own`, `others` of the second table."""

    style: str
    choice: bool
    chance: float
    alone: bool
    masked: bool
    terms: dict[str, tuple[float, float]]


def measure(config: Config, images: int) -> Iterator[Row]:
    """The expressions of the headline split's first images that have two objects or more."""
    layout, split = Layout.of(config), config.dataset.headline
    truth = GroundTruth(
        expressions=read_table(layout.table("expressions"), kind="expressions"),
        truth=read_table(layout.table("truth"), kind="truth"),
        objects=read_table(layout.table("objects"), kind="objects"),
        splits=[split],
        text=config.dataset.text,
    )
    encoder = encoder_of(config.critic, seed=config.seed)
    critic = Critic(encoder, mean=encoder.mean, std=encoder.std)
    records, pictures = images_of(config, [split]), pictures_of(config)
    bounds = (config.localizer.cosine_floor, config.localizer.cosine_ceiling)
    for key in list(truth.images())[:images]:
        annotated = truth.image(key)
        objects = annotated.objects
        if objects is None or len(objects) < 2:
            continue
        refs = np.array([ref for ref, _ in annotated.expressions])
        own = annotated.masks[annotated.places(refs)]
        texts = list(annotated.expressions.values())
        pairs = list(combinations(range(len(objects)), 2))
        views = np.stack(
            [
                *objects,
                *(objects[i] | objects[j] for i, j in pairs),
                np.ones(annotated.size, dtype=bool),
                np.zeros(annotated.size, dtype=bool),
            ]
        )
        cosines = answers(critic, pictures.load(records[key[2]]), views, texts)
        for column, text in enumerate(texts):
            (same,) = np.flatnonzero((objects == own[column]).all(axis=(1, 2)))[:1]
            near = [len(objects) + row for row, pair in enumerate(pairs) if same in pair]
            look = {
                "referent": [same],
                "with another": near,
                "another": [place for place in range(len(objects)) if place != same],
                "unmasked": [len(views) - 2],
                "nothing": [len(views) - 1],
            }
            said = cosines.clip(*bounds)
            far = -np.log1p(-said[:, refs != refs[column]]).mean(axis=1)
            near_own = -np.log(said[:, column])
            yield Row(
                style_of(text),
                bool(cosines[: len(objects), column].argmax() == same),
                1 / len(objects),
                bool(cosines[same, column] > cosines[near, column].max()),
                bool(cosines[same, column] > cosines[-2, column]),
                {name: (near_own[rows].mean(), far[rows].mean()) for name, rows in look.items()}
                if (refs != refs[column]).any()
                else {},
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, nargs="+", default=[Path("config.yaml")])
    parser.add_argument("--images", type=int, default=200)
    options = parser.parse_args()
    rows = list(measure(load(options.config), options.images))
    print(f"{'style':14}{'number':>8}{'choice':>8}{'chance':>8}{'alone':>8}{'masked':>8}")
    for style in sorted({row.style for row in rows}):
        chosen = [row[1:5] for row in rows if row.style == style]
        means = np.mean(np.array(chosen, dtype=float), axis=0) * 100
        print(f"{style:14}{len(chosen):8}" + "".join(f"{value:8.1f}" for value in means))
    print(f"\n{'view':14}{'own':>10}{'others':>10}{'eclm_mean':>10}{'eclm_sum':>10}")
    terms = [row.terms for row in rows if row.terms]
    for view in terms[0]:
        own, others = np.mean([found[view] for found in terms], axis=0)
        values = (own, others, own + others, own + NEGATIVES**2 * others)
        print(f"{view:14}" + "".join(f"{value:10.3f}" for value in values))


if __name__ == "__main__":
    main()
