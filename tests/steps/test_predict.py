"""``ris predict`` from a file to files, with a tiny trained run of random weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.config import Config
from pipeline.encoders.openclip import OpenClipEncoder
from pipeline.layout import Layout
from pipeline.safety import InputError
from pipeline.steps import predict
from pipeline.steps.segmentor_network import build_segmentor
from pipeline.store import read_json, rle_decode
from pipeline.training.weights import save_weights
from tests import networks
from tests.report.fabricated import configuration

TEXTS = ["red circle", "the large blue square on the left"]


def tiny(folder: Path, **changes: Any) -> Config:
    """A configuration whose run ``weak`` can be trained in no time, and its encoder."""
    model = str(folder / "artifacts/encoders/small_clip")
    encoder = {"model": model, "image_size": networks.SIDE, "context": networks.CONTEXT}
    return configuration(folder, encoder=encoder, **changes)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("trained")
    config = tiny(folder)
    networks.encoder(0).save(Layout.of(config).small_clip)
    save_weights(build_segmentor(config), Layout.of(config).segmentor("weak"), metadata={})
    return config


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "predictions"


def picture(path: Path, size: tuple[int, int], mode: str = "RGB", **options: Any) -> Path:
    """A file of noise, ``size`` wide and high."""
    channels = {"L": (), "RGB": (3,), "CMYK": (4,)}[mode]
    shape = (size[1], size[0], *channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels, mode).save(path, **options)
    return path


def run(config: Config, image: Path, output: Path, texts: list[str]) -> list[dict[str, Any]]:
    predict.run(config, run="weak", image=image, expressions=texts, output=output)
    found: list[dict[str, Any]] = read_json(output / "predictions.json")
    return found


def test_every_expression_gets_its_files(config: Config, output: Path, tmp_path: Path) -> None:
    image = picture(tmp_path / "a.png", (50, 38))
    found = run(config, image, output, TEXTS)
    assert [record["expression"] for record in found] == TEXTS
    assert [record["mask"] for record in found] == [
        "01-red-circle-mask.png",
        "02-the-large-blue-square-on-the-left-mask.png",
    ]
    for record in found:
        mask = np.asarray(Image.open(output / record["mask"]))
        assert mask.shape == (record["height"], record["width"]) == (38, 50)
        assert mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 255}
        height, width = record["rle"]["size"]
        decoded = rle_decode(record["rle"]["counts"].encode(), height, width)
        assert np.array_equal(decoded, mask == 255)
        x, y = record["peak"]
        assert 0 <= x < 50 and 0 <= y < 38
        assert 0 <= record["score"] <= 1 and record["image"] == str(image)
        if record["box"] is None:
            assert not mask.any()
        else:
            left, top, wide, high = record["box"]
            inside = mask[top : top + high, left : left + wide]
            assert inside.sum() == mask.sum() and inside.any(axis=0)[[0, -1]].all()
        with Image.open(output / record["overlay"]) as drawn:
            assert drawn.mode == "RGB" and drawn.width >= 320
    assert len(list(output.iterdir())) == 5


def test_an_image_is_encoded_once_for_all(
    config: Config, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    pyramid = OpenClipEncoder.pyramid

    def counted(self: OpenClipEncoder, images: Any) -> Any:
        seen.append(len(images))
        return pyramid(self, images)

    monkeypatch.setattr(OpenClipEncoder, "pyramid", counted)
    texts = ["red circle", "green star", "top", "blue"]
    assert len(run(config, picture(tmp_path / "a.png", (40, 40)), output, texts)) == 4
    assert seen == [1, 1]  # itself and its mirror image


def test_an_expression_means_the_same_beside_others(config: Config, tmp_path: Path) -> None:
    image = picture(tmp_path / "a.png", (40, 30))
    together = run(config, image, tmp_path / "together", TEXTS)
    alone = run(config, image, tmp_path / "alone", TEXTS[1:])
    assert together[1]["rle"] == alone[0]["rle"] and together[1]["peak"] == alone[0]["peak"]


@pytest.mark.parametrize(
    ("name", "size", "mode"),
    [
        ("narrow.png", (1, 60), "RGB"),
        ("flat.png", (60, 1), "RGB"),
        ("dot.png", (1, 1), "RGB"),
        ("grey.png", (30, 20), "L"),
        ("print.jpg", (30, 20), "CMYK"),
    ],
)
def test_odd_pictures(
    config: Config, output: Path, tmp_path: Path, name: str, size: tuple[int, int], mode: str
) -> None:
    (record,) = run(config, picture(tmp_path / name, size, mode), output, ["red circle"])
    with Image.open(output / record["mask"]) as mask:
        assert mask.size == size and mask.mode == "L"


def test_the_cameras_turn_is_applied(config: Config, output: Path, tmp_path: Path) -> None:
    """The stored picture lies on its side; everything is in pixels of the upright one."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    image = picture(tmp_path / "turned.jpg", (60, 20), exif=exif)
    (record,) = run(config, image, output, ["red circle"])
    assert (record["width"], record["height"]) == (20, 60)
    with Image.open(output / record["mask"]) as mask:
        assert mask.size == (20, 60)
    with Image.open(output / record["overlay"]) as drawn:
        assert drawn.height > drawn.width - 1


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["red circle", "  "], "expression 2: is empty"),
        ([""], "expression 1: is empty"),
        (["x" * 2001], "expression 1: 2001 characters"),
        (["red\x00circle"], "control character"),
        ([], "at least one expression"),
    ],
)
def test_bad_expressions_are_named_before_anything_is_done(
    config: Config, output: Path, tmp_path: Path, texts: list[str], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        run(config, tmp_path / "missing.png", output, texts)
    assert not output.exists()


def test_names_of_files_cannot_lead_out(config: Config, output: Path, tmp_path: Path) -> None:
    image = picture(tmp_path / "a.png", (20, 20))
    found = run(config, image, output, ["../../etc/passwd", "猫 🐈", "A\nB", "red circle"])
    assert [record["mask"] for record in found] == [
        "01-etc-passwd-mask.png",
        "02-expression-mask.png",
        "03-a-b-mask.png",
        "04-red-circle-mask.png",
    ]
    assert found[1]["expression"] == "猫 🐈"


def test_other_files_of_the_folder_stay(config: Config, output: Path, tmp_path: Path) -> None:
    output.mkdir(parents=True)
    (output / "mine.txt").write_text("keep")
    run(config, picture(tmp_path / "a.png", (20, 20)), output, ["red circle"])
    assert (output / "mine.txt").read_text() == "keep"
    assert not list(output.glob("*.tmp*")) and not list(output.glob(".*"))


def test_a_run_that_is_not_trained_says_what_to_do(tmp_path: Path, output: Path) -> None:
    image = picture(tmp_path / "a.png", (20, 20))
    with pytest.raises(InputError, match="make run"):
        run(tiny(tmp_path), image, output, ["red circle"])
    assert not output.exists()


def test_an_unknown_run_is_named(config: Config, output: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run 'strong'"):
        predict.run(
            config, run="strong", image=tmp_path / "a.png", expressions=["top"], output=output
        )


def test_what_is_no_picture_is_named(config: Config, output: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(InputError, match=r"a\.png"):
        run(config, tmp_path / "a.png", output, ["red circle"])


def test_memory_is_bounded_by_name(
    config: Config, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "MAX_LOGITS", 20 * 20 * 2)
    image = picture(tmp_path / "a.png", (20, 20))
    assert len(run(config, image, output, TEXTS)) == 2
    with pytest.raises(InputError, match="at most 2 at a time"):
        run(config, image, output, [*TEXTS, "top"])


def test_a_file_in_place_of_the_folder_is_named(config: Config, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="taken"):
        run(config, picture(tmp_path / "a.png", (20, 20)), tmp_path / "taken", ["top"])


def test_it_says_what_it_wrote(
    config: Config, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(config, picture(tmp_path / "a.png", (20, 20)), output, TEXTS)
    printed = capsys.readouterr().out
    assert "01-red-circle-mask.png" in printed and str(output) in printed


@pytest.mark.parametrize(
    ("shape", "longer"), [((20, 30), 320), ((3, 700), 700), ((2100, 4000), 2048)]
)
def test_overlays_are_neither_tiny_nor_huge(shape: tuple[int, int], longer: int) -> None:
    picture, mask = np.zeros((*shape, 3), np.uint8), np.zeros(shape, bool)
    mask[1:, 1:] = True
    drawn = predict.draw_overlay(picture, mask, peak=(1, 1), text="red circle")
    assert drawn.shape[1] == max(longer, 320)


def test_boxes() -> None:
    mask = np.zeros((6, 9), bool)
    assert predict.box_of(mask) is None
    mask[2:4, 3:8] = True
    assert predict.box_of(mask) == [3, 2, 5, 2]
