"""The small SAM from scenes to proposals, pseudo-labels and masks, at the smallest sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.config import Config, run_config
from pipeline.layout import Layout
from pipeline.pseudo_labels import normalised_maps
from pipeline.pseudo_labels.sam_prompt import peaks
from pipeline.runs import owner
from pipeline.safety import InputError
from pipeline.steps import evaluate, mask_scenes, predict, pretrain_sam, propose, refine, segment
from pipeline.steps.inputs import expressions_of, images_of
from pipeline.steps.localizer_network import build_localizer
from pipeline.steps.sam_probe import proposal_quality
from pipeline.store import read_json, read_table, rle_decode
from pipeline.training.weights import save_weights
from tests import networks
from tests.report.fabricated import SIDE, fabricate

RUNS = {
    "supervised": None,
    "weak": {
        "pseudo_labels": {"refine": ["sam_prompt"]},
        "evaluation": {"rungs": ["response", "pseudo_label"]},
    },
    "boxes": {
        "pseudo_labels": {"refine": ["prms", "sam_prompt"], "sam_prompt": {"prompt": "box"}},
        "evaluation": {"rungs": ["response", "pseudo_label"]},
    },
    "asked": {
        "segmentor": {"method": "sam", "sam": {"choose": "overlap"}},
        "evaluation": {"rungs": ["response", "segmentor"]},
    },
}
SMALL = {
    "scenes": 60,
    "held_out": 6,
    "patch_size": 8,
    "width": 32,
    "depth": 2,
    "heads": 2,
    "global_blocks": [1],
    "prompt_width": 32,
    "decoder_depth": 1,
    "decoder_mlp": 32,
    "iou_hidden": 16,
    "steps": 60,
    "batch_size": 6,
    "loss_weights": {"focal": 2},
    "optimisation": {"warmup_steps": 5, "curve_steps": 10, "learning_rate": 0.004},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Tables and responses of drawn scenes, and a small SAM, hardly trained."""
    folder = tmp_path_factory.mktemp("sam")
    config = fabricate(
        folder,
        runs=RUNS,
        small_sam=SMALL,
        sam={
            "model": str(folder / "artifacts/encoders/small_sam"),
            "generator": {"points_per_side": 4, "predicted_iou": 0, "stability": 0},
        },
        proposals={"method": "sam", "minimum_area": 12, "keep": 10},
        machine={"pretraining_threads": 1},
        localizer={"hidden": networks.encoder(0).embed_dim},
        encoder={
            "model": str(folder / "artifacts/encoders/small_clip"),
            "image_size": SIDE,
            "context": networks.CONTEXT,
        },
        miniature={"splits": {"train": 3}},
    )
    mask_scenes.run(config, processes=1)
    pretrain_sam.run(config)
    return config


def test_pretraining_says_how_well_it_segments_new_scenes(made: Config) -> None:
    files = Layout.of(made).small_sam_files
    found = read_json(files["probe"])
    assert found["images"] == 6 and found["objects"] >= 12
    measures = ("point", "centre", "best_of_three", "first", "box", "map")
    assert all(0 < found[name] <= 100 for name in measures)
    assert found["best_of_three"] >= max(found["point"], found["first"])
    header, *rows = files["curves"].read_text().splitlines()
    assert {"focal", "dice", "iou"} <= set(header.split(","))
    assert len(rows) == 6 and float(rows[-1].split(",")[3]) < float(rows[0].split(",")[3])


def test_every_image_gets_proposals(made: Config) -> None:
    layout = Layout.of(made)
    expected = set(images_of(made, made.pseudo_labels.splits))
    rows = []
    for shard in range(made.machine.shards):
        propose.run(made, shard=shard)
        rows += read_table(layout.proposals(shard), kind="proposals").to_pylist()
    assert rows and {row["image_id"] for row in rows} <= expected
    for image_id in {row["image_id"] for row in rows}:
        mine = sorted((r for r in rows if r["image_id"] == image_id), key=lambda r: r["rank"])
        assert [row["rank"] for row in mine] == list(range(len(mine))) and len(mine) <= 10
        assert [row["area"] for row in mine] == sorted((r["area"] for r in mine), reverse=True)
        for row in mine:
            mask = rle_decode(row["rle"], row["height"], row["width"])
            assert mask.shape == (64, 64) and int(mask.sum()) == row["area"] >= 12


def test_the_oracle_takes_the_best_proposal_of_each_object() -> None:
    masks = np.zeros((2, 8, 8), dtype=np.bool_)
    masks[0, :4, :4] = masks[1, 6:, 6:] = True
    half, exact = masks[0].copy(), masks[1]
    half[2:] = False
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    found = proposal_quality(lambda _: [(half, 0.9), (exact, 0.2)], [(image, masks)])
    assert found == {"oracle": 75.0, "recall_50": 50.0, "recall_70": 50.0, "proposals": 2.0}
    nothing = proposal_quality(lambda _: [], [(image, masks)])
    assert nothing["oracle"] == 0 and nothing["proposals"] == 0


@pytest.mark.parametrize(("run", "source"), [("weak", "map/sam:point"), ("boxes", "/sam:box")])
def test_maps_become_pseudo_labels(made: Config, run: str, source: str) -> None:
    layout = Layout.of(made)
    found = []
    for shard in range(made.machine.shards):
        refine.run(made, run=run, shard=shard)
        found += read_table(layout.pseudo_labels(run, shard), kind="pseudo_labels").to_pylist()
    assert len(found) == len(expressions_of(made, made.pseudo_labels.splits))
    assert all(row["source"].endswith(source) for row in found)
    masks = [rle_decode(row["rle"], row["height"], row["width"]) for row in found]
    assert sum(mask.any() for mask in masks) > len(masks) / 2
    evaluate.run(made, run=run)
    rungs = read_json(layout.run_metrics(run))["rungs"]
    assert rungs["pseudo_label"]["testA"]["mIoU"]["value"] > 0


def test_sam_gives_the_masks_of_a_run(made: Config) -> None:
    layout = Layout.of(made)
    segment.run(made, run="asked")
    found = read_table(layout.predictions("asked"), kind="predictions").to_pylist()
    assert len(found) == len(expressions_of(made, made.dataset.evaluate))
    evaluate.run(made, run="asked")
    rungs = read_json(layout.run_metrics("asked"))["rungs"]
    for split in made.dataset.evaluate:
        masks, maps = rungs["segmentor"][split], rungs["response"][split]
        assert masks["mIoU"]["value"] > 0
        # the point that SAM is told is the one that counts
        assert masks["PointM"]["value"] == pytest.approx(maps["PointM"]["value"])


def test_a_picture_is_asked_about_as_the_held_out_images_are(made: Config, tmp_path: Path) -> None:
    """`ris predict` answers by the localizer and SAM; its peak is the response's."""
    networks.encoder(0).save(Layout.of(made).small_clip)
    settings = run_config(made, "asked")
    weights = Layout.of(made).localizer(owner(made, "asked", "train_localizer"))
    save_weights(build_localizer(settings, with_critic=False), weights, metadata={})
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    texts = ["red circle", "the large blue square"]
    predict.run(
        made, run="asked", image=tmp_path / "a.png", expressions=texts, output=tmp_path / "out"
    )
    found = read_json(tmp_path / "out/predictions.json")
    localizer = predict.load_viewer(made, "asked", stage="localizer")
    (responses,) = localizer.respond([(pixels, texts)], total=1, title="")
    maps = normalised_maps(responses, height=50, width=40)
    assert [record["peak"] for record in found] == peaks(maps).tolist()
    assert [record["expression"] for record in found] == texts
    for record in found:
        assert np.asarray(Image.open(tmp_path / "out" / record["mask"])).shape == (50, 40)


def test_a_lacking_sam_is_named(made: Config, tmp_path: Path) -> None:
    lost = made.model_copy(update={"sam": made.sam.model_copy(update={"model": str(tmp_path)})})
    with pytest.raises(InputError, match=r"sam\.model"):
        propose.run(lost, shard=0)
