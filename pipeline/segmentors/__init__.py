"""Stage-2 networks: from an image and a sentence to a mask, taught by masks of any origin."""

from __future__ import annotations

from torch import nn

from pipeline.segmentors.tris import TrisSegmentor

SEGMENTORS: dict[str, type[nn.Module]] = {"tris": TrisSegmentor}
