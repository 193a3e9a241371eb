"""The small LLM is taught, exported and asked by llama.cpp; the cues of every expression."""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.layout import Layout
from pipeline.runs import step_settings
from pipeline.safety import InputError
from pipeline.steps import decompose, miniature, pretrain_llm, tables
from pipeline.steps.inputs import cues_of, expressions_of, in_shard
from pipeline.store import digest_file, digest_of, read_json, read_manifest, read_table
from tests.report.fabricated import ROOT, configuration


def small(folder: Path, **changes: Any) -> Config:
    """Everything at its smallest; ``changes`` are of the section ``cues``."""
    llm = {"model": str(Layout.of(configuration(folder)).small_llm), "max_tokens": 60}
    return configuration(
        folder,
        small_llm={
            "scenes": 30,
            "held_out": 20,
            "vocabulary": 500,
            "width": 32,
            "layers": 1,
            "heads": 2,
            "feed_forward": 32,
            "steps": 25,
            "batch_size": 16,
            "optimisation": {"warmup_steps": 2, "curve_steps": 5, "learning_rate": 0.01},
        },
        cues={"llm": llm, **changes},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("cues")
    miniature.run(small(found), processes=1)
    tables.run(small(found))
    return found


def made(config: Config) -> list[dict[str, Any]]:
    for shard in range(config.machine.shards):
        decompose.run(config, shard=shard, processors=1)
    return [
        row
        for path in Layout.of(config).all_cues
        for row in read_table(path, kind="cues").to_pylist()
    ]


def check_rows(config: Config, rows: list[dict[str, Any]]) -> None:
    """One row an expression of every split in use, as many cues each as the config says."""
    expressions = expressions_of(config, config.dataset.splits)
    names = ("dataset", "split", "image_id", "ref_id", "sent_id")
    assert sorted(tuple(row[name] for name in names) for row in rows) == sorted(
        tuple(getattr(e, name) for name in names) for e in expressions
    )
    found = cues_of(Layout.of(config).all_cues)
    for row in rows:
        assert len(row["cues"]) == config.cues.count and len(set(row["cues"])) == row["made"]
        assert found[row["split"], row["ref_id"], row["sent_id"]] == tuple(row["cues"])
    shards = [
        set(read_table(path, kind="cues")["image_id"].to_pylist())
        for path in Layout.of(config).all_cues
    ]
    assert not shards[0] & shards[1] and all(shards)


def test_rules(folder: Path) -> None:
    config = small(folder, backend="rules", count=4)
    rows = made(config)
    check_rows(config, rows)
    assert {row["source"] for row in rows} == {"rules"}
    assert sum(row["dropped"] for row in rows) == 0
    assert sum(row["made"] for row in rows) > 2 * len(rows)
    manifest = read_manifest(Layout.of(config).cues(0), kind="cues")
    assert manifest.config_digest == digest_of(step_settings(config, None, "decompose"))


@pytest.fixture(scope="module")
def taught(folder: Path) -> Config:
    """The folder with a small LLM that was taught for seconds, which teaches it little."""
    pytest.importorskip("llama_cpp", reason="the extra `llm` is not installed")
    pytest.importorskip("gguf", reason="the extra `llm` is not installed")
    config = small(folder)
    with pytest.raises(InputError, match=r"cues\.llm\.model: .*cannot be read"):
        decompose.run(config, shard=0, processors=1)
    pretrain_llm.run(config)
    return config


@pytest.mark.parametrize("lacking", ["gguf", "llama_cpp"])
def test_a_lacking_package_is_told_before_the_training(
    folder: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    monkeypatch.setitem(sys.modules, lacking, None)
    monkeypatch.setattr(pretrain_llm, "pretrain", lambda *_, **__: pytest.fail("it was trained"))
    with pytest.raises(InputError, match="EXTRAS=test,lint,llm"):
        pretrain_llm.run(small(folder))


def test_teaching_twice_gives_the_same_bytes(taught: Config, tmp_path: Path) -> None:
    layout = Layout.of(taught)
    files = layout.small_llm_files
    assert all(path.is_file() for path in files.values())
    assert {path for path in layout.small_llm.parent.iterdir()} == set(files.values())
    quality = read_json(files["quality"])
    assert quality["count"] == 20 and 0 <= quality["right"] <= quality["covering"] <= 1
    with open(files["curves"], newline="") as file:
        losses = [float(row["answer"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0] - 1
    again = small(tmp_path)
    pretrain_llm.run(again)
    assert digest_file(Layout.of(again).small_llm) == digest_file(layout.small_llm)


def test_the_small_llm_makes_cues(taught: Config) -> None:
    layout = Layout.of(taught)
    rows = made(taught)
    check_rows(taught, rows)
    assert {row["source"] for row in rows} <= {"llm", "expression"}
    before = [digest_file(path) for path in layout.all_cues]
    answers = sorted(layout.cue_answers.rglob("*.json"))
    assert answers and len({path.parent for path in answers}) == 1
    for path in (*layout.all_cues, *answers):
        path.unlink()
    made(taught)
    assert [digest_file(path) for path in layout.all_cues] == before


KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.cues.llama import LlamaModel
from pipeline.steps import decompose
from tests.steps.test_decompose import small
answer, asked = LlamaModel.answer, []
def counted(model, expression):
    asked.append(expression)
    if len(asked) > int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(model, expression)
LlamaModel.answer = counted
folder = Path(sys.argv[1])
llm = {**small(folder).cues.llm.model_dump(), "save_seconds": 1e-9}
decompose.run(small(folder, llm=llm), shard=0, processors=1)
print(len(asked))
"""


def test_a_killed_shard_asks_nothing_again(taught: Config, folder: Path) -> None:
    """SIGKILL in the middle; what was answered by then is there for the next attempt."""
    layout = Layout.of(taught)
    shutil.rmtree(layout.cue_answers, ignore_errors=True)
    layout.cues(0).unlink(missing_ok=True)

    def attempt(most: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILLED, str(folder), str(most)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    killed = attempt(3)
    assert killed.returncode == -signal.SIGKILL and not layout.cues(0).exists()
    texts = {
        e.text
        for e in expressions_of(taught, taught.dataset.splits)
        if in_shard(e.image_id, 0, taught.machine.shards)
    }
    done = attempt(10_000)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(texts) - 3
    resumed = read_table(layout.cues(0), kind="cues")
    shutil.rmtree(layout.cue_answers)
    decompose.run(taught, shard=0, processors=1)
    assert resumed.equals(read_table(layout.cues(0), kind="cues"))


def test_a_prompt_that_the_context_cannot_hold_is_told_before_training(folder: Path) -> None:
    config = small(folder)
    llm = {**config.cues.llm.model_dump(), "context": 64, "max_tokens": 8}
    with pytest.raises(InputError, match=r"cues\.llm\.context: 64 tokens; the prompt 'small'"):
        pretrain_llm.run(small(folder, llm=llm))
    with pytest.raises(InputError, match=r"small_llm\.held_out: 20 of"):
        pretrain_llm.run(
            config.model_copy(
                update={"small_llm": config.small_llm.model_copy(update={"scenes": 1})}
            )
        )
