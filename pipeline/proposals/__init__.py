"""Class-agnostic masks of an image, found without a label: what a referent might look like."""

from pipeline.proposals.filtering import choose_distinct
from pipeline.proposals.superpixels import propose

# method of the configuration's ``proposals`` -> function (image, settings) -> [(mask, score)]
PROPOSERS = {"superpixels": propose}

__all__ = ["PROPOSERS", "choose_distinct", "propose"]
