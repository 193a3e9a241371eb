"""``ris tables``: from a published dataset to tables that know nothing of its format."""

from __future__ import annotations

from pipeline.config import Config
from pipeline.datasets import image_folder, with_pictures, write_tables
from pipeline.layout import Layout
from pipeline.runs import step_settings
from pipeline.steps.reading import read_dataset, sources_of
from pipeline.store import digest_file, digest_of


def run(config: Config) -> None:
    """Write expressions, images, truth and objects of the configured splits; all must be there."""
    dataset = config.dataset
    tables = with_pictures(read_dataset(dataset), image_folder(dataset.folder))
    write_tables(
        Layout.of(config).table("expressions").parent,
        tables,
        config_digest=digest_of(step_settings(config, None, "tables")),
        inputs={name: digest_file(path) for name, path in sources_of(dataset).items()},
    )
