"""What ``ris check`` says of a dataset itself: your own list read to its end, images shared."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.config import Config
from pipeline.datasets import overlaps_of, pictures_by_split, read_images
from pipeline.layout import Layout
from pipeline.safety import InputError
from pipeline.steps.reading import read_dataset


def examine(config: Config) -> Iterator[str]:
    """Lines to print.

    InputError, at the end, lists every mistake of a dataset of your own by its line.
    """
    yield from _shared_images(config)
    if config.dataset.reader == "csv":
        yield from _own_list(config)


def _own_list(config: Config) -> Iterator[str]:
    """The list, its pictures and masks, as ``ris tables`` will read them."""
    tables = read_dataset(config.dataset)
    for split in config.dataset.splits:
        images = sum(row.split == split for row in tables.images)
        spoken = [row for row in tables.expressions if row.split == split]
        referents = {row.ref_id for row in spoken}
        masked = sum(row.split == split for row in tables.truth)
        yield (
            f"own data       {split}: {images:,} pictures, {len(spoken):,} expressions of "
            f"{len(referents):,} referents, {masked:,} of them with a mask"
        )


def _shared_images(config: Config) -> Iterator[str]:
    """Pictures in several splits of the datasets whose tables have been made here."""
    found: dict[str, set[str]] = {}
    for path in sorted(Layout.of(config).table("images").parent.parent.glob("*/images.parquet")):
        try:
            pictures = pictures_by_split(read_images(path, split=None))
        except InputError:
            continue  # the table of artifacts says that it is damaged
        found |= {f"{path.parent.name} {split}": names for split, names in pictures.items()}
    for overlap in overlaps_of(found):
        yield f"shared images  {overlap}"
