"""``ris propose``: proposals of the images that get pseudo-labels, and of no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.layout import Layout
from pipeline.steps import miniature, propose, tables
from pipeline.steps.inputs import images_of
from pipeline.store import read_table
from tests.report.fabricated import configuration


@pytest.mark.parametrize("splits", [["train"], ["train", "testA"]])
def test_only_images_that_get_pseudo_labels_have_proposals(
    tmp_path: Path, splits: list[str]
) -> None:
    config = configuration(
        tmp_path,
        pseudo_labels={"splits": splits},
        proposals={"minimum_area": 12, "working_side": 64},
    )
    miniature.run(config, processes=1)
    tables.run(config)
    found: list[set[int]] = []
    for shard in range(config.machine.shards):
        propose.run(config, shard=shard)
        path = Layout.of(config).proposals(shard)
        found.append(set(read_table(path, kind="proposals")["image_id"].to_pylist()))
    assert found[0] | found[1] == set(images_of(config, splits))
    assert not found[0] & found[1]
