"""The miniature: a small procedural world in REFER format, drawn and described from a seed."""

from pipeline.miniature.attributes import HELD_OUT
from pipeline.miniature.captions import object_example, scene_example, write_captions
from pipeline.miniature.examples import (
    Example,
    MiniatureSettings,
    SplitSizes,
    example_of,
    scene_of,
    split_of,
)
from pipeline.miniature.language import WORDS, Referent, Sentence, referents
from pipeline.miniature.refer_format import write_refer
from pipeline.miniature.render import render
from pipeline.miniature.scenes import Scene, SceneObject, SceneSettings, sample_scene

__all__ = [
    "HELD_OUT",
    "WORDS",
    "Example",
    "MiniatureSettings",
    "Referent",
    "Scene",
    "SceneObject",
    "SceneSettings",
    "Sentence",
    "SplitSizes",
    "example_of",
    "object_example",
    "referents",
    "render",
    "sample_scene",
    "scene_example",
    "scene_of",
    "split_of",
    "write_captions",
    "write_refer",
]
