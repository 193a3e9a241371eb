"""Segment Anything at a very small size: its files, its prompts, its masks of everything."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anything.modeling.image_encoder import PatchEmbed

from pipeline.encoders.sam import SamShape, files_of_sam, load_sam, new_sam, save_sam
from pipeline.encoders.sam_prompts import (
    SamEverything,
    SamPrompter,
    decode_prompts,
    encode_images,
)
from pipeline.encoders.sam_stem import ConvolutionStem
from pipeline.safety import InputError

SHAPE = SamShape(
    image_size=32,
    patch_size=8,
    stem_width=8,
    width=16,
    depth=2,
    heads=2,
    window=2,
    global_blocks=(1,),
    prompt_width=16,
    mask_channels=8,
    decoder_depth=1,
    decoder_heads=2,
    decoder_mlp=16,
    iou_hidden=16,
)
IMAGE = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
POINTS = np.array([[3, 4], [30, 20], [39, 0]], dtype=np.float32)
BOXES = np.array([[0, 0, 10, 10], [5, 5, 39, 23], [1, 2, 3, 4]], dtype=np.float32)
MASKS = np.random.default_rng(1).random((3, 24, 40)).astype(np.float32)


def prompter(*, prompts_per_batch: int = 64, seed: int = 0) -> SamPrompter:
    sam = SamPrompter(new_sam(SHAPE, seed=seed), device="cpu", prompts_per_batch=prompts_per_batch)
    sam.look_at(IMAGE)
    return sam


def test_prompts_of_several_images_are_decoded_as_the_package_does_one_image() -> None:
    sam = new_sam(SHAPE, seed=0).eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    owner = torch.tensor([0, 1, 1, 0])
    points = torch.tensor([[[3.0, 4.0]], [[9.0, 1.0]], [[20.0, 30.0]], [[31.0, 31.0]]])
    labels = torch.ones(4, 1, dtype=torch.int64)
    with torch.no_grad():
        embeddings = encode_images(sam, images)
        sparse, dense = sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)
        logits, quality = decode_prompts(sam, embeddings, owner, sparse, dense)
        for number, image in enumerate(owner.tolist()):
            one = slice(number, number + 1)
            own = sam.image_encoder(sam.preprocess(images[image].float())[None])
            expected, told = sam.mask_decoder.predict_masks(
                own, sam.prompt_encoder.get_dense_pe(), sparse[one], dense[one]
            )
            torch.testing.assert_close(logits[one], expected)
            torch.testing.assert_close(quality[one], told)


def test_without_a_stem_the_patches_are_the_packages_own() -> None:
    shape = replace(SHAPE, stem_width=0)
    assert isinstance(new_sam(shape, seed=0).image_encoder.patch_embed, PatchEmbed)
    assert isinstance(new_sam(SHAPE, seed=0).image_encoder.patch_embed, ConvolutionStem)


@pytest.mark.parametrize("patch_size", [4, 8, 16])
def test_a_stem_has_the_shape_of_what_it_stands_for(patch_size: int) -> None:
    stem = ConvolutionStem(patch_size=patch_size, width=12, stem_width=8)
    own = PatchEmbed((patch_size,) * 2, (patch_size,) * 2, embed_dim=12)
    images = torch.rand(2, 3, 32, 32)
    assert stem(images).shape == own(images).shape == (2, 32 // patch_size, 32 // patch_size, 12)


def test_a_folder_gives_back_the_same_sam_and_the_same_bytes(tmp_path: Path) -> None:
    sam = new_sam(SHAPE, seed=3)
    for folder in ("one", "two"):
        save_sam(sam, SHAPE, tmp_path / folder)
    found = load_sam(str(tmp_path / "one"), None)
    assert not found.training
    for name, value in sam.state_dict().items():
        assert torch.equal(found.state_dict()[name], value)
    paths = [files_of_sam(str(tmp_path / folder), None) for folder in ("one", "two")]
    assert [path.read_bytes() for path in paths[0]] == [path.read_bytes() for path in paths[1]]
    assert len(paths[0]) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_size": 1 << 20}, "up to"),
        ({"width": "16"}, "up to"),
        ({"depth": 0}, "up to"),
        ({"global_blocks": [1, -1]}, "up to"),
        ({"global_blocks": 1}, "up to"),
        ({"run": "this"}, "exactly the keys"),
        ({"width": 32}, "another model"),
        ({"patch_size": 7}, "divide"),
        ({"image_size": 36, "patch_size": 12}, "power of two"),
        ({"heads": 3}, "cannot be built"),
    ],
)
def test_a_strangers_sizes_are_checked(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    save_sam(new_sam(SHAPE, seed=0), SHAPE, tmp_path)
    path = tmp_path / "sam.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=words):
        load_sam(str(tmp_path), None)


def test_what_is_no_sam_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sam\.model.*vit_h"):
        load_sam(str(tmp_path), None)
    with pytest.raises(InputError, match=r"sam\.weights.*vit_b"):
        load_sam("vit_b", None)
    save_sam(new_sam(SHAPE, seed=0), SHAPE, tmp_path)
    (tmp_path / "sam.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged"):
        load_sam(str(tmp_path), None)


def test_the_weights_of_another_sam_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sam_vit_b.pth"
    torch.save(new_sam(SHAPE, seed=0).state_dict(), path)
    with pytest.raises(InputError, match=r"sam_vit_b\.pth.*vit_b"):
        load_sam("vit_b", str(path))


def test_an_image_is_encoded_once_for_all_its_prompts() -> None:
    sam = new_sam(SHAPE, seed=0)
    calls: list[int] = []
    sam.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    asked = SamPrompter(sam, device="cpu", prompts_per_batch=2)
    asked.look_at(IMAGE)
    for _ in range(3):
        asked.ask(points=POINTS)
    assert calls == [1]


@pytest.mark.parametrize(
    "prompts",
    [
        {"points": POINTS},
        {"boxes": BOXES},
        {"masks": MASKS},
        {"points": POINTS, "masks": MASKS},
        {"boxes": BOXES, "masks": MASKS},
    ],
    ids=lambda prompts: " and ".join(prompts),
)
def test_prompts_answered_together_are_answered_as_alone(prompts: dict[str, np.ndarray]) -> None:
    together, scores = prompter().ask(**prompts)
    assert together.shape == (3, 3, 24, 40) and scores.shape == (3, 3)
    apart = prompter(prompts_per_batch=1).ask(**prompts)
    np.testing.assert_allclose(together, apart[0], atol=1e-5)
    np.testing.assert_allclose(scores, apart[1], atol=1e-5)
    alone, _ = prompter().ask(**prompts, several=False)
    assert alone.shape == (3, 1, 24, 40)
    different = [float(np.abs(together[0] - other).max()) for other in together[1:]]
    assert min(different) > 1e-4  # other prompts, other answers


def test_a_mask_prompt_lies_where_the_image_does() -> None:
    """The image is scaled by its longer side and padded; so is the mask, at the decoder's size."""
    sam = prompter()
    given = np.zeros((1, 24, 40), dtype=np.float32)
    given[:, :12, 20:] = 1
    logits = sam._mask_prompts(torch.from_numpy(given))[0, 0]
    assert logits.shape == (16, 16)  # four times the grid of 4
    height = round(24 * 16 / 40)  # of the image within the square
    assert (logits[: height // 2 - 1, 9:] > 0).all() and (logits[:, :7] < 0).all()
    assert (logits[height:] == -10).all()


def test_a_prompt_must_be_one() -> None:
    with pytest.raises(ValueError, match="point"):
        prompter().ask()


def everything(**changes: float) -> SamEverything:
    settings = {
        "points_per_side": 3,
        "points_per_batch": 4,
        "predicted_iou": 0.0,
        "stability": 0.0,
        "stability_offset": 0.1,
        "box_overlap": 1.0,
    }
    sam = new_sam(SHAPE, seed=0)
    return SamEverything(sam, device="cpu", **settings | changes)  # type: ignore[arg-type]


def test_everything_is_found_by_prompts_on_a_grid() -> None:
    masks, scores = everything().masks(IMAGE)
    assert masks.dtype == np.bool_ and masks.shape == (len(scores), 24, 40) and len(masks) > 0
    again, _ = everything().masks(IMAGE)
    assert np.array_equal(masks, again)


def test_nothing_may_be_good_enough() -> None:
    masks, scores = everything(predicted_iou=1e6).masks(IMAGE)
    assert masks.shape == (0, 24, 40) and scores.shape == (0,)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="divide"):
        new_sam(replace(SHAPE, image_size=30), seed=0)
