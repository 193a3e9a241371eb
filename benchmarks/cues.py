"""Asking a language model for cues: the words that all prompts share are evaluated once.

A network of the small LLM's shape with random weights, run by llama.cpp, is asked with the short
prompt and with the long one; expressions are the miniature's. Its answers have the right form and
run to the most tokens, since it has learned nothing, so that they take longer than a real model's.

- shared words kept, against evaluated anew for every expression: the rest is the same;
- answers kept on disk, against asked again: a job that starts anew on expressions it has asked.

Times are processor time. The answers of both ways are compared: they must be equal.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.rows import Row
from benchmarks.settings import shipped
from pipeline.cues import Form, LlmDecomposer, LlmSettings, answer_of, read_prompt
from pipeline.cues.llama import LlamaModel
from pipeline.cues.prompt import answer_schema
from pipeline.miniature.small_llm import SmallLlm
from pipeline.miniature.small_llm_corpus import decompositions
from pipeline.miniature.small_llm_export import write_gguf
from pipeline.miniature.small_llm_tokenizer import learn_pieces
from pipeline.steps.miniature import miniature_settings

FULL: dict[str, Any] = {"expressions": 100}
TINY: dict[str, Any] = {"expressions": 4}
CONTEXT = 1024


def rows(*, expressions: int) -> list[Row]:
    """Both prompts with and without what is kept, then the answers on disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.gguf"
        texts = write_model(path, expressions)
        found = [row for prompt in ("small", "full") for row in _prompt_rows(path, texts, prompt)]
        return [*found, _cache_row(path, texts, Path(folder) / "answers")]


def write_model(path: Path, expressions: int) -> list[str]:
    """A network with random weights; expressions of other scenes than any dataset's."""
    config = shipped()
    settings, section = miniature_settings(config.miniature), config.small_llm
    said = decompositions(settings.scene, seed=settings.seed, scenes=4 + expressions // 5)
    texts = [one.sentence for one in said][:expressions]
    prompt = read_prompt("full")
    words = [*map(prompt.text, texts), *(answer_of(one.cues) for one in said)]
    pieces = learn_pieces(words, size=section.vocabulary)
    network = SmallLlm(
        vocabulary=pieces.size,
        width=section.width,
        layers=section.layers,
        heads=section.heads,
        feed_forward=section.feed_forward,
        prefix=torch.tensor(pieces.encode(texts[0], starts=True)),
        seed=0,
    )
    write_gguf(path, network, pieces, context=CONTEXT)
    return texts


def _prompt_rows(path: Path, texts: list[str], prompt: str) -> list[Row]:
    section = shipped().cues
    model = LlamaModel(
        path,
        prompt=read_prompt(prompt),
        chat="plain",
        schema=answer_schema(count=section.count, max_length=section.max_length),
        context=CONTEXT,
        max_tokens=section.llm.max_tokens,
        seed=0,
        gpu_layers=0,
        threads=1,
    )
    kept, answers = _timed(model, texts)
    shared = model.shared_tokens
    anew, others = _timed(model, texts, forget=True)
    model.close()
    assert answers == others
    claim = f"cues: the {shared} shared tokens of the {prompt} prompt kept, against evaluated anew"
    wanted = {"small": 1.3, "full": 2}[prompt]
    return [Row(claim, kept, anew, "ms/expression", anew / kept, at_least=wanted)]


def _timed(model: LlamaModel, texts: list[str], *, forget: bool = False) -> tuple[float, list[str]]:
    """Milliseconds of processor time an expression, and the answers."""
    model.answer(texts[0])
    start = time.process_time()
    found = []
    for text in texts:
        if forget:
            model.forget()
        found.append(model.answer(text))
    return 1000 * (time.process_time() - start) / len(texts), found


def _cache_row(path: Path, texts: list[str], folder: Path) -> Row:
    section = shipped().cues
    form = Form(count=section.count, max_length=section.max_length, fill=section.fill)
    settings = LlmSettings(**{**section.llm.model_dump(), "model": path, "context": CONTEXT})
    spent, found = [], []
    for _ in range(2):
        start = time.process_time()
        found.append(LlmDecomposer(form, settings, cache=folder, threads=1).decompose(texts))
        spent.append(1000 * (time.process_time() - start) / len(texts))
    assert found[0] == found[1]
    asked, known = spent
    claim = f"cues of {len(texts)} expressions: answers kept on disk, against asked"
    return Row(claim, known, asked, "ms/expression", asked / known, at_least=5)
