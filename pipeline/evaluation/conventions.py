"""How the published evaluators measure: one implementation, named choices.

Read from the evaluation code of TRIS (ICCV 2023), LAVT (CVPR 2022), CRIS (CVPR 2022) and ReLA (CVPR
2023). Every one of them counts expressions, not referents. Where ours cannot be theirs to the bit:

- LAVT and ReLA predict at 480 x 480; here a mask of the image's size is resized to it (nearest), as
  they resize the truth. Points and boxes are always measured at the image's size.
- CRIS interpolates its logits bicubically before the threshold; that belongs to the predictor.
- TRIS divides by an empty union (NaN); its data never has one, and here it is 0. It calls a pixel
  positive above 1e-9 of the maximum plus 1e-5; here above 0.
- Only TRIS reads response maps. The others' ways to binarise are applied to a response as to a
  probability, after division by its maximum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.metrics import EmptyUnion
from pipeline.safety import InputError

Binarise = float | Literal["positive", "argmax"]
TextField = Literal["raw", "sentence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """The choices of one evaluator.

    side: masks are compared at side x side pixels; None: at the image's own size.
    strict: P@X asks for IoU ``>`` X, not ``>=``.
    empty_union: the IoU of nothing predicted where nothing is meant (see ``pipeline.metrics``).
    binarise: ``positive`` (any response above 0; a logit above 0), a threshold that the
        probability must exceed, or ``argmax`` of background and foreground.
    text: the column of the expressions that the methods are given.
    through_input: raw responses go to the size of the network's input first, are rectified there
        and then go to the image's size; otherwise they are rectified first and go straight to it.
    align_corners: of the bilinear step to the image's size.
    """

    name: str
    side: int | None
    strict: bool
    empty_union: EmptyUnion
    binarise: Binarise
    text: TextField
    through_input: bool
    align_corners: bool


CONVENTIONS: dict[str, Convention] = {
    convention.name: convention
    for convention in (
        Convention(
            name="default",
            side=None,
            strict=False,
            empty_union="one",
            binarise="positive",
            text="sentence",
            through_input=False,
            align_corners=False,
        ),
        Convention(
            name="tris",
            side=None,
            strict=False,
            empty_union="zero",
            binarise="positive",
            text="sentence",
            through_input=True,
            align_corners=True,
        ),
        Convention(
            name="lavt",
            side=480,
            strict=False,
            empty_union="zero",
            binarise="argmax",
            text="raw",
            through_input=False,
            align_corners=True,
        ),
        Convention(
            name="cris",
            side=None,
            strict=True,
            empty_union="epsilon",
            binarise=0.35,
            text="sentence",
            through_input=False,
            align_corners=True,
        ),
        Convention(
            name="rela",
            side=480,
            strict=False,
            empty_union="zero",
            binarise="argmax",
            text="raw",
            through_input=False,
            align_corners=False,
        ),
    )
}


def convention(name: str) -> Convention:
    """The convention of that name; InputError names the known ones."""
    try:
        return CONVENTIONS[name]
    except KeyError:
        raise InputError(
            f"evaluation.convention: {name!r} is unknown; known: {', '.join(CONVENTIONS)}"
        ) from None
