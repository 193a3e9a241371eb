"""``ris pretrain-sam``: the miniature's own SAM, of segment_anything's classes, from masks."""

from __future__ import annotations

import json
import sys
from dataclasses import fields

from pipeline.config import Config
from pipeline.encoders.sam import SamShape, new_sam, save_sam
from pipeline.encoders.sam_prompts import SamPrompter
from pipeline.inference import device_of
from pipeline.layout import Layout
from pipeline.miniature.mask_scenes import read_mask_scenes
from pipeline.miniature.small_sam import PromptBatches, PromptsPerImage, SmallSamPretraining
from pipeline.steps.fitting import pretrain
from pipeline.steps.sam_probe import prompted_quality, scenes_with_masks
from pipeline.store import write_json


def run(config: Config) -> None:
    """Write the small SAM's folder, its curves, and how well it segments scenes it has not seen."""
    section = config.small_sam
    layout = Layout.of(config)
    scenes, held_out = read_mask_scenes(layout.mask_scenes).split(section.held_out)
    shape = small_shape(config)
    sam = new_sam(shape, seed=config.seed)
    files = layout.small_sam_files
    is_saved = pretrain(
        config,
        SmallSamPretraining(sam, winner=section.winner),
        PromptBatches(
            scenes,
            PromptsPerImage(**section.prompts.model_dump()),
            grid=shape.image_size // shape.patch_size,
            steps=section.steps,
            batch_size=section.batch_size,
            seed=config.seed,
        ),
        name="small_sam",
        stage="pretrain_sam",
        section=section.optimisation,
        loss_weights=section.loss_weights.model_dump(),
        inputs={"scenes": layout.mask_scenes},
        folder=layout.small_sam,
        curves=files["curves"],
        threads=config.machine.pretraining_threads,
        save=lambda: save_sam(sam, shape, layout.small_sam),
    )
    if not is_saved:
        return
    prompter = SamPrompter(
        sam,
        device=device_of(config.machine.accelerator),
        prompts_per_batch=section.batch_size,
    )
    found = prompted_quality(prompter, scenes_with_masks(held_out), seed=config.seed)
    write_json(files["probe"], found)
    print("small SAM on held-out scenes:", json.dumps(found), file=sys.stderr)


def small_shape(config: Config) -> SamShape:
    """The configured sizes; images are the scene's canvas."""
    names = {field.name for field in fields(SamShape)}
    sizes = config.small_sam.model_dump(include=names)
    blocks = tuple(sizes.pop("global_blocks"))
    return SamShape(image_size=config.miniature.scene.canvas, global_blocks=blocks, **sizes)
