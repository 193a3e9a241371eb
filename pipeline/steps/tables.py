"""``ris tables``: from a published dataset to tables that know nothing of its format."""

from __future__ import annotations

from pipeline.config import Config
from pipeline.datasets import READERS, SOURCES, write_tables
from pipeline.layout import Layout
from pipeline.runs import step_settings
from pipeline.safety import InputError
from pipeline.store import digest_file, digest_of


def run(config: Config) -> None:
    """Write expressions, images, truth and objects; every configured split must be there."""
    dataset = config.dataset
    tables = READERS[dataset.reader](
        dataset.folder, dataset=dataset.name, split_by=dataset.split_by
    )
    sources = SOURCES[dataset.reader](dataset.folder, split_by=dataset.split_by)
    found = {expression.split for expression in tables.expressions}
    missing = [split for split in dataset.splits if split not in found]
    if missing:
        raise InputError(
            f"dataset.train, dataset.evaluate: {dataset.folder} has no split {missing[0]!r}; "
            f"it has {', '.join(sorted(found))}"
        )
    write_tables(
        Layout.of(config).table("expressions").parent,
        tables,
        config_digest=digest_of(step_settings(config, None, "tables")),
        inputs={name: digest_file(path) for name, path in sources.items()},
    )
