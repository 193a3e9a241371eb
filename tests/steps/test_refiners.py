"""``ris refine``: its refiners are built as configured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.layout import Layout
from pipeline.pseudo_labels import Prms
from pipeline.steps import refiners
from tests import networks
from tests.report.fabricated import configuration


def test_the_critic_works_on_the_configured_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    critic = {"model": str(tmp_path / "artifacts/encoders/small_clip"), "image_size": networks.SIDE}
    config = configuration(
        tmp_path, critic=critic | {"context": 12}, pseudo_labels={"prms": {"combine": "best"}}
    )
    networks.encoder(0).save(Layout.of(config).small_clip)
    asked: list[str] = []

    def elsewhere(accelerator: str) -> torch.device:
        asked.append(accelerator)
        return torch.device("meta")  # stands for a GPU

    monkeypatch.setattr(refiners, "device_of", elsewhere)
    prms = refiners.build_refiners(config, ["prms"], irnet=None)[0]
    assert isinstance(prms, Prms) and prms.critic is not None
    assert asked == [config.machine.accelerator]
    assert prms.device == "meta"
    assert {weights.device.type for weights in prms.critic.parameters()} == {"meta"}
