"""What a localizer's batches hold beside pictures and texts.

Every training imports this, and none shall depend on the code of all localizers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.training.proposals import ProposalTable


class Told(NamedTuple):
    """What a localizer is told beside pictures and texts: cues by sent_id, proposals by image."""

    cues: Mapping[int, Sequence[str]] | None
    proposals: ProposalTable | None


NOTHING = Told(None, None)
