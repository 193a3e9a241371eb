"""Where an encoder's weights come from: a folder of ours, or open_clip's list of models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from pipeline.encoders import build_encoder
from pipeline.safety import InputError
from tests.encoders.small import RESNET, TEXTS, VIT, encoder

OPTIONS: dict[str, Any] = {
    "pretrained": None,
    "output_stride": None,
    "context": 20,
    "normalise": "clip",
    "seed": 0,
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoders") / "small"
    encoder(RESNET, seed=7, output_stride=16, context=12).save(folder)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def published_architecture(vision: dict[str, Any] = VIT) -> dict[str, Any]:
    """Of a small model with CLIP's own vocabulary, as those of open_clip's list have."""
    architecture = encoder(vision).architecture
    return architecture | {"text_cfg": architecture["text_cfg"] | {"vocab_size": 49408}}


@pytest.mark.parametrize("vision", [RESNET, VIT], ids=["resnet", "vit"])
def test_saved_and_built_again_it_is_bit_identical(vision: dict[str, Any], tmp_path: Path) -> None:
    made = encoder(vision, seed=7)
    made.save(tmp_path)
    again = build_encoder(model=str(tmp_path), **OPTIONS).eval()
    first, second = made.state_dict(), again.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    images, tokens = torch.randn(2, 3, 64, 64), made.tokenize(TEXTS)
    assert tokens.equal(again.tokenize(TEXTS))
    with torch.no_grad():
        assert torch.equal(made.embed_images(images), again.embed_images(images))
        assert torch.equal(made.sentence(tokens), again.sentence(tokens))


def test_two_savings_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        encoder(seed=7).save(tmp_path / name)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_folder_remembers_its_stride_and_yields_to_the_options(saved: Path) -> None:
    assert build_encoder(model=str(saved), **OPTIONS).strides == (4, 8, 16, 16)
    other = build_encoder(
        model=str(saved),
        **(OPTIONS | {"output_stride": 32, "context": 7, "normalise": "imagenet"}),
    )
    assert other.strides == (4, 8, 16, 32) and other.context == 7
    assert other.mean == pytest.approx((0.485, 0.456, 0.406))


def test_open_clip_itself_can_load_the_folder(saved: Path) -> None:
    theirs = open_clip.create_model(f"local-dir:{saved}")
    ours = build_encoder(model=str(saved), **OPTIONS).eval()
    tokens = ours.tokenize(TEXTS)
    tokens = torch.nn.functional.pad(tokens, (0, theirs.context_length - tokens.shape[1]))
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval().encode_text(tokens), ours.sentence(tokens))


def test_a_model_of_open_clips_list_with_random_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", {"tiny": published_architecture()})
    first, again = (build_encoder(model="tiny", **OPTIONS).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert first["clip.token_embedding.weight"].shape[0] == 49408


def test_a_model_of_open_clips_list_with_the_weights_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half precision, as OpenAI's are published, becomes single; other weights are refused."""
    models = {"tiny": published_architecture(), "other": published_architecture(RESNET)}
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", models)
    path = tmp_path / "tiny.openai.safetensors"
    weights = build_encoder(model="tiny", **OPTIONS | {"seed": 9}).clip.state_dict()
    save_file({name: value.half().contiguous() for name, value in weights.items()}, path)
    found = build_encoder(model="tiny", **OPTIONS | {"pretrained": str(path)}).clip.state_dict()
    assert found.keys() == weights.keys()
    for name, value in found.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, weights[name].half().float())
    with pytest.raises(InputError, match=r"tiny\.openai\.safetensors: no weights of other"):
        build_encoder(model="other", **OPTIONS | {"pretrained": str(path)})
    with pytest.raises(InputError, match="no such file of weights"):
        build_encoder(model="tiny", **OPTIONS | {"pretrained": str(tmp_path / "gone.pt")})


@pytest.mark.parametrize("model", ["RN50", "RN50-quickgelu", "RN101", "ViT-B-32", "ViT-B-16"])
def test_the_papers_models_are_supported(model: str) -> None:
    from pipeline.encoders.openclip import _check_architecture

    _check_architecture(open_clip.get_model_config(model), model)


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(InputError, match="artifacts/nothing"):
        build_encoder(model="artifacts/nothing", **OPTIONS)


def test_a_model_that_would_fetch_a_text_tower_is_refused() -> None:
    with pytest.raises(InputError, match="hf_model_name"):
        build_encoder(model="roberta-ViT-B-32", **OPTIONS)


def test_a_folder_cannot_ask_for_a_tower_from_the_network(copy: Path) -> None:
    path = copy / "open_clip_config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["model_cfg"]["vision_cfg"]["timm_model_name"] = "resnet18"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match="timm_model_name"):
        build_encoder(model=str(copy), **OPTIONS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("open_clip_model.safetensors", b"not weights"),
        ("open_clip_model.safetensors", None),
        ("open_clip_config.json", b"{}"),
        ("vocabulary.json", None),
        ("vocabulary.json", b'{"merges": [["a", "b"]]}'),
    ],
)
def test_a_damaged_folder_is_named(copy: Path, name: str, content: bytes | None) -> None:
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    with pytest.raises(InputError, match="copy"):
        build_encoder(model=str(copy), **OPTIONS)


def test_an_interrupted_saving_keeps_the_old_files(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in copy.iterdir()}

    def broken(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("pipeline.encoders.openclip.save", broken)
    with pytest.raises(OSError, match="disk full"):
        encoder(RESNET, seed=7, output_stride=16, context=12).save(copy)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
