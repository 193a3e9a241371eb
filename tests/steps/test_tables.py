"""``ris tables``: the tables say from which files they were made."""

from __future__ import annotations

from pathlib import Path

from pipeline.layout import Layout
from pipeline.steps import miniature, tables
from pipeline.store import digest_file, read_manifest
from tests.report.fabricated import configuration


def test_every_table_names_the_files_it_was_made_from(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    miniature.run(config, processes=1)
    tables.run(config)
    folder = Path(config.dataset.folder)
    expected = {name: digest_file(folder / name) for name in ("refs(unc).p", "instances.json")}
    for kind in ("expressions", "images", "truth", "objects"):
        manifest = read_manifest(Layout.of(config).table(kind), kind=kind)
        assert manifest.inputs == expected
