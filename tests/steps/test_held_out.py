"""Images of the training split that are held out: apart from those trained on, and whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, check
from pipeline.safety import InputError
from pipeline.steps import train_localizer
from pipeline.steps.fitting import expression_batches, held_out_batches
from pipeline.steps.localizer_network import build_localizer
from pipeline.training.batches import ExpressionBatches
from tests.training import real


def configured(folder: Path, **training: Any) -> Config:
    content = real.config(folder).model_dump()
    content["localizer"]["training"] |= training
    return check(content)


def seen(batches: ExpressionBatches) -> set[int]:
    """Image ids of an epoch."""
    stream = batches.stream(start=0, stop=len(batches), rank=0, world=1)
    return {image for batch in stream for image in batch.image_ids.tolist()}


def sources(config: Config) -> tuple[ExpressionBatches, ExpressionBatches | None]:
    encoder = build_localizer(config, with_critic=False).encoder
    section = config.localizer.training
    return (
        expression_batches(config, section, encoder=encoder, masks=None),
        held_out_batches(config, section, encoder=encoder, masks=None),
    )


def test_an_image_is_trained_on_or_held_out(tmp_path: Path) -> None:
    real.write_inputs(tmp_path)
    trained, held_out = sources(configured(tmp_path, held_out=3))
    assert held_out is not None
    assert len(seen(held_out)) == 3
    assert seen(trained) | seen(held_out) == set(range(8))
    assert not seen(trained) & seen(held_out)
    again = sources(configured(tmp_path, held_out=3))[1]
    assert again is not None and seen(again) == seen(held_out)


def test_nothing_is_held_out_unless_asked_for(tmp_path: Path) -> None:
    real.write_inputs(tmp_path)
    trained, held_out = sources(configured(tmp_path, held_out=0))
    assert held_out is None
    assert seen(trained) == set(range(8))


def test_holding_out_everything_is_refused(tmp_path: Path) -> None:
    real.write_inputs(tmp_path)
    with pytest.raises(InputError, match=r"held_out: 8 of the 8"):
        sources(configured(tmp_path, held_out=8))


def test_the_step_ends_with_the_best_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real.write_inputs(tmp_path)
    config = configured(tmp_path, held_out=3, result="best", epochs=3)
    train_localizer.run(config, run="weak")
    said = [line for line in capsys.readouterr().err.splitlines() if "held-out loss" in line]
    assert len(said) == 3
