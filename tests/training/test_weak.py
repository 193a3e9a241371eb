"""The proof that weak training sees no mask: with other masks, or none, the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.layout import Layout
from pipeline.localizers import LOCALIZERS
from tests.training import real


@pytest.mark.parametrize("method", LOCALIZERS)
def test_a_localizer_learns_the_same_whatever_the_masks_are(tmp_path: Path, method: str) -> None:
    """Noise for the masks, boxes and categories of all splits, then no such files at all."""
    real.write_inputs(tmp_path)
    layout = Layout.of(real.config(tmp_path))
    annotated = [layout.table(name) for name in ("truth", "objects")]

    expected, _ = real.train(tmp_path, method=method)
    before = [path.read_bytes() for path in annotated]
    real.write_data(tmp_path, noise=1)
    assert all(path.read_bytes() != old for path, old in zip(annotated, before, strict=True))
    assert real.train(tmp_path, method=method)[0] == expected
    for path in annotated:
        path.unlink()
    assert real.train(tmp_path, method=method)[0] == expected


def test_the_proof_can_fail(tmp_path: Path) -> None:
    """The same noise changes what a network learns that is given the masks."""
    real.write_inputs(tmp_path)
    expected = real.train_on_masks(tmp_path)
    assert real.train_on_masks(tmp_path) == expected
    real.write_data(tmp_path, noise=1)
    assert real.train_on_masks(tmp_path) != expected
