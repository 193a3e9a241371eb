"""From response maps to the masks that a segmentor learns: refiners, applied as a list in order."""

from pipeline.pseudo_labels.crf import Crf, CrfKernels
from pipeline.pseudo_labels.exclusion import Exclusion
from pipeline.pseudo_labels.irnet import Irnet
from pipeline.pseudo_labels.prms import Prms
from pipeline.pseudo_labels.proposal_snap import ProposalSnap
from pipeline.pseudo_labels.refiner import Refiner, refine_image, refine_images
from pipeline.pseudo_labels.sam_prompt import SamPrompt, prompted_logits
from pipeline.pseudo_labels.state import ReferentState, normalised_maps
from pipeline.pseudo_labels.threshold import Threshold

# name in the configuration's ``pseudo_labels.refine`` -> class
REFINERS: dict[str, type[Refiner]] = {
    "prms": Prms,
    "exclusion": Exclusion,
    "irnet": Irnet,
    "threshold": Threshold,
    "crf": Crf,
    "proposal_snap": ProposalSnap,
    "sam_prompt": SamPrompt,
}

__all__ = [
    "REFINERS",
    "Crf",
    "CrfKernels",
    "Exclusion",
    "Irnet",
    "Prms",
    "ProposalSnap",
    "ReferentState",
    "Refiner",
    "SamPrompt",
    "Threshold",
    "normalised_maps",
    "prompted_logits",
    "refine_image",
    "refine_images",
]
