"""How results lie on disk: atomic writes, digests, tables with a manifest, masks and maps."""

from pipeline.store.atomic import atomic_folder, atomic_path, lacks_space
from pipeline.store.documents import digest_file, digest_of, read_json, write_json
from pipeline.store.label_maps import labels_decode, labels_encode
from pipeline.store.manifest import SCHEMA_VERSION, Manifest
from pipeline.store.maps import map_decode, map_encode, read_maps, write_maps
from pipeline.store.masks import rle_area, rle_decode, rle_encode
from pipeline.store.reading import TableReader, is_current, read_manifest, read_table
from pipeline.store.writing import SCHEMAS, TableWriter, table_writer, write_table

__all__ = [
    "SCHEMAS",
    "SCHEMA_VERSION",
    "Manifest",
    "TableReader",
    "TableWriter",
    "atomic_folder",
    "atomic_path",
    "digest_file",
    "digest_of",
    "is_current",
    "labels_decode",
    "labels_encode",
    "lacks_space",
    "map_decode",
    "map_encode",
    "read_json",
    "read_manifest",
    "read_maps",
    "read_table",
    "rle_area",
    "rle_decode",
    "rle_encode",
    "table_writer",
    "write_json",
    "write_maps",
    "write_table",
]
