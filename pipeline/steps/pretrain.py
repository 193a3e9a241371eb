"""``ris pretrain``: the miniature's own CLIP, of open_clip's classes, from captioned pictures."""

from __future__ import annotations

import json
import sys
from typing import Any

from pipeline.config import Config
from pipeline.encoders.openclip import OpenClipEncoder, new_clip, vocabulary_of
from pipeline.layout import Layout
from pipeline.miniature.small_clip import (
    CaptionBatches,
    Phase,
    SmallClipPretraining,
    inverse_frequencies,
    read_captions,
    zero_shot,
)
from pipeline.steps.fitting import pretrain


def run(config: Config) -> None:
    """Write the small CLIP's folder and its curves; say how well it names what it has not seen."""
    section = config.small_clip
    layout = Layout.of(config)
    objects, held_out = read_captions(layout.captions, "object").split(section.held_out)
    pictures = {"object": objects, "scene": read_captions(layout.captions, "scene")}
    captions = [caption for part in pictures.values() for caption in part.captions]
    vocabulary = vocabulary_of(captions)
    architecture = small_architecture(config, vocabulary.size)
    clip = new_clip(architecture, seed=config.seed)
    encoder = OpenClipEncoder(
        clip,
        vocabulary,
        architecture=architecture,
        output_stride=config.encoder.output_stride if section.vision == "resnet" else None,
        context=config.encoder.context,
        normalise=config.encoder.normalise,
    )
    weights = inverse_frequencies(encoder.tokenize(captions), vocabulary.size)
    network = SmallClipPretraining(encoder, encoder.logit_scale, weights, seed=config.seed)
    is_saved = pretrain(
        config,
        network,
        CaptionBatches(
            pictures,
            [Phase(**phase.model_dump()) for phase in section.phases],
            encoder=encoder,
            group=section.group,
            seed=config.seed,
        ),
        name="small_clip",
        stage="pretrain",
        section=section.optimisation,
        loss_weights=section.loss_weights.model_dump(),
        inputs={"captions": layout.captions},
        folder=layout.small_clip,
        curves=layout.small_clip_files["curves"],
        threads=config.machine.pretraining_threads,
        save=lambda: encoder.save(layout.small_clip),
    )
    if is_saved:
        found = zero_shot(encoder, held_out, batch_size=section.phases[0].batch_size)
        print("zero-shot accuracy on held-out objects:", json.dumps(found), file=sys.stderr)


def small_architecture(config: Config, vocabulary_size: int) -> dict[str, Any]:
    """Keyword arguments of open_clip's CLIP."""
    section = config.small_clip
    vision: dict[str, Any] = {
        "image_size": config.miniature.scene.canvas,
        "width": section.vision_width,
        "head_width": min(64, section.vision_width * 32),
    }
    if section.vision == "resnet":
        vision["layers"] = section.vision_layers
    else:
        vision |= {"layers": sum(section.vision_layers), "patch_size": section.patch_size}
        vision["head_width"] = 32
    return {
        "embed_dim": section.embed_dim,
        "vision_cfg": vision,
        "text_cfg": {
            "context_length": config.encoder.context,
            "vocab_size": vocabulary_size,
            "width": section.text_width,
            "heads": section.text_heads,
            "layers": section.text_layers,
        },
    }
