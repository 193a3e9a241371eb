"""Cues: how expressions are decomposed, and the miniature's own LLM that can do it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.section import Count, MisfitError, Positive, Section
from pipeline.config.training import Optimisation


class CuesLlm(Section):
    """A model in a GGUF file and how it is asked; ``prompt`` is a packaged one or a YAML file."""

    model: Annotated[str, Field(min_length=1)]
    prompt: Annotated[str, Field(min_length=1)]
    chat: Literal["plain", "template"]
    context: Annotated[int, Field(ge=64)]
    max_tokens: Annotated[int, Field(ge=8)]
    seed: Annotated[int, Field(ge=0)]
    gpu_layers: Annotated[int, Field(ge=-1)]
    save_seconds: Positive

    @model_validator(mode="after")
    def _an_answer_fits(self) -> CuesLlm:
        if self.max_tokens >= self.context:
            raise MisfitError("max_tokens", self.max_tokens, f"below context {self.context}")
        return self


class Cues(Section):
    """PCNet's phrases (section 3.1); ``llm`` is read with ``backend: llm`` alone."""

    backend: Literal["rules", "llm"]
    count: Annotated[int, Field(ge=1, le=16)]
    max_length: Annotated[int, Field(ge=8, le=500)]
    fill: Literal["last", "cycle"]
    llm: CuesLlm


class SmallLlm(Section):
    """The miniature's own LLM: what it learns from, its shape and its training.

    It is asked with the prompt of ``cues.llm``, and trained with it.
    """

    scenes: Count
    held_out: Count
    vocabulary: Annotated[int, Field(ge=300)]
    width: Count
    layers: Count
    heads: Count
    feed_forward: Count
    steps: Count
    batch_size: Annotated[int, Field(ge=2)]
    optimisation: Optimisation

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> SmallLlm:
        if self.width % (2 * self.heads):
            raise MisfitError("width", self.width, f"a multiple of twice heads {self.heads}")
        return self
