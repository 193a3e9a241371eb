"""Every mistake in a configuration ends in one line: the key, what was given, what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import (
    PUBLISHED_TEXT,
    Config,
    check,
    merge,
    read_yaml,
    run_config,
    variants_of,
)
from pipeline.evaluation import CONVENTIONS
from pipeline.safety import InputError

BASE = read_yaml(Path(__file__).parents[1] / "config.yaml")


def changed(overlay: str) -> Config:
    """The default configuration with a few keys of another."""
    content: dict[str, Any] = yaml.safe_load(overlay)
    return check(merge(BASE, content))


@pytest.mark.parametrize(
    ("overlay", "key", "words"),
    [
        ("dataset: {text: row}", "dataset.text", ["'raw' or 'sentence'", "'row'"]),
        ("localizer: {hiden: 3}", "localizer.hiden", ["unknown key", "hidden, levels"]),
        ("machine: {workers: -1}", "machine.workers", ["-1", "equal to 0"]),
        ("segmentor: {levels: []}", "segmentor.levels", ["at least 1 item", "[]"]),
        ("localizer: 3", "localizer", ["dictionary", "3"]),
        (
            "pseudo_labels: {threshold: {threshold: low}}",
            "pseudo_labels.threshold.threshold",
            ["'positive'", "a valid number", "'low'"],
        ),
        (
            "pseudo_labels: {proposal_snap: {threshold: 1.5}}",
            "pseudo_labels.proposal_snap.threshold",
            ["'positive'", "less than 1", "1.5"],
        ),
        (
            "small_clip: {phases: [{kind: text, steps: 1, batch_size: 2}]}",
            "small_clip.phases.0.kind",
            ["'object' or 'scene'", "'text'"],
        ),
        # right by itself, but not beside the others
        ("evaluation: {convention: lavt}", "dataset.text", ["'sentence'", "raw", "lavt"]),
        ("dataset: {headline: test}", "dataset.headline", ["'test'", "val, testA, testB"]),
        ("dataset: {evaluate: [train, testA]}", "dataset.evaluate", ["other than train"]),
        (
            "dataset: {evaluate: [testA, test]}",
            "dataset.evaluate",
            ["'test'", "train, val, testA, testB"],
        ),
        ("dataset: {train: trian}", "dataset.train", ["'trian'", "train, val, testA, testB"]),
        ("miniature: {scene: {min_objects: 9}}", "miniature.scene.max_objects", ["5", "9 or more"]),
        (
            "segmentor: {training: {distinct_referents: true, sampling: referents}}",
            "segmentor.training.distinct_referents",
            ["True", "false with sampling: referents", "expressions or images"],
        ),
        (
            "localizer: {loss_weights: {calibration: 2}, training: {negatives: 0}}",
            "localizer.training.negatives",
            ["0", "1 or more", "calibration 2"],
        ),
        (
            "localizer: {loss_weights: {classification: 0, contrast: 0}}",
            "localizer.loss_weights",
            ["above 0"],
        ),
        (
            "ehin: {loss_weights: {foreground: 0, eclm: 0, background: 0}}",
            "ehin.loss_weights",
            ["above 0"],
        ),
        (
            "localizer: {method: ehin, prompt_texts: own}",
            "localizer.prompt_texts",
            ["'own'", "batch", "method: ehin"],
        ),
        (
            "localizer: {method: ehin, positives: identity}",
            "localizer.positives",
            ["'identity'", "text or referent", "method: ehin"],
        ),
        (
            "localizer: {method: ehin, training: {negatives: 0}}",
            "localizer.training.negatives",
            ["0", "1 or more", "ehin.loss_weights.eclm"],
        ),
        (
            "pcnet: {loss_weights: {classification: 0, contrast: 0, shrinking: 0, "
            "disambiguation: 0}}",
            "pcnet.loss_weights",
            ["above 0"],
        ),
        (
            "pcnet: {crm: {stages: 1}}",
            "pcnet.loss_weights.shrinking",
            ["1.0", "0 with crm.stages 1"],
        ),
        ("pcnet: {crm: {stages: 6}}", "pcnet.crm.stage_weights", ["6 or more, one a stage"]),
        (
            "pcnet: {crm: {stage_weights: [0, 0, 0, 1]}}",
            "pcnet.crm.stage_weights",
            ["above 0 for at least one of the stages"],
        ),
        ("pcnet: {crm: {answer: 3}}", "pcnet.crm.answer", ["3", "below stages 3"]),
        ("pcnet: {crm: {answer: first}}", "pcnet.crm.answer", ["'first'", "'last'"]),
        (
            "{localizer: {method: pcnet}, cues: {count: 2}}",
            "pcnet.crm.stages",
            ["3", "cues.count 2 or less"],
        ),
        (
            "{localizer: {method: pcnet}, pseudo_labels: {splits: [testA]}, "
            "evaluation: {rungs: [response]}}",
            "pseudo_labels.splits",
            ["'testA'", "dataset.train, 'train'", "pcnet.loss_weights.shrinking"],
        ),
        ("ehin: {eclm: {level: middle}}", "ehin.eclm.level", ["'early' or 'late'", "'middle'"]),
        ("localizer: {cosine_floor: 1}", "localizer.cosine_floor", ["1.0", "0.9999"]),
        (
            "pseudo_labels: {refine: [crf, prms]}",
            "pseudo_labels.refine",
            ["'prms'", "threshold, irnet, crf, proposal_snap or sam_prompt"],
        ),
        (
            "pseudo_labels: {refine: [irnet, prms, irnet]}",
            "pseudo_labels.refine",
            ["'irnet', 'prms', 'irnet'", "irnet once"],
        ),
        (
            "pseudo_labels: {irnet: {labels: {background: 0.4}}}",
            "pseudo_labels.irnet.labels.background",
            ["0.4", "foreground 0.3 or less"],
        ),
        (
            "pseudo_labels: {irnet: {network: {displacement_widths: [32, 12]}}}",
            "pseudo_labels.irnet.network.displacement_widths",
            ["[32, 12]", "a multiple of group_width 8"],
        ),
        (
            "pseudo_labels: {irnet: {network: {fused_width: 12}}}",
            "pseudo_labels.irnet.network.fused_width",
            ["12", "a multiple of group_width 8"],
        ),
        (
            "pseudo_labels: {irnet: {training: {scales: [1.5, 0.5]}}}",
            "pseudo_labels.irnet.training.scales",
            ["[1.5, 0.5]", "the least and then the greatest"],
        ),
        (
            "pseudo_labels: {irnet: {trunk: swin}}",
            "pseudo_labels.irnet.trunk",
            ["'encoder', 'critic' or 'resnet50'", "'swin'"],
        ),
        (
            "{pseudo_labels: {refine: [proposal_snap, irnet], splits: [testA]}, "
            "evaluation: {rungs: [pseudo_label]}}",
            "pseudo_labels.splits",
            ["'testA'", "'train'", "proposal_snap before irnet"],
        ),
        ("cues: {backend: magic}", "cues.backend", ["'rules' or 'llm'", "'magic'"]),
        (
            "cues: {llm: {max_tokens: 256}}",
            "cues.llm.max_tokens",
            ["256", "below context 256"],
        ),
        ("small_llm: {width: 100}", "small_llm.width", ["100", "a multiple of twice heads 4"]),
        ("small_sam: {patch_size: 12}", "small_sam.patch_size", ["12", "a power of two from 4"]),
        ("small_sam: {heads: 3}", "small_sam.heads", ["3", "a divisor of width, 128"]),
        ("small_sam: {decoder_heads: 5}", "small_sam.decoder_heads", ["5", "half of prompt_width"]),
        (
            "segmentor: {consistency: {loss: kl}}",
            "segmentor.training.ema",
            ["None", "a decay with consistency.loss: kl"],
        ),
        (
            "pseudo_labels: {splits: [train, test]}",
            "pseudo_labels.splits",
            ["'test'", "train, val, testA, testB"],
        ),
        ("pseudo_labels: {splits: [val]}", "pseudo_labels.splits", ["['val']", "'train'"]),
        (
            "evaluation: {rungs: [segmentor, response]}",
            "evaluation.rungs",
            ["response, pseudo_label, segmentor", "in this order"],
        ),
        ("evaluation: {rungs: []}", "evaluation.rungs", ["at least 1 item"]),
        (
            "{evaluation: {rungs: [pseudo_label]}, pseudo_labels: {splits: [train]}}",
            "evaluation.rungs",
            ["['pseudo_label']", "another rung", "'testA'"],
        ),
        (
            "report: {published: [{table: T, split: testA, rung: response, figures: {wek: {}}}]}",
            "report.published.0.figures.wek",
            ["is no variant", "weak, supervised"],
        ),
        (
            "report: {published: [{table: T, split: testA, rung: response, "
            "figures: {weak: {miou: 1}}}]}",
            "report.published.0.figures.weak.miou",
            ["'mIoU', 'oIoU'"],
        ),
        (
            "report: {published: [{table: T, split: train, rung: response, figures: {weak: {}}}]}",
            "report.published.0.split",
            ["train is not measured", "testA"],
        ),
    ],
)
def test_a_mistake_is_one_line_with_key_value_and_what_is_allowed(
    overlay: str, key: str, words: list[str]
) -> None:
    with pytest.raises(InputError) as found:
        changed(overlay)
    (line,) = str(found.value).splitlines()
    assert line.startswith(f"config: {key}: ")
    assert [word for word in words if word not in line] == []


@pytest.mark.parametrize(
    ("overlay", "words"),
    [
        ("runs: {weak: {cues: {count: 3}}}", "runs.weak.cues: is shared"),
        ("runs: {weak: {machine: {shards: 3}}}", "runs.weak.machine: is shared"),
        (
            "runs: {weak: {pseudo_labels: {splits: [train, val]}}}",
            "runs.weak.pseudo_labels.splits: val has no proposals",
        ),
        ("runs: {weak: {evaluation: {convention: rela}}}", "runs.weak: dataset.text: 'sentence'"),
        ("runs: {weak: {pseudo_labels: 3}}", "runs.weak: pseudo_labels: "),
        (
            "{runs: {weak: null}, evaluation: {rungs: [response]}}",
            "runs.supervised: evaluation.rungs: ",
        ),
    ],
)
def test_a_mistake_of_a_run_names_the_run(overlay: str, words: str) -> None:
    with pytest.raises(InputError, match="^config: " + words.replace(".", r"\.")):
        changed(overlay)


def test_a_method_is_asked_for_its_own_numbers_alone() -> None:
    """TRIS's weights may ask for nothing while EHIN is trained, and the other way round."""
    silent = "loss_weights: {classification: 0, contrast: 0}"
    config = changed(f"localizer: {{method: ehin, {silent}}}")
    assert config.localizer.terms == []
    assert config.ehin.terms == ["foreground", "eclm", "background"]
    changed("localizer: {positives: identity, training: {negatives: 0}}")
    clip = "{localizer: {method: ehin, training: {negatives: 0}}, ehin: {loss_weights: {eclm: 0}}}"
    assert changed(clip).ehin.negative_terms == []


def test_several_mistakes_are_told_together() -> None:
    with pytest.raises(InputError) as found:
        changed("{seed: -1, machine: {workers: -1}, localizer: {hidden: 0}}")
    assert len(str(found.value).splitlines()) == 3


def test_the_published_conventions_have_the_texts_that_they_measure() -> None:
    published = {name: rule.text for name, rule in CONVENTIONS.items() if name != "default"}
    assert published == PUBLISHED_TEXT
    for name, text in published.items():
        changed(f"{{evaluation: {{convention: {name}}}, dataset: {{text: {text}}}}}")
    changed("dataset: {text: raw}")  # our own convention takes either


def variants(overlay: str) -> dict[str, list[str]]:
    """Those of the runs of an overlay alone."""
    config = changed(f"{{runs: {{weak: null, supervised: null, {overlay}}}}}")
    return variants_of({run: run_config(config, run) for run in config.runs})


def test_runs_that_differ_by_their_seed_are_one_variant_whatever_they_are_called() -> None:
    assert variants("a-0: {}, a-1: {seed: 1}, b-0: {inference: {mirror_masks: false}}") == {
        "a": ["a-0", "a-1"],
        "b": ["b-0"],
    }
    assert variants("first: {}, second: {seed: 1}") == {"first": ["first", "second"]}
    # what an overlay says again as the default says it is no difference
    again = "a-0: {}, a-1: {seed: 1, inference: {mirror_masks: true}}"
    assert variants(again) == {"a": ["a-0", "a-1"]}


def test_names_alone_make_no_variant() -> None:
    found = variants("a-0: {}, a-1: {seed: 1, inference: {mirror_masks: false}}")
    assert found == {"a-0": ["a-0"], "a-1": ["a-1"]}


def test_a_seed_counts_once() -> None:
    assert variants("a-0: {}, again-0: {}, a-1: {seed: 1}") == {"a": ["a-0", "a-1"]}
