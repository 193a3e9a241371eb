"""What several steps read in the same way: encoders, pictures, expressions of some splits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from pipeline import config as schema
from pipeline.datasets import ImageFolder, image_folder, read_expressions, read_images
from pipeline.encoders import Encoder, build_encoder
from pipeline.layout import Layout
from pipeline.records import Expression, ImageRecord
from pipeline.store import read_table


def encoder_of(section: schema.Encoder, *, seed: int) -> Encoder:
    """The encoder that a section of the configuration names."""
    return build_encoder(
        model=section.model,
        pretrained=section.pretrained,
        output_stride=section.output_stride,
        context=section.context,
        normalise=section.normalise,
        seed=seed,
    )


def files_of(section: schema.Encoder, *, name: str) -> dict[str, Path]:
    """The files of an encoder: those in its folder, or its weights; none of open_clip's own."""
    if section.pretrained is not None and Path(section.pretrained).is_file():
        return {f"{name} weights": Path(section.pretrained)}
    folder = Path(section.model)
    if not folder.is_dir():
        return {}
    kinds = {".safetensors", ".json"}
    return {
        f"{name} {path.name}": path for path in sorted(folder.iterdir()) if path.suffix in kinds
    }


def pictures_of(config: schema.Config) -> ImageFolder:
    """The dataset's pictures, with the configured cache.

    Published masks are defined on the stored pixels; your own pictures are seen as they are shown.
    """
    return ImageFolder(
        image_folder(config.dataset.folder),
        cache_mb=config.machine.image_cache_mb,
        upright=config.dataset.reader == "csv",
    )


def expressions_of(config: schema.Config, splits: Iterable[str]) -> list[Expression]:
    """The expressions of some splits as methods see them, by image."""
    path = Layout.of(config).table("expressions")
    found = [
        expression
        for split in splits
        for expression in read_expressions(path, split=split, text=config.dataset.text)
    ]
    return sorted(found, key=lambda e: (e.image_id, e.split, e.sent_id))


def images_of(config: schema.Config, splits: Iterable[str]) -> dict[int, ImageRecord]:
    """The images of some splits by id."""
    path = Layout.of(config).table("images")
    return {
        record.image_id: record for split in splits for record in read_images(path, split=split)
    }


def cues_of(paths: Iterable[Path]) -> dict[tuple[str, int, int], tuple[str, ...]]:
    """(split, ref_id, sent_id) -> the cues of the expression, coarse to fine, of all shards."""
    names = ["split", "ref_id", "sent_id", "cues"]
    tables = [read_table(path, kind="cues", columns=names) for path in paths]
    columns = [[table.column(name).to_pylist() for name in names] for table in tables]
    return {
        (split, ref_id, sent_id): tuple(cues)
        for shard in columns
        for split, ref_id, sent_id, cues in zip(*shard, strict=True)
    }


def by_image(expressions: Sequence[Expression]) -> Iterator[tuple[int, list[Expression]]]:
    """Image after image with all its expressions; they must be sorted by image."""
    for image_id, group in groupby(expressions, key=lambda e: e.image_id):
        yield image_id, list(group)


def columns_of(expressions: Sequence[Expression]) -> dict[str, list[object]]:
    """The key columns of a table with one row an expression."""
    names = ("dataset", "split", "image_id", "ref_id", "sent_id")
    return {name: [getattr(expression, name) for expression in expressions] for name in names}


def in_shard(image_id: int, shard: int, shards: int) -> bool:
    """Whether a shard holds an image: by its key, so that other images change nothing."""
    return image_id % shards == shard
