"""Every benchmark runs for real at a tiny size and says what it claims to say."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import (
    crf_kernel,
    evaluation_memory,
    evaluation_sharing,
    inference,
    loading,
    random_walk,
    sam,
    scale,
)
from benchmarks.page import page
from benchmarks.rows import COLUMNS, Row, markdown
from benchmarks.settings import ROOT
from pipeline.store import TableReader


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave torch's threads as they were, and do not wait for the disk."""
    threads = torch.get_num_threads()
    monkeypatch.setattr(os, "fsync", lambda _: None)
    yield
    torch.set_num_threads(threads)


def told(rows: list[Row]) -> list[str]:
    """The claims of rows whose numbers make sense."""
    for row in rows:
        assert row.ours > 0 and row.alternative > 0 and math.isfinite(row.ratio)
        assert row.at_least is not None or row.at_most is not None
        ratios = (row.ours / row.alternative, row.alternative / row.ours)
        assert row.ratio == pytest.approx(ratios[0]) or row.ratio == pytest.approx(ratios[1])
    return [row.claim for row in rows]


def test_sharing_an_encoding() -> None:
    claims = told(evaluation_sharing.rows(**evaluation_sharing.TINY))
    assert [re.search("segmentor|localizer", claim)[0] for claim in claims] == [  # type: ignore[index]
        "segmentor",
        "localizer",
    ]


def test_sharing_an_encoding_among_prompts() -> None:
    (claim,) = told(sam.rows(**sam.TINY))
    assert claim.startswith("SAM")


def test_asking_for_cues() -> None:
    pytest.importorskip("llama_cpp", reason="the extra `llm` is not installed")
    from benchmarks import cues

    claims = told(cues.rows(**cues.TINY))
    assert [re.search("small|full|disk", claim)[0] for claim in claims] == [  # type: ignore[index]
        "small",
        "full",
        "disk",
    ]


def test_inference_of_both_methods_at_both_sizes() -> None:
    rows = inference.rows(**inference.TINY)
    claims = told(rows)
    assert [("papers' size" in claim, "all expressions" in claim) for claim in claims] == [
        (False, False),
        (False, True),
        (True, False),
        (True, True),
    ]
    # an encoding at 320 pixels costs many of the small one, and is shared by all expressions
    assert rows[2].ours > 3 * rows[0].ours and rows[3].ours < rows[2].ours


def test_outputs_that_differ_are_no_benchmark() -> None:
    maps = torch.randn(3, 4, 4).numpy()
    evaluation_sharing.agree(maps, maps * 1.001)
    with pytest.raises(AssertionError, match="differ"):
        evaluation_sharing.agree(maps, maps[::-1])


def test_sharing_the_kernels_of_the_crf() -> None:
    rows = crf_kernel.rows(**crf_kernel.TINY)
    claims = told(rows)
    assert sum("all maps at once" in claim for claim in claims) == 2
    assert "two processes" in claims[-1]
    # several maps an image: even on a busy machine one build must not cost more than several
    together = next(row for row in rows if "all maps at once" in row.claim)
    assert together.ratio > 1


def test_the_random_walk_against_the_dense_one() -> None:
    rows = random_walk.rows(**random_walk.TINY)
    claims = told(rows)
    against = ("dense", "dense", "single steps", "allowed", "allowed", "allowed", "one")
    assert all(other in claim for other, claim in zip(against, claims, strict=True))
    difference = next(row for row in rows if row.claim.startswith("walk: difference"))
    assert difference.holds


def test_loading_against_training() -> None:
    claims = told(loading.rows(**loading.TINY))
    assert [("first" in claim, "localizer" in claim) for claim in claims] == [
        (True, True),
        (False, True),
        (True, False),
        (False, False),
    ]


def test_the_clock_around_batches() -> None:
    """Consumption is what passes between batches, production what passes while one is made."""
    source = loading.Timed([])  # type: ignore[arg-type]
    source.images = [10, 10, 10, 10, 10]
    source.clock = [(0, 9), (10, 10.5), (11, 11.5), (13.5, 14), (16, 99)]
    assert loading.production(source, slice(1, 4)) == 30 / 1.5
    assert loading.consumption(source) == 20 / 4


def test_memory_at_four_times_the_images() -> None:
    (claim,) = told(evaluation_memory.rows(**evaluation_memory.TINY))
    assert claim.startswith("memory of `ris segment`: 2 images, against 8 (")


def test_the_tables_at_scale_cost_what_is_allowed(tmp_path: Path) -> None:
    """Reduced; what is allowed of all images is allowed of a few."""
    rows = scale.rows(**scale.TINY)
    parts = ("opening", "rows of one image", "on disk", "planning", "memory")
    assert all(part in claim for part, claim in zip(parts, told(rows), strict=True))
    assert all(row.holds for row in rows), markdown(rows)
    scale.draw([scale.Cost(size, 0.1, 1.0, 2.0, 3.0, 4.0) for size in (1, 2)], tmp_path / "s.png")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_every_image_has_its_expressions_and_proposals(tmp_path: Path) -> None:
    scale.generate(tmp_path, 70)
    for kind, count in (("responses", round(70 * scale.EXPRESSIONS)), ("proposals", 70 * 40)):
        with TableReader(scale.table(tmp_path, kind), kind=kind) as reader:
            found = {image: len(rows) for image, rows in reader.images()}
        assert sorted(found) == list(range(70)) and sum(found.values()) == count


def test_a_step_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"ris segment failed: .*missing\.yaml"):
        evaluation_memory.peak("segment", tmp_path / "missing.yaml")


def row(ratio: float, *, at_least: float | None = None, at_most: float | None = None) -> Row:
    return Row("this, against that", 1.0, ratio, "ms", ratio, at_least, at_most)


def test_a_row_says_when_it_misses() -> None:
    assert row(2.1, at_least=2).wanted == "≥ 2"
    assert row(1.9, at_least=2).wanted == "≥ 2 (missed)"
    assert row(1.2, at_least=1, at_most=1.1).wanted == "≥ 1 and ≤ 1.1 (missed)"


def test_the_table_has_one_width() -> None:
    lines = markdown([row(2.0, at_least=1), row(1234.5, at_most=1)]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == list(COLUMNS)
    assert "| 1234" in lines[3]


def test_the_page_explains_every_benchmark_and_names_no_place() -> None:
    text = page([row(2.0, at_least=1)], command.NAMES)
    for name in command.NAMES:
        assert f"### `benchmarks/{name}.py`" in text
    assert "python -m benchmarks --write docs/benchmarks.md" in text
    assert "torch:" in text and "commit:" in text
    assert str(ROOT) not in text and os.uname().nodename not in text


def test_the_kept_page_is_of_these_benchmarks() -> None:
    kept = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for name in command.NAMES:
        assert f"### `benchmarks/{name}.py`" in kept
    assert kept.count("\n| ") > len(command.NAMES)


def test_an_unknown_name_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "speed"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "no benchmark 'speed'" in done.stderr


def test_the_command_prints_and_writes_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "as_steps_run", lambda: None)  # it is for a process of its own
    kept = tmp_path / "page.md"
    command.main(["evaluation_sharing", "--tiny", "--write", str(kept)])
    printed = capsys.readouterr().out
    assert printed.startswith("| claim")
    assert printed.strip() in kept.read_text(encoding="utf-8")


def test_threads_are_set_before_torch_is_there() -> None:
    code = (
        "import os, sys; from benchmarks.__main__ import as_steps_run; as_steps_run(); "
        "sys.exit('torch' in sys.modules or os.environ['OMP_NUM_THREADS'] != '1')"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "7"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0
