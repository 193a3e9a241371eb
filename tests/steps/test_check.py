"""``ris check``: every artifact once, with its true state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.layout import Layout
from pipeline.steps import check
from pipeline.store import write_json, write_table
from tests.report.fabricated import configuration

RUNS: dict[str, Any] = {
    "snapped": {"pseudo_labels": {"refine": ["threshold", "proposal_snap"]}},
    "again": {"seed": 1},
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configuration(tmp_path, runs=RUNS)


def line_of(path: Path, capsys: pytest.CaptureFixture[str], config: Config) -> list[str]:
    """The words of the line about a file."""
    check.run(config)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if f" {path} " in f" {line} ")
    return line.split()


def test_nothing_is_there_at_first(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    check.run(config)
    printed = capsys.readouterr().out
    assert "valid; runs: weak, supervised, snapped, again" in printed
    assert "headline testA" in printed
    assert "\n0 of " in printed and "make run" in printed
    assert "there " not in printed.split("what it is")[1]


def test_a_whole_table_is_there_with_its_rows(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Layout.of(config).table("images")
    columns = {
        "dataset": ["toy"],
        "split": ["val"],
        "image_id": [1],
        "file": ["a.png"],
        "height": [2],
        "width": [3],
    }
    write_table(path, columns, kind="images", config_digest="0")
    words = line_of(path, capsys, config)
    assert words[0] == "there" and words[-2:] == ["1", "rows"]


def test_a_damaged_table_is_told(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    path = Layout.of(config).predictions("weak")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1 cut short")
    words = line_of(path, capsys, config)
    assert words[0] == "damaged" and "rerun" in words
    check.run(config)
    assert "0 of" in capsys.readouterr().out


def test_a_table_of_another_kind_is_told(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Layout.of(config).run_expressions("weak")
    write_table(path, {"a": [1]}, kind="other", config_digest="0")
    assert line_of(path, capsys, config)[0] == "damaged"


def test_other_files_and_folders_have_sizes(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout.of(config)
    write_json(layout.metrics, {})
    assert line_of(layout.metrics, capsys, config)[:3] == ["there", "3", "B"]
    layout.figures.mkdir(parents=True)
    for name in ("a.png", "b.png"):
        (layout.figures / name).write_bytes(b"0" * 1000)
    words = line_of(layout.figures, capsys, config)
    assert words[:3] == ["there", "2.0", "kB"] and words[-2:] == ["2", "files"]


def test_shared_artifacts_come_once_with_all_their_runs(config: Config) -> None:
    found = {artifact.path: artifact.purpose for artifact in check.artifacts(config)}
    layout = Layout.of(config)
    assert len(found) == len(list(check.artifacts(config)))
    assert found[layout.localizer("weak")] == "localizer of weak, snapped"
    assert layout.localizer("snapped") not in found
    assert found[layout.localizer("again")] == "localizer of again"
    assert layout.localizer("supervised") not in found
    assert layout.pseudo_labels("snapped", 1) in found
    assert layout.pseudo_labels("supervised", 0) not in found
    assert layout.segmentor("supervised") in found


def test_proposals_and_the_small_clip_only_where_they_are_used(tmp_path: Path) -> None:
    published = {"model": "RN50-quickgelu", "pretrained": "openai"}
    config = configuration(
        tmp_path,
        encoder=published,
        critic=published,
        pseudo_labels={"refine": ["threshold"]},
    )
    layout = Layout.of(config)
    paths = {artifact.path for artifact in check.artifacts(config)}
    assert not paths & {layout.proposals(0), layout.captions, *layout.small_clip_files.values()}
    paths = {artifact.path for artifact in check.artifacts(configuration(tmp_path))}
    assert {layout.proposals(0), layout.captions} < paths


def test_cues_and_what_makes_them_only_where_they_are_read(tmp_path: Path) -> None:
    usual = configuration(tmp_path)
    layout = Layout.of(usual)
    made = {*layout.all_cues, *layout.small_llm_files.values()}
    assert not made & {artifact.path for artifact in check.artifacts(usual)}
    llm = {"model": str(layout.small_llm)}
    config = configuration(tmp_path, localizer={"method": "pcnet"}, cues={"llm": llm})
    assert made < {artifact.path for artifact in check.artifacts(config)}
    rules = configuration(tmp_path, localizer={"method": "pcnet"}, cues={"backend": "rules"})
    paths = {artifact.path for artifact in check.artifacts(rules)}
    assert set(layout.all_cues) < paths and layout.small_llm not in paths


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_000_000, "2.0 MB"), (31 * 10**8, "3.1 GB")],
)
def test_sizes(size: int, words: str) -> None:
    assert check.human(size) == words
