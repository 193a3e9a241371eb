"""Can the frozen CLIP judge masked images? TRIS's foreground and calibration terms rest on it.

For every expression of the headline split, the critic sees the image masked by the true mask of
each object, by pairs of objects, and unmasked. A critic that points at the referent answers:

- choice: the referent's own mask is the most similar to the text (chance: one in the objects);
- alone: the referent alone is more similar than the referent with any one other object;
- masked: the referent alone is more similar than the whole image.

    python experiments/analysis/critic_choice.py [--config config.yaml ...] [--images 200]

Needs the data and the small CLIP of a run; prints a table by style of sentence, in percent.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

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


def measure(config: Config, images: int) -> dict[str, list[tuple[bool, float, bool, bool]]]:
    """Style -> for each expression: choice, its chance, alone, masked."""
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
    found: dict[str, list[tuple[bool, float, bool, bool]]] = defaultdict(list)
    for key in list(truth.images())[:images]:
        annotated = truth.image(key)
        objects = annotated.objects
        if objects is None or len(objects) < 2:
            continue
        everything = np.ones((1, *annotated.size), dtype=bool)
        refs = np.array([ref for ref, _ in annotated.expressions])
        places = annotated.places(refs)
        own = annotated.masks[places]
        texts = list(annotated.expressions.values())
        pairs = {
            (i, j): objects[i] | objects[j]
            for i in range(len(objects))
            for j in range(i + 1, len(objects))
        }
        views = np.concatenate([objects, everything, np.stack(list(pairs.values()))])
        cosines = answers(critic, pictures.load(records[key[2]]), views, texts)
        for column, text in enumerate(texts):
            (same,) = np.flatnonzero((objects == own[column]).all(axis=(1, 2)))[:1]
            alone, whole = cosines[same, column], cosines[len(objects), column]
            together = [
                cosines[len(objects) + 1 + row, column]
                for row, pair in enumerate(pairs)
                if same in pair
            ]
            found[style_of(text)].append(
                (
                    bool(cosines[: len(objects), column].argmax() == same),
                    1 / len(objects),
                    bool(alone > max(together)),
                    bool(alone > whole),
                )
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, nargs="+", default=[Path("config.yaml")])
    parser.add_argument("--images", type=int, default=200)
    options = parser.parse_args()
    print(f"{'style':12}{'number':>8}{'choice':>8}{'chance':>8}{'alone':>8}{'masked':>8}")
    for style, rows in sorted(measure(load(options.config), options.images).items()):
        means = np.mean(np.array(rows, dtype=float), axis=0) * 100
        print(f"{style:12}{len(rows):8}" + "".join(f"{value:8.1f}" for value in means))


if __name__ == "__main__":
    main()
