"""How well the configured SAM and proposals find the annotated objects of a held-out split.

    python experiments/analysis/sam_quality.py [--config config.yaml ...] [--split testA]
        [--images 200] [--methods superpixels sam]

Needs the dataset's tables and the SAM (`ris tables`, `ris pretrain-sam`). Prints a JSON object: IoU
by points, boxes and maps (`pipeline/steps/sam_probe.py` says what each is), and for each method of
proposals the mean IoU of an object and the best proposal, its recall, and their number.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.config import Config, load
from pipeline.datasets import read_objects
from pipeline.layout import Layout
from pipeline.steps.inputs import images_of, pictures_of
from pipeline.steps.propose import proposer_of
from pipeline.steps.sam_probe import Scene, prompted_quality, proposal_quality
from pipeline.steps.sam_segmentor import prompter_of
from pipeline.store import rle_decode


def scenes_of(config: Config, split: str, images: int) -> Iterator[Scene]:
    """The first images of a split with the masks of all their annotated objects."""
    records = images_of(config, [split])
    masks: dict[int, list[NDArray[np.bool_]]] = defaultdict(list)
    for thing in read_objects(Layout.of(config).table("objects")):
        if thing.image_id in records:
            masks[thing.image_id].append(rle_decode(thing.rle, thing.height, thing.width))
    pictures = pictures_of(config)
    for image_id in sorted(masks)[:images]:
        yield pictures.load(records[image_id]), np.stack(masks[image_id])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, nargs="+", default=[Path("config.yaml")])
    parser.add_argument("--split")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--methods", nargs="+", default=["superpixels", "sam"])
    options = parser.parse_args()
    config = load(options.config)
    split = options.split or config.dataset.headline
    scenes = list(scenes_of(config, split, options.images))
    found = {"prompts": prompted_quality(prompter_of(config), scenes, seed=config.seed)}
    for method in options.methods:
        section = config.proposals.model_copy(update={"method": method})
        propose, _ = proposer_of(config.model_copy(update={"proposals": section}))
        found[method] = proposal_quality(propose, scenes)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
