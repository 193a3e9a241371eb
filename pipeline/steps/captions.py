"""``ris captions``: other scenes and their captions, to pretrain the small CLIP."""

from __future__ import annotations

from pipeline.config import Config
from pipeline.layout import Layout
from pipeline.miniature import write_captions
from pipeline.steps.miniature import miniature_settings


def run(config: Config, *, processes: int) -> None:
    """Write the captions table."""
    write_captions(
        Layout.of(config).captions,
        settings=miniature_settings(config.miniature),
        objects=config.miniature.captions.objects,
        scenes=config.miniature.captions.scenes,
        processes=processes,
    )
