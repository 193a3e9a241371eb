"""Class-agnostic masks of an image, found without a label: what a referent might look like."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.proposals.filtering import choose_distinct
from pipeline.proposals.sam import propose_by_sam
from pipeline.proposals.superpixels import propose

# method of the configuration's ``proposals`` -> function (image, settings) -> [(mask, score)]
PROPOSERS: dict[str, Callable[..., list[tuple[NDArray[np.bool_], float]]]] = {
    "superpixels": propose,
    "sam": propose_by_sam,
}

__all__ = ["PROPOSERS", "choose_distinct", "propose", "propose_by_sam"]
