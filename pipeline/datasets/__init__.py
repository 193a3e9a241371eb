"""Published datasets and your own, turned once into tables that know nothing of their origin."""

from collections.abc import Callable
from pathlib import Path

from pipeline.datasets.categories import split_by_category
from pipeline.datasets.counts import check_category_counts, check_counts
from pipeline.datasets.grefs import grefs_sources, read_grefs
from pipeline.datasets.images import ImageFolder
from pipeline.datasets.options import ReadOptions
from pipeline.datasets.overlap import (
    Overlap,
    overlaps_of,
    pictures_by_split,
    without_pictures,
)
from pipeline.datasets.own import own_sources, read_own
from pipeline.datasets.pictures import image_folder, with_pictures
from pipeline.datasets.refer import read_refer, refer_sources
from pipeline.datasets.referit import read_referit, referit_sources
from pipeline.datasets.sampling import restricted, sampled, without_small_boxes
from pipeline.datasets.tables import (
    DatasetTables,
    Sentence,
    no_target_split,
    read_expressions,
    read_images,
    read_objects,
    read_truth,
    write_tables,
)

READERS: dict[str, Callable[..., DatasetTables]] = {
    "refer": read_refer,
    "grefs": read_grefs,
    "referit": read_referit,
    "csv": read_own,
}
"""By format: ``READERS[name](folder, dataset=..., options=ReadOptions(...))``."""

SOURCES: dict[str, Callable[..., dict[str, Path]]] = {
    "refer": refer_sources,
    "grefs": grefs_sources,
    "referit": referit_sources,
    "csv": own_sources,
}
"""By format, the files that the reader reads: ``SOURCES[name](folder, options=...)``."""

__all__ = [
    "READERS",
    "SOURCES",
    "DatasetTables",
    "ImageFolder",
    "Overlap",
    "ReadOptions",
    "Sentence",
    "check_category_counts",
    "check_counts",
    "image_folder",
    "no_target_split",
    "overlaps_of",
    "pictures_by_split",
    "read_expressions",
    "read_grefs",
    "read_images",
    "read_objects",
    "read_own",
    "read_refer",
    "read_referit",
    "read_truth",
    "restricted",
    "sampled",
    "split_by_category",
    "with_pictures",
    "without_pictures",
    "without_small_boxes",
    "write_tables",
]
