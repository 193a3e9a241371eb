"""What every benchmark works on: a small miniature, its tables and networks of random weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.settings import ROOT, THREADS
from pipeline.config import Config, check, merge, read_yaml
from pipeline.encoders.openclip import OpenClipEncoder, new_clip, vocabulary_of
from pipeline.layout import Layout
from pipeline.miniature import WORDS
from pipeline.steps import miniature, tables
from pipeline.steps.localizer_network import build_localizer
from pipeline.steps.pretrain import small_architecture
from pipeline.steps.segmentor_network import build_segmentor
from pipeline.training.weights import save_weights


def build_world(
    folder: Path, *, train: int, held_out: int, changes: Mapping[str, Any] | None = None
) -> Config:
    """A run ``weak`` in ``folder`` that lacks only what the benchmark itself makes.

    There are ``train`` images to train on and ``held_out`` to evaluate. Everything else is as
    config.yaml says, but for ``changes``, and on the processor.
    """
    clip = str(folder / "clip")
    small: dict[str, Any] = {
        "paths": {"artifacts": str(folder / "artifacts"), "results": str(folder / "results")},
        "machine": {"accelerator": "cpu", "shards": 1, "training_threads": THREADS},
        "dataset": {
            "source": "miniature",
            "folder": str(folder / "raw"),
            "evaluate": ["testA"],
            "headline": "testA",
        },
        "miniature": {"splits": {"train": train, "val": 1, "testA": held_out, "testB": 1}},
        "encoder": {"model": clip},
        "critic": {"model": clip},
        "runs": {"supervised": None},
    }
    content = merge(read_yaml(ROOT / "config.yaml"), small)
    config = check(merge(content, changes or {}))
    miniature.run(config, processes=1)
    tables.run(config)
    save_clip(config, folder / "clip")
    layout = Layout.of(config)
    save_weights(build_segmentor(config), layout.segmentor("weak"), metadata={})
    save_weights(build_localizer(config, with_critic=False), layout.localizer("weak"), metadata={})
    return config


def save_clip(config: Config, folder: Path) -> None:
    """The small CLIP as the pipeline pretrains it, before its first step."""
    vocabulary = vocabulary_of(WORDS)
    is_resnet = config.small_clip.vision == "resnet"
    architecture = small_architecture(config, vocabulary.size)
    OpenClipEncoder(
        new_clip(architecture, seed=config.seed),
        vocabulary,
        architecture=architecture,
        output_stride=config.encoder.output_stride if is_resnet else None,
        context=config.encoder.context,
        normalise=config.encoder.normalise,
    ).save(folder)
