"""Everything that touches a stranger's bytes: nothing here runs or follows what it reads."""

from pipeline.safety.archives import check_archive, extract_archive
from pipeline.safety.errors import InputError
from pipeline.safety.images import open_image, open_mask, upright_size
from pipeline.safety.pickles import load_plain_pickle
from pipeline.safety.text import checked_text, inside
from pipeline.safety.weights import load_weights

__all__ = [
    "InputError",
    "check_archive",
    "checked_text",
    "extract_archive",
    "inside",
    "load_plain_pickle",
    "load_weights",
    "open_image",
    "open_mask",
    "upright_size",
]
