"""``ris mask-scenes``: other scenes and the masks of their objects, to pretrain the small SAM."""

from __future__ import annotations

from pipeline.config import Config
from pipeline.layout import Layout
from pipeline.miniature.mask_scenes import write_mask_scenes
from pipeline.steps.miniature import miniature_settings


def run(config: Config, *, processes: int) -> None:
    """Write the table of scenes."""
    write_mask_scenes(
        Layout.of(config).mask_scenes,
        settings=miniature_settings(config.miniature),
        scenes=config.small_sam.scenes,
        processes=processes,
    )
