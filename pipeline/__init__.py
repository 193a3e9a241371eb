"""Weakly-supervised referring image segmentation: from sentences to masks, with no masks."""

__version__ = "0.1.0"
