"""Stage-1 networks: from an image and a sentence to a response map, taught by text alone."""

from __future__ import annotations

from torch import nn

from pipeline.localizers.ehin import EhinLocalizer
from pipeline.localizers.pcnet import PcnetLocalizer
from pipeline.localizers.tris import TrisLocalizer

LOCALIZERS: dict[str, type[nn.Module]] = {
    "ehin": EhinLocalizer,
    "pcnet": PcnetLocalizer,
    "tris": TrisLocalizer,
}
