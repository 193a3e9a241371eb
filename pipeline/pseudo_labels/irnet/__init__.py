"""IRNet (Ahn et al., CVPR 2019): masks from response maps by learned edges and displacements."""

from pipeline.pseudo_labels.irnet.instances import InstanceRule
from pipeline.pseudo_labels.irnet.labels import LabelRule, evidence_of
from pipeline.pseudo_labels.irnet.network import EdgeDisplacementNetwork, LabelledImages
from pipeline.pseudo_labels.irnet.refiner import Irnet
from pipeline.pseudo_labels.irnet.walk import RandomWalk

__all__ = [
    "EdgeDisplacementNetwork",
    "InstanceRule",
    "Irnet",
    "LabelRule",
    "LabelledImages",
    "RandomWalk",
    "evidence_of",
]
