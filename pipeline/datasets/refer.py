"""RefCOCO, RefCOCO+, RefCOCOg and RefCLEF (ReferIt) as REFER publishes them (Kazemzadeh et al.,
EMNLP 2014; Yu et al., ECCV 2016), and the miniature, which is written in the same form.

``refs(<split_by>).p`` holds the referents and their sentences, ``instances.json`` the images and
the annotations of all their objects, ``images/`` the pictures. Facts to know:

- The ``file_name`` of a ref is no file: the picture's name is the one in ``instances.json``.
- An ``ann_id`` may serve two refs (RefCOCOg); a referent is known by its ``ref_id``.
- Ids of annotations may be words (ReferIt).
- The splits of the google partitions cut through images: an image then belongs to several splits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.datasets.fields import Fields, records
from pipeline.datasets.instances import Annotation, Instances, read_instances
from pipeline.datasets.options import ReadOptions
from pipeline.datasets.tables import DatasetTables, Sentence
from pipeline.records import Truth
from pipeline.safety import InputError, inside, load_plain_pickle
from pipeline.store import rle_area


def refs_file(folder: str | Path, split_by: str) -> Path:
    return inside(folder, f"refs({split_by}).p")


def refer_sources(folder: str | Path, *, options: ReadOptions) -> dict[str, Path]:
    """By name, the files that the tables are made from, there or not."""
    paths = (refs_file(folder, options.split_by), Path(folder) / "instances.json")
    return {path.name: path for path in paths}


def read_refer(folder: str | Path, *, dataset: str, options: ReadOptions) -> DatasetTables:
    """The tables of the dataset in ``folder``, under the name ``dataset``.

    InputError names the file, the record (its index from 0) and the key for whatever is missing, of
    the wrong type or inconsistent. The pictures are not looked for.
    """
    folder = Path(folder)
    instances = read_instances(
        folder / "instances.json", overlapping_polygons=options.overlapping_polygons
    )
    path = refs_file(folder, options.split_by)
    if not path.is_file():
        there = ", ".join(sorted(file.name for file in folder.glob("refs(*).p"))) or "none"
        raise InputError(f"{path}: no such file; choose a split_by that is there ({there})")
    sentences, truth = _refs(path, load_plain_pickle(path), dataset, instances)
    used = {(item.split, item.image_id) for item in truth}
    return DatasetTables(
        expressions=sentences,
        images=instances.image_records(dataset, used),
        truth=truth,
        objects=instances.object_records(dataset, {image_id for _, image_id in used}),
    )


def _refs(
    path: Path, refs: object, dataset: str, instances: Instances
) -> tuple[list[Sentence], list[Truth]]:
    sentences: list[Sentence] = []
    truth: list[Truth] = []
    ref_ids: set[int] = set()
    sent_ids: set[int] = set()
    for record in records(refs, str(path)):
        ref_id, ann_id = record.integer("ref_id"), record.identity("ann_id")
        image_id, split = record.integer("image_id"), record.text("split")
        if ref_id in ref_ids:
            raise record.wrong("ref_id", f"{ref_id} is there twice")
        ref_ids.add(ref_id)
        annotation = annotation_of(record, ann_id, image_id, instances.annotations)
        image = instances.images[image_id]
        truth.append(
            Truth(
                dataset=dataset,
                split=split,
                image_id=image_id,
                ref_id=ref_id,
                category=annotation.category,
                rle=annotation.rle,
                height=image.height,
                width=image.width,
                box=annotation.box,
                area=rle_area(annotation.rle, image.height, image.width),
            )
        )
        for sentence in sentences_of(record, (dataset, split, image_id, ref_id)):
            if sentence.sent_id in sent_ids:
                raise record.wrong(
                    "sent_id", f"{sentence.sent_id} is there twice (ref_id {ref_id})"
                )
            sent_ids.add(sentence.sent_id)
            sentences.append(sentence)
    return sentences, truth


def annotation_of(
    record: Fields, ann_id: str, image_id: int, annotations: Mapping[str, Annotation]
) -> Annotation:
    """The annotation that a ref names; InputError if there is none, or on another image."""
    annotation = annotations.get(ann_id)
    if annotation is None:
        raise record.wrong("ann_id", f"{ann_id} is no annotation of instances.json")
    if annotation.image_id != image_id:
        raise record.wrong(
            "image_id", f"is {image_id}, its annotation {ann_id} is of {annotation.image_id}"
        )
    return annotation


def sentences_of(record: Fields, keys: tuple[str, str, int, int]) -> list[Sentence]:
    """The expressions of a ref; ``keys`` are dataset, split, image_id and ref_id."""
    found = []
    for item in record.records("sentences"):
        sent_id = item.integer("sent_id")
        named = Fields(
            {key: item.get(key) for key in ("raw", "sent")},
            f"{item.where} (ref_id {keys[3]}, sent_id {sent_id})",
        )
        found.append(
            Sentence(*keys, sent_id=sent_id, raw=named.text("raw"), sentence=named.text("sent"))
        )
    if not found:
        raise record.wrong("sentences", f"is empty: ref_id {keys[3]} has no expression")
    return found
