"""``ris decompose``: the cues of the expressions of one shard of the images."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Config
from pipeline.cues import Decomposer, LlmSettings, build_decomposer
from pipeline.layout import Layout
from pipeline.runs import step_settings
from pipeline.steps.inputs import columns_of, expressions_of, in_shard
from pipeline.store import digest_of, table_writer


def run(config: Config, *, shard: int, processors: int) -> None:
    """Write the cues of every split in use; a job that was killed asks little again."""
    layout = Layout.of(config)
    expressions = [
        expression
        for expression in expressions_of(config, config.dataset.splits)
        if in_shard(expression.image_id, shard, layout.shards)
    ]
    found = decomposer_of(config, threads=processors).decompose([e.text for e in expressions])
    with table_writer(
        layout.cues(shard),
        kind="cues",
        config_digest=digest_of(step_settings(config, None, "decompose")),
    ) as writer:
        writer.append(
            {
                **columns_of(expressions),
                "cues": [list(cues.cues) for cues in found],
                "source": [cues.source for cues in found],
                "made": [cues.made for cues in found],
                "dropped": [cues.dropped for cues in found],
            }
        )


def decomposer_of(config: Config, *, threads: int) -> Decomposer:
    """The configured backend, with the answers that earlier jobs were given."""
    section = config.cues
    return build_decomposer(
        backend=section.backend,
        count=section.count,
        max_length=section.max_length,
        fill=section.fill,
        llm=llm_settings(config, Path(section.llm.model)),
        cache=Layout.of(config).cue_answers,
        threads=threads,
    )


def llm_settings(config: Config, model: Path) -> LlmSettings:
    """How the configuration asks a model."""
    section = config.cues.llm
    return LlmSettings(
        model=model,
        prompt=section.prompt,
        chat=section.chat,
        context=section.context,
        max_tokens=section.max_tokens,
        seed=section.seed,
        gpu_layers=section.gpu_layers,
        save_seconds=section.save_seconds,
    )
