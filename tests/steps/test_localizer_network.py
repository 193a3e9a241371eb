"""From the configuration to a localizer: what each method is given, and whose losses count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from pipeline.config import Config, check, merge, read_yaml
from pipeline.encoders import Encoder
from pipeline.localizers.crm import ConditionalReferring
from pipeline.localizers.ehin import EhinLocalizer
from pipeline.localizers.pcnet import PcnetLocalizer
from pipeline.localizers.tris import TrisLocalizer
from pipeline.runs import STEP_KEYS, step_settings
from pipeline.steps import localizer_network
from pipeline.steps.localizer_network import build_localizer, is_judged, loss_starts, loss_weights
from tests.networks import batch, encoder

BASE = read_yaml(Path(__file__).parents[2] / "config.yaml")
SMALL = {"localizer": {"hidden": 16}}


def changed(overlay: str) -> Config:
    content: dict[str, Any] = yaml.safe_load(overlay) or {}
    return check(merge(merge(BASE, SMALL), content))


@pytest.fixture(autouse=True)
def tiny_encoders(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def encoder_of(section: object, *, seed: int) -> Encoder:
        return encoder(seed)

    monkeypatch.setattr(localizer_network, "encoder_of", encoder_of)
    yield


def test_an_overlay_switches_the_method_by_its_name_alone() -> None:
    assert type(build_localizer(changed(""), with_critic=True)) is TrisLocalizer
    network = build_localizer(changed("localizer: {method: ehin}"), with_critic=True)
    assert isinstance(network, EhinLocalizer)
    assert (network.hipm.alpha, network.hipm.beta, len(network.hipm.prompts)) == (0.1, 0.05, 2)
    assert (network.level, network.negatives, network.similarity) == (
        "early",
        "sum_times_k",
        "response",
    )
    assert network.terms == ("foreground", "eclm", "background")


def test_ehin_takes_its_own_numbers_and_what_it_shares() -> None:
    network = build_localizer(
        changed(
            """
            localizer: {method: ehin, temperature: 0.1, levels: [3], positives: text}
            ehin:
              hipm: {prompts: 3, residual: once, alpha: 0.4, beta: 0.3, output: last}
              eclm: {level: late, negatives: mean}
              similarity: clip
            """
        ),
        with_critic=True,
    )
    assert isinstance(network, EhinLocalizer)
    hipm = network.hipm
    assert (len(hipm.prompts), hipm.residual, hipm.alpha, hipm.beta) == (3, "once", 0.4, 0.3)
    assert (hipm.output, network.level, network.negatives) == ("last", "late", "mean")
    assert (network.similarity, network.positives) == ("clip", "text")
    assert network.visual.levels == (3,)
    assert network.log_scale.exp().item() == pytest.approx(10)


def test_the_losses_are_those_of_the_method() -> None:
    tris, ehin = changed(""), changed("localizer: {method: ehin}")
    assert loss_weights(tris) == {"classification": 5, "contrast": 5}
    assert loss_starts(tris) == {"classification": 0, "contrast": 0}
    assert loss_weights(ehin) == {"foreground": 5, "eclm": 2, "background": 1}  # Eq. 17
    late = changed("{localizer: {method: ehin}, ehin: {loss_starts: {eclm: 0.5}}}")
    assert loss_starts(late) == {"foreground": 0, "eclm": 0.5, "background": 0}


def test_pcnet_takes_its_own_numbers_and_what_it_shares() -> None:
    network = build_localizer(changed("localizer: {method: pcnet, levels: [3]}"), with_critic=True)
    assert isinstance(network, PcnetLocalizer) and network.critic is None
    assert (len(network.stages), network.negatives, network.answer) == (3, 0, "last")
    assert network.terms == ("classification", "contrast", "shrinking", "disambiguation")
    network = build_localizer(
        changed(
            """
            localizer: {method: pcnet, temperature: 0.1, positives: text}
            pcnet:
              crm: {stages: 2, modulation: tta, told: text, negatives: all, visual: 0.2,
                    stage_weights: [1, 2], answer: 0}
              shrinking: {alignment: avg, background: others, earlier: learns}
              disambiguation: {others: 3, alignment: avg, form: kl, scores: raw, temperature: 0.5}
              loss_weights: {contrast: 0}
            """
        ),
        with_critic=True,
    )
    assert isinstance(network, PcnetLocalizer)
    [crm, _] = network.stages
    assert isinstance(crm, ConditionalReferring)
    assert (crm.modulation, crm.visual, network.told, network.negatives) == (
        "tta",
        0.2,
        "text",
        "all",
    )
    assert (network.stage_weights, network.answer) == ((1, 2), 0)
    assert (network.ras_alignment, network.background, network.earlier) == (
        "avg",
        "others",
        "learns",
    )
    found = (network.others, network.iad_alignment, network.form, network.scores)
    assert found == (3, "avg", "kl", "raw") and network.iad_temperature == 0.5
    assert network.log_scale.exp().item() == pytest.approx(10)
    assert network.terms == ("classification", "shrinking", "disambiguation")
    weights = loss_weights(
        changed("{localizer: {method: pcnet}, pcnet: {loss_weights: {contrast: 0}}}")
    )
    assert list(weights) == ["classification", "shrinking", "disambiguation"]


@pytest.mark.parametrize(
    ("overlay", "judged"),
    [
        ("", False),
        ("localizer: {loss_weights: {calibration: 2}}", True),
        ("localizer: {method: ehin}", True),
        ("localizer: {method: pcnet, loss_weights: {calibration: 2}}", False),
        ("{localizer: {method: ehin}, ehin: {loss_weights: {eclm: 0}}}", False),
        ("{localizer: {method: ehin}, ehin: {loss_weights: {eclm: 0}, similarity: clip}}", True),
    ],
)
def test_the_critic_comes_only_where_it_is_asked(overlay: str, judged: bool) -> None:
    config = changed(overlay)
    assert is_judged(config) == judged
    assert (build_localizer(config, with_critic=True).critic is not None) == judged
    assert build_localizer(config, with_critic=False).critic is None


@pytest.mark.parametrize("similarity", ["response", "clip"])
def test_inference_gives_what_the_trained_network_gives(similarity: str) -> None:
    config = changed(f"{{localizer: {{method: ehin}}, ehin: {{similarity: {similarity}}}}}")
    trained, answering = (
        build_localizer(config, with_critic=training).eval() for training in (True, False)
    )
    assert isinstance(trained, EhinLocalizer) and isinstance(answering, EhinLocalizer)
    answering.load_state_dict(trained.state_dict())
    data = batch(3)
    with torch.no_grad():
        maps = [
            network.respond(network.encode(data.images), data.tokens, data.owner)
            for network in (trained, answering)
        ]
    assert torch.equal(*maps)


def test_numbers_of_ehin_are_nothing_to_a_run_of_tris() -> None:
    here, there = changed(""), changed("ehin: {hipm: {prompts: 4}}")
    for step in STEP_KEYS:
        assert step_settings(here, "weak", step) == step_settings(there, "weak", step)
    one, other = (
        changed(f"{{localizer: {{method: ehin}}, ehin: {{hipm: {{prompts: {count}}}}}}}")
        for count in (2, 4)
    )
    for step in ("train_localizer", "respond"):
        assert step_settings(one, "weak", step) != step_settings(other, "weak", step)
