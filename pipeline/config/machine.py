"""Where a run's files lie and what its machine offers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import Count, Section


class Paths(Section):
    artifacts: str
    results: str


class Machine(Section):
    """What the machine offers; no learned number depends on it but for the order of sums.

    ``devices`` are processes of a training on each of its ``nodes``, each with a GPU of its own
    where there are any; they share every batch.
    """

    pretraining_threads: Count
    training_threads: Count
    shards: Count
    accelerator: Literal["auto", "cpu", "gpu"]
    workers: Annotated[int, Field(ge=0)]
    devices: Count
    nodes: Count
    image_cache_mb: Annotated[int, Field(ge=0)]
    evaluation_batch: Count
