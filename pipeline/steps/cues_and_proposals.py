"""What PCNet's localizer is told beside pictures and texts: cues, and proposals to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from torch import nn

from pipeline.config import Config
from pipeline.inference import CuesOf
from pipeline.layout import Layout
from pipeline.localizers.base import SphereLocalizer
from pipeline.records import Expression
from pipeline.runs import has_cues, learns_from_proposals
from pipeline.steps.inputs import cues_of
from pipeline.steps.told import Told
from pipeline.store import read_table
from pipeline.training.proposals import ProposalTable


def files(config: Config) -> dict[str, Path]:
    """By name, the tables that the training of a run's localizer reads beside those of all."""
    layout = Layout.of(config)
    found: dict[str, Path] = {}
    if has_cues(config):
        found |= {f"cues {shard}": path for shard, path in enumerate(layout.all_cues)}
    if learns_from_proposals(config):
        found |= {f"proposals {shard}": path for shard, path in enumerate(layout.all_proposals)}
    return found


def told(config: Config, network: nn.Module) -> Told:
    """What the batches of a run's localizer hold beside pictures and texts."""
    layout, cues, proposals = Layout.of(config), None, None
    if has_cues(config):
        train = config.dataset.train
        found = cues_of(layout.all_cues)
        cues = {sent_id: mine for (split, _, sent_id), mine in found.items() if split == train}
    if learns_from_proposals(config):
        assert isinstance(network, SphereLocalizer)
        names = ["image_id", "rank", "rle", "height", "width"]
        shards = [
            read_table(path, kind="proposals", columns=names) for path in layout.all_proposals
        ]
        size = network.response_size(config.encoder.image_size)
        proposals = ProposalTable(pa.concat_tables(shards), size=size)
    return Told(cues, proposals)


def table_of_cues(config: Config, expressions: Sequence[Expression]) -> CuesOf | None:
    """The cues of these expressions by their text, if the run's localizer reads any."""
    if not has_cues(config):
        return None
    found = cues_of(Layout.of(config).all_cues)
    by_text = {e.text: found[e.split, e.ref_id, e.sent_id] for e in expressions}
    return by_text.__getitem__
