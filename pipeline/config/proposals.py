"""Class-agnostic proposals."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import Count, NonNegative, Positive, Section, Share


class Proposals(Section):
    """Class-agnostic proposals, see ``proposals/``.

    From ``working_side`` to ``size_power``, and ``maximum_share``: of the superpixels. SAM's own
    numbers are the section ``sam``.
    """

    method: Literal["superpixels", "sam"]
    working_side: Count
    scale: Positive
    sigma: NonNegative
    atom_size: Count
    medians: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    size_power: NonNegative
    minimum_area: Count
    maximum_share: Share
    maximum_overlap: Share
    keep: Count
