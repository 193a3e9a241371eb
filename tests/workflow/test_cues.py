"""Cues in the flow: made where a run reads them, by the model that the configuration names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import load, merge
from pipeline.safety import InputError
from pipeline.workflow.flow import Flow, flow_of

MISTRAL = "artifacts/weights/mistral-7b-instruct-v0.2.Q4_K_M.gguf"


def flow(repository: Path, **cues: Any) -> Flow:
    base = repository / "config.yaml"
    overlay = {"localizer": {"method": "pcnet"}, "cues": cues}
    return flow_of(merge(load([base]).model_dump(mode="json"), overlay), base=base)


def test_the_default_run_reads_no_cues(repository: Path) -> None:
    base = repository / "config.yaml"
    usual = flow_of(load([base]).model_dump(mode="json"), base=base)
    assert usual.cues("weak") == [] and not set(usual.layout.all_cues) & set(usual.pictured())


def test_pcnet_reads_the_cues_of_every_shard(repository: Path) -> None:
    found = flow(repository)
    assert found.cues("weak") == found.layout.all_cues and found.cues("supervised") == []
    assert found.cue_files() == [found.layout.small_llm]
    pictured = set(found.pictured())
    assert {*found.layout.all_cues, found.layout.small_llm_files["curves"]} <= pictured
    assert found.fetched_weights == []


def test_rules_ask_no_model(repository: Path) -> None:
    found = flow(repository, backend="rules", llm={"model": "none.gguf"})
    assert found.cue_files() == [] and found.fetched_weights == []
    assert found.layout.small_llm_files["curves"] not in found.pictured()


def test_a_published_model_is_fetched(repository: Path) -> None:
    found = flow(repository, llm={"model": MISTRAL, "prompt": "full", "chat": "template"})
    assert found.fetched_weights == [Path(MISTRAL)] == found.cue_files()
    assert found.source_of_weights(Path(MISTRAL).name) == "mistral_7b"


def test_a_model_and_a_prompt_of_your_own_are_inputs(repository: Path, tmp_path: Path) -> None:
    model, prompt = tmp_path / "own.gguf", tmp_path / "own.yaml"
    with pytest.raises(InputError, match=r"cues\.llm\.model: .*own\.gguf: no such file"):
        flow(repository, llm={"model": str(model)})
    model.write_bytes(b"0" * 3_000_000)
    prompt.touch()
    found = flow(repository, llm={"model": str(model), "prompt": str(prompt)})
    assert found.cue_files() == [model, prompt]
    assert found.cue_memory_mb == flow(repository).cue_memory_mb + 6


def test_a_published_model_that_is_not_known_is_told(repository: Path) -> None:
    with pytest.raises(InputError, match=r"cues\.llm\.model: .*is nothing that can be fetched"):
        flow(repository, llm={"model": "artifacts/weights/unknown.gguf"})
