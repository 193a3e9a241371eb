"""The typed schema of ``config.yaml``: names, types and bounds of every key, and no values.

``config.yaml`` holds every default, once; an overlay (``experiments/*.yaml``) names only what it
changes. ``load`` merges, checks the whole and fails with one line a mistake: the key, what was
given and what is allowed. ``runs`` expands to one configuration a run (see :mod:`pipeline.runs`).
"""

from pipeline.config.data import Dataset, Miniature, OtherDataset
from pipeline.config.download import Download
from pipeline.config.encoders import Encoder
from pipeline.config.loading import check, load, merge, read_yaml, run_config
from pipeline.config.schema import PUBLISHED_TEXT, Config
from pipeline.config.training import Optimisation, Training
from pipeline.config.variants import variants_of

__all__ = [
    "PUBLISHED_TEXT",
    "Config",
    "Dataset",
    "Download",
    "Encoder",
    "Miniature",
    "Optimisation",
    "OtherDataset",
    "Training",
    "check",
    "load",
    "merge",
    "read_yaml",
    "run_config",
    "variants_of",
]
