"""Short phrases about the target of an expression, coarse to fine: PCNet's cues (section 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.cues.decomposer import (
    Decomposer,
    Form,
    LlmDecomposer,
    LlmSettings,
    RuleDecomposer,
)
from pipeline.cues.prompt import Prompt, answer_of, phrases_in, prompt_file, read_prompt
from pipeline.cues.validation import Cues, Fill, settled
from pipeline.safety import InputError

__all__ = [
    "BACKENDS",
    "Cues",
    "Decomposer",
    "Fill",
    "Form",
    "LlmDecomposer",
    "LlmSettings",
    "Prompt",
    "RuleDecomposer",
    "answer_of",
    "build_decomposer",
    "phrases_in",
    "prompt_file",
    "read_prompt",
    "settled",
]

Backend = Callable[[Form, LlmSettings, Path | None, int], Decomposer]
BACKENDS: dict[str, Backend] = {
    "rules": lambda form, llm, cache, threads: RuleDecomposer(form),
    "llm": lambda form, llm, cache, threads: LlmDecomposer(form, llm, cache=cache, threads=threads),
}


def build_decomposer(
    *,
    backend: str,
    count: int,
    max_length: int,
    fill: Fill,
    llm: LlmSettings,
    cache: Path | None,
    threads: int,
) -> Decomposer:
    """The backend of this name; ``llm``, ``cache`` and ``threads`` are for ``llm`` alone."""
    if backend not in BACKENDS:
        raise InputError(f"cues.backend: {backend!r} is none of {', '.join(BACKENDS)}")
    form = Form(count=count, max_length=max_length, fill=fill)
    return BACKENDS[backend](form, llm, cache, threads)
