"""Published datasets, turned once into tables that know nothing of their origin."""

from collections.abc import Callable

from pipeline.datasets.images import ImageFolder
from pipeline.datasets.refer import image_folder, read_refer
from pipeline.datasets.tables import (
    DatasetTables,
    Sentence,
    read_expressions,
    read_images,
    read_objects,
    read_truth,
    write_tables,
)

READERS: dict[str, Callable[..., DatasetTables]] = {"refer": read_refer}
"""By format: ``READERS[name](folder, dataset=..., split_by=...)``."""

__all__ = [
    "READERS",
    "DatasetTables",
    "ImageFolder",
    "Sentence",
    "image_folder",
    "read_expressions",
    "read_images",
    "read_objects",
    "read_refer",
    "read_truth",
    "write_tables",
]
