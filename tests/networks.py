"""A tiny random CLIP and batches for it, for the tests of localizers and segmentors."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import torch

from pipeline.encoders.openclip import OpenClipEncoder, new_clip, vocabulary_of
from pipeline.encoders.vocabulary import Vocabulary
from pipeline.localizers.ehin import TERMS as EHIN_TERMS
from pipeline.localizers.ehin import EhinLocalizer
from pipeline.localizers.pcnet import TERMS as PCNET_TERMS
from pipeline.localizers.pcnet import PcnetLocalizer
from pipeline.localizers.tris import TrisLocalizer
from pipeline.records import Batch
from pipeline.segmentors.tris import TrisSegmentor

TEXTS = [
    "red circle",
    "the large blue square on the left",
    "green star",
    "small yellow ring above the square",
    "top",
    "blue",
]
SIDE = 32
CONTEXT = 12


@functools.cache
def vocabulary() -> Vocabulary:
    return vocabulary_of(TEXTS)


# What all localizers on the sphere are built with, at a small size.
SPHERE: dict[str, Any] = {
    "critic": None,
    "hidden": 24,
    "temperature": 0.07,
    "levels": (-1,),
    "coordinates": False,
    "projection": "random",
    "positives": "referent",
    "same_image": "ignore",
    "focal_power": 3.0,
    "focal_floor": 0.01,
    "cosine_floor": 1e-4,
    "cosine_ceiling": 0.9999,
}


def clip(
    seed: int,
    *,
    vision: dict[str, Any],
    width: int = 16,
    heads: int = 2,
    layers: int = 1,
    embed_dim: int = 16,
    output_stride: int = 16,
    normalise: str = "clip",
) -> OpenClipEncoder:
    """Random weights; `width`, `heads` and `layers` are the text tower's."""
    architecture = {
        "embed_dim": embed_dim,
        "vision_cfg": {"image_size": SIDE} | vision,
        "text_cfg": {
            "context_length": CONTEXT,
            "vocab_size": vocabulary().size,
            "width": width,
            "heads": heads,
            "layers": layers,
        },
    }
    return OpenClipEncoder(
        new_clip(architecture, seed),
        vocabulary(),
        architecture=architecture,
        output_stride=output_stride,
        context=CONTEXT,
        normalise=normalise,
    )


def encoder(seed: int, *, image_size: int = SIDE, normalise: str = "clip") -> OpenClipEncoder:
    """32, 64, 128, 256 channels at strides 4, 8, 16, 16; 16 wide text."""
    vision = {"image_size": image_size, "layers": [1, 1, 1, 1], "width": 8}
    return clip(seed, vision=vision, normalise=normalise)


def transformer() -> OpenClipEncoder:
    """One level of stride 8."""
    return clip(0, vision={"layers": 1, "width": 64, "patch_size": 8}, output_stride=8)


def localizer(**options: Any) -> TrisLocalizer:
    """The paper's settings at a small size; `critic` may be an encoder."""
    torch.manual_seed(0)
    settings = SPHERE | {
        "encoder": encoder(0),
        "alpha": 0.1,
        "prompt_texts": "batch",
        "positives": "text",
        "same_image": "negative",
        "terms": ("classification",),
    }
    return TrisLocalizer(**(settings | options))


def ehin(**options: Any) -> EhinLocalizer:
    """The paper's settings at a small size, with a critic and all terms."""
    torch.manual_seed(0)
    settings = SPHERE | {
        "encoder": encoder(0),
        "critic": encoder(4),  # whose cosines lie within the clamp, where there are gradients
        "prompts": 2,
        "residual": "twice",
        "alpha": 0.1,
        "beta": 0.05,
        "output": "added",
        "level": "early",
        "negatives": "sum_times_k",
        "similarity": "response",
        "terms": EHIN_TERMS,
    }
    return EhinLocalizer(**(settings | options))


def pcnet(**options: Any) -> PcnetLocalizer:
    """The paper's settings at a small size, with all terms."""
    torch.manual_seed(0)
    settings = SPHERE | {
        "encoder": encoder(0),
        "stages": 3,
        "modulation": "vta_tta",
        "visual": 0.1,
        "told": "cues",
        "negatives": "all",
        "stage_weights": (1, 1, 1),
        "answer": "last",
        "ras_alignment": "max",
        "background": "others",
        "earlier": "learns",
        "iad_alignment": "max",
        "form": "distance",
        "scores": "raw",
        "iad_temperature": 0.1,
        "others": 1,
        "terms": PCNET_TERMS,
    }
    return PcnetLocalizer(**(settings | options))


def segmentor(**options: Any) -> TrisSegmentor:
    """The paper's shape at a small size."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "encoder": encoder(0),
        "levels": (1, 2, 3),
        "hidden": 16,
        "widths": (32, 24, 16, 16, 8),
        "coordinates": False,
        "film": False,
        "loss": "bce",
        "loss_stride": 1,
    }
    return TrisSegmentor(**(settings | options))


def batch(rows: int, *, images: int | None = None, seed: int = 0, side: int = SIDE) -> Batch:
    """Random images, each with another text and two negatives; a mask of one quarter each.

    With fewer `images` than rows, neighbouring rows share one and speak of the same referent.
    """
    images = images or rows
    owner = torch.arange(rows) * images // rows
    generator = torch.Generator().manual_seed(seed)
    tokens = vocabulary().encode(TEXTS, CONTEXT)
    ids = torch.arange(rows) % len(TEXTS)
    masks = torch.zeros(rows, 1, side, side)
    for row in range(rows):
        top, left = (row % 2) * side // 2, (row // 2 % 2) * side // 2
        masks[row, 0, top : top + side // 2, left : left + side // 2] = 1
    return Batch(
        images=torch.randn(images, 3, side, side, generator=generator),
        owner=owner,
        tokens=tokens[ids],
        text_ids=ids,
        image_ids=owner,
        ref_ids=owner,
        negatives=torch.stack([tokens[(ids + 1) % 6], tokens[(ids + 2) % 6]], dim=1),
        masks=masks,
        seed=0,
    )


def told(plain: Batch, *, cues: int = 4, proposals: int = 5, cell: int = 16) -> Batch:
    """The batch with cues, random proposals of cells of 16 pixels, and a referent for each text.

    The last proposal of every image is padding.
    """
    generator = torch.Generator().manual_seed(1)
    side = plain.images.shape[-1] // cell
    masks = (
        torch.rand(len(plain.images), proposals, side, side, generator=generator) > 0.5
    ).float()
    masks[:, 0, 0, 0] = 1  # at least one proposal of each image is a mask
    masks[:, -1] = 0
    tokens = vocabulary().encode(TEXTS, CONTEXT)
    return dataclasses.replace(
        plain,
        ref_ids=torch.arange(len(plain.owner)),
        cues=tokens[(plain.text_ids[:, None] + torch.arange(cues)) % len(TEXTS)],
        proposals=masks,
    )


def repeated(shared: Batch) -> Batch:
    """The same rows, each with a copy of its image to itself."""
    rows = len(shared.owner)
    return dataclasses.replace(shared, images=shared.images[shared.owner], owner=torch.arange(rows))
