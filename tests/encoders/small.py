"""Small random encoders, made in milliseconds."""

from __future__ import annotations

from typing import Any

from pipeline.encoders.openclip import OpenClipEncoder, new_clip, vocabulary_of

TEXTS = ["the red circle on the left", "a large striped star", "blue square behind the ring"]
RESNET: dict[str, Any] = {"layers": [1, 1, 1, 1], "width": 8, "head_width": 32, "image_size": 64}
VIT: dict[str, Any] = {
    "layers": 2,
    "width": 32,
    "head_width": 16,
    "patch_size": 16,
    "image_size": 64,
}


def encoder(vision: dict[str, Any] = RESNET, *, seed: int = 0, **options: Any) -> OpenClipEncoder:
    """In evaluation mode, at its tower's own strides."""
    vocabulary = vocabulary_of(TEXTS)
    architecture = {
        "embed_dim": 24,
        "vision_cfg": vision,
        "text_cfg": {
            "context_length": 20,
            "vocab_size": vocabulary.size,
            "width": 16,
            "heads": 2,
            "layers": 2,
        },
    }
    settings = {"output_stride": None, "context": 20, "normalise": "clip"} | options
    return OpenClipEncoder(
        new_clip(architecture, seed), vocabulary, architecture=architecture, **settings
    ).eval()
