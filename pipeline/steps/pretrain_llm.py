"""``ris pretrain-llm``: the miniature's own LLM, taught to decompose the sentences of its world."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pipeline.config import Config
from pipeline.cues import Prompt, answer_of, build_decomposer, prompt_file, read_prompt
from pipeline.cues.agreement import covers
from pipeline.layout import Layout
from pipeline.miniature.small_llm import SmallLlm
from pipeline.miniature.small_llm_corpus import AnswerBatches, Decomposition, decompositions
from pipeline.miniature.small_llm_export import check_packages, write_gguf
from pipeline.miniature.small_llm_tokenizer import END, Tokenizer, learn_pieces
from pipeline.safety import InputError
from pipeline.steps.decompose import llm_settings
from pipeline.steps.fitting import pretrain
from pipeline.steps.miniature import miniature_settings
from pipeline.store import write_json


def run(config: Config) -> None:
    """Write the model with its tokenizer as GGUF, its curves, and how well it decomposes
    expressions held out, asked through llama.cpp as any other model."""
    check_packages()  # now, not after minutes of training
    section, layout = config.small_llm, Layout.of(config)
    settings = miniature_settings(config.miniature)
    found = decompositions(settings.scene, seed=settings.seed, scenes=section.scenes)
    if section.held_out >= len(found):
        raise InputError(
            f"small_llm.held_out: {section.held_out} of {len(found)} expressions; hold out fewer"
        )
    learned, held_out = found[: -section.held_out], found[-section.held_out :]
    prompt = read_prompt(config.cues.llm.prompt)
    texts = _as_typed(learned, seed=config.seed)
    answers = [answer_of(one.cues[: config.cues.count]) for one in learned]
    asked = [prompt.text(text) for text in texts]
    tokenizer = learn_pieces([*asked, *answers], size=section.vocabulary)
    prefix, questions = _shared(prompt, asked, tokenizer)
    endings = [[*tokenizer.encode(answer, starts=False), END] for answer in answers]
    longest = len(prefix) + max(map(len, questions)) + config.cues.llm.max_tokens
    if longest > config.cues.llm.context:
        raise InputError(
            f"cues.llm.context: {config.cues.llm.context} tokens; the prompt "
            f"{config.cues.llm.prompt!r} with an expression and an answer takes {longest}"
        )
    network = SmallLlm(
        vocabulary=tokenizer.size,
        width=section.width,
        layers=section.layers,
        heads=section.heads,
        feed_forward=section.feed_forward,
        prefix=torch.tensor(prefix),
        seed=config.seed,
    )
    files = layout.small_llm_files
    batches = AnswerBatches(
        questions,
        endings,
        steps=section.steps,
        batch_size=section.batch_size,
        seed=config.seed,
    )
    context = config.cues.llm.context
    is_saved = pretrain(
        config,
        network,
        batches,
        name="small_llm",
        stage="pretrain_llm",
        section=section.optimisation,
        loss_weights={"answer": 1.0},
        inputs={"prompt": prompt_file(config.cues.llm.prompt)},
        folder=layout.small_llm.parent,
        curves=files["curves"],
        threads=config.machine.training_threads,
        save=lambda: write_gguf(layout.small_llm, network, tokenizer, context=context),
    )
    if is_saved:
        quality = measured(config, layout.small_llm, held_out)
        write_json(files["quality"], quality)
        print("decompositions of held-out expressions:", json.dumps(quality), file=sys.stderr)


def measured(config: Config, model: Path, held_out: Sequence[Decomposition]) -> dict[str, float]:
    """Shares of expressions: `valid`, a list of phrases of which none is dropped; `covering`, valid
    and saying every content word of the right phrases; `right`, just these phrases. `phrases` is
    how many are distinct in the mean, `count` how many expressions were asked."""
    section = config.cues
    ask = build_decomposer(
        backend="llm",
        count=section.count,
        max_length=section.max_length,
        fill=section.fill,
        llm=replace(llm_settings(config, model), chat="plain"),
        cache=None,
        threads=config.machine.training_threads,
    )
    found = ask.decompose(_as_typed(held_out, seed=config.seed))
    valid = [cues.source == "llm" and not cues.dropped for cues in found]
    right = [one.cues[: section.count] for one in held_out]
    pairs = list(zip(valid, found, right, strict=True))
    return {
        "valid": _mean(valid),
        "covering": _mean([ok and covers(cues.cues, cue) for ok, cues, cue in pairs]),
        "right": _mean([ok and cues.cues[: cues.made] == cue for ok, cues, cue in pairs]),
        "phrases": _mean([cues.made for cues in found]),
        "count": len(found),
    }


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def _as_typed(found: Sequence[Decomposition], *, seed: int) -> list[str]:
    """Half of the expressions as people type them, half of them cleaned."""
    typed = np.random.default_rng(seed).random(len(found)) < 0.5
    return [one.raw if raw else one.sentence for one, raw in zip(found, typed, strict=True)]


def _shared(
    prompt: Prompt, asked: Sequence[str], tokenizer: Tokenizer
) -> tuple[list[int], list[list[int]]]:
    """The ids that every prompt begins with, and of each prompt what follows them."""
    ids = [tokenizer.encode(text, starts=True) for text in asked]
    probes = [tokenizer.encode(prompt.text(text), starts=True) for text in ("a", "9")]
    columns = zip(*ids, *probes, strict=False)
    length = next(place for place, column in enumerate(columns) if len(set(column)) > 1)
    return ids[0][:length], [one[length:] for one in ids]
