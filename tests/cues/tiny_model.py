"""Small LLMs that have learned nothing, as GGUF files: llama.cpp runs them as it runs any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pipeline.cues import Form, LlmSettings, answer_of, read_prompt
from pipeline.miniature.small_llm import SmallLlm
from pipeline.miniature.small_llm_export import write_gguf
from pipeline.miniature.small_llm_tokenizer import Tokenizer, learn_pieces

FORM = Form(count=3, max_length=20, fill="last")
CONTEXT = 256


def tokenizer() -> Tokenizer:
    """Of the small prompt and a few words."""
    prompt = read_prompt("small")
    said = ["the red star on the left", "big blue moon", "zebra crossing", "Ein Mädchen"]
    return learn_pieces([*(prompt.text(text) for text in said), answer_of(said)], size=420)


def network(pieces: Tokenizer, *, seed: int = 0) -> SmallLlm:
    """Weights at random, large enough that no two next tokens are alike."""
    found = SmallLlm(
        vocabulary=pieces.size,
        width=32,
        layers=2,
        heads=2,
        feed_forward=48,
        prefix=torch.tensor(pieces.encode("shared words", starts=True)),
        seed=seed,
    )
    with torch.no_grad():
        for name, value in found.named_parameters():
            value *= 3.0 if "norm" not in name else 1.0
    return found.eval()


def write(path: Path, *, seed: int = 0) -> Path:
    """A GGUF file."""
    pieces = tokenizer()
    write_gguf(path, network(pieces, seed=seed), pieces, context=CONTEXT)
    return path


def settings(model: Path, **changes: Any) -> LlmSettings:
    """How it is asked."""
    return LlmSettings(
        **{
            "model": model,
            "prompt": "small",
            "chat": "plain",
            "context": CONTEXT,
            "max_tokens": 40,
            "seed": 0,
            "gpu_layers": 0,
            "save_seconds": 1e9,
            **changes,
        }
    )
