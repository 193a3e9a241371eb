"""Everything that touches a stranger's bytes: nothing here runs or follows what it reads."""

from pipeline.safety.archives import extract_archive
from pipeline.safety.errors import InputError
from pipeline.safety.images import open_image
from pipeline.safety.pickles import load_plain_pickle
from pipeline.safety.text import checked_text, inside
from pipeline.safety.weights import load_weights

__all__ = [
    "InputError",
    "checked_text",
    "extract_archive",
    "inside",
    "load_plain_pickle",
    "load_weights",
    "open_image",
]
