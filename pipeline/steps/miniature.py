"""``ris miniature``: draw the procedural dataset, in REFER format."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Config, Miniature
from pipeline.miniature import MiniatureSettings, SceneSettings, SplitSizes, write_refer


def miniature_settings(section: Miniature) -> MiniatureSettings:
    """The room's own settings, of the configuration's."""
    return MiniatureSettings(
        seed=section.seed,
        splits=SplitSizes(**section.splits.model_dump()),
        scene=SceneSettings(**section.scene.model_dump()),
    )


def run(config: Config, *, processes: int) -> None:
    """Write ``dataset.folder`` (REFER layout)."""
    write_refer(
        Path(config.dataset.folder), miniature_settings(config.miniature), processes=processes
    )
