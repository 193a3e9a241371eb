"""Published datasets, turned once into tables that know nothing of their origin."""

from collections.abc import Callable
from pathlib import Path

from pipeline.datasets.images import ImageFolder
from pipeline.datasets.refer import image_folder, read_refer, source_files
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

SOURCES: dict[str, Callable[..., dict[str, Path]]] = {"refer": source_files}
"""By format, the files that the reader reads: ``SOURCES[name](folder, split_by=...)``."""

__all__ = [
    "READERS",
    "SOURCES",
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
