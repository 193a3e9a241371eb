"""Evaluation: how good a rung of the pipeline is, by whose convention, and where it fails."""

from pipeline.evaluation.conventions import CONVENTIONS, Convention, convention
from pipeline.evaluation.ladder import (
    RungResult,
    evaluate_baselines,
    evaluate_rung,
    from_masks,
    from_responses,
    known_only,
    ladder_figures,
    ladder_rows,
)
from pipeline.evaluation.readout import binarise_logits, binarise_maps, read_responses
from pipeline.evaluation.scoring import ImagePredictions
from pipeline.evaluation.styles import STYLES, style_of
from pipeline.evaluation.truth import GroundTruth, annotated

__all__ = [
    "CONVENTIONS",
    "STYLES",
    "Convention",
    "GroundTruth",
    "ImagePredictions",
    "RungResult",
    "annotated",
    "binarise_logits",
    "binarise_maps",
    "convention",
    "evaluate_baselines",
    "evaluate_rung",
    "from_masks",
    "from_responses",
    "known_only",
    "ladder_figures",
    "ladder_rows",
    "read_responses",
    "style_of",
]
