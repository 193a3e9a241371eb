"""What a user or a stranger's file does wrong, from the command line to what is left on the disk.

Each case ends in one message that names file or key and remedy, exit status 2 and not a file more,
less or changed; or it is handled, and the test shows how. Archives, which no verb unpacks yet, are
in tests/safety/test_archives.py.
"""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline import cli
from pipeline.store import read_json, read_table, rle_decode
from tests.conftest import Trained
from tests.safety.evil import Evil

pytestmark = pytest.mark.timeout(900)  # the first test waits for the whole workflow

RAW = Path("artifacts/miniature/raw")
WEAK = Path("artifacts/runs/weak")
CHECKPOINTS = "artifacts/checkpoints/"
TABLES = Path("artifacts/datasets/miniature")
Prepare = Callable[[], list[str]]
Content = dict[str, Any]


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Place:
    """A folder of its own with all that a run has made; the working directory of a test."""

    root: Path
    ris: Callable[..., Done]

    def files(self) -> dict[str, str]:
        """Every file with a digest of its content, and every folder."""
        return {
            str(path.relative_to(self.root)): hashlib.sha256(path.read_bytes()).hexdigest()
            if path.is_file()
            else "folder"
            for path in self.root.rglob("*")
        }


@pytest.fixture
def place(
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Place:
    root = tmp_path / "place"
    shutil.copytree(trained.root / "artifacts", root / "artifacts")
    shutil.copy2(trained.root / "config.yaml", root)
    monkeypatch.chdir(root)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # to be put back after each verb has set them
    monkeypatch.setattr(cli, "_keep_memory", lambda: None)

    def ris(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["ris", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return Done(int(end.value.code or 0), out, err)

    return Place(root, ris)


def refused(place: Place, arguments: list[str], *words: str, growing: bool = False) -> None:
    """The command ends in one message with these words, and nothing has changed.

    ``growing``: a training may leave its checkpoint and curves where it would go on from.
    """
    before = place.files()
    done = place.ris(*arguments)
    assert done.status == 2, done.err
    message = done.err[done.err.index("error: ") :]
    for word in words:
        assert word in message
    assert "Traceback" not in done.out + done.err
    after = place.files()
    if growing:
        after = {name: kind for name, kind in after.items() if not name.startswith(CHECKPOINTS)}
    assert after == before


def overlay(content: Content) -> list[str]:
    """The options that put this over config.yaml."""
    Path("more.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return ["-c", "config.yaml", "-c", "more.yaml"]


# configuration


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"localizer": {"hiden": 3}}, ["localizer.hiden: unknown key; allowed", " hidden,"]),
        ({"locliser": {}}, ["locliser: unknown key", " localizer,"]),
        (
            {"runs": {"weak": {"localizer": {"aplha": 1}}}},
            ["runs.weak", "localizer.aplha: unknown key", " alpha,"],
        ),
        ({"localizer": {"method": "magic"}}, ["localizer.method", "'tris'", "'magic'"]),
        ({"localizer": {"hidden": "many"}}, ["localizer.hidden", "integer", "'many'"]),
        ({"evaluation": {"bootstrap": -1}}, ["evaluation.bootstrap", "-1"]),
        ({"pseudo_labels": {"refine": ["magic"]}}, ["pseudo_labels.refine", "'prms'", "'magic'"]),
        ({"runs": {"weak": {"machine": {"shards": 3}}}}, ["runs.weak.machine", "top level"]),
        ({"runs": {"weak": None}}, ["runs"]),
        ({"dataset": {"headline": "testC"}}, ["headline", "'testC'"]),
        ({"dataset": {"train": "val"}}, ["evaluate", "'val'"]),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_wrong_configuration_names_its_key(
    place: Place, content: Content, words: list[str]
) -> None:
    refused(place, ["check", *overlay(content)], "more.yaml", *words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["cannot be read", "--config"]),
        (b"localizer: [", ["not valid YAML"]),
        (b"\xff\xfe\x00", ["not valid YAML"]),
        (b"- a\n- b\n", ["must be a mapping"]),
        (b"just words", ["must be a mapping"]),
    ],
)
def test_a_configuration_that_is_none_is_named(
    place: Place, content: bytes | None, words: list[str]
) -> None:
    if content is not None:
        Path("odd.yaml").write_bytes(content)
    refused(place, ["check", "-c", "config.yaml", "-c", "odd.yaml"], "odd.yaml", *words)


def test_a_run_or_a_shard_that_does_not_exist_is_named(place: Place) -> None:
    refused(place, ["respond", "--run", "strong"], "no run 'strong'", "weak")
    refused(place, ["predict", picture(), "red", "--run", "strong"], "no run 'strong'", "weak")
    refused(place, ["demo", "--run", "strong"], "no run 'strong'", "weak")
    for shard in ("1", "-1"):
        refused(place, ["propose", "--shard", shard], "--shard", "machine.shards")
        refused(place, ["refine", "-r", "weak", "--shard", shard], "--shard", "machine.shards")


# files


def removed(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("harm", [removed, cut])
@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        (WEAK / "segmentor.safetensors", ["predict", "{picture}", "red"]),
        (WEAK / "localizer.safetensors", ["demo"]),
        (TABLES / "expressions.parquet", ["demo"]),
        (TABLES / "expressions.parquet", ["train-localizer", "-r", "weak"]),
        (WEAK / "responses.parquet", ["refine", "-r", "weak", "--shard", "0"]),
        (WEAK / "pseudo_labels/0-of-1.parquet", ["train-segmentor", "-r", "weak"]),
        (WEAK / "predictions.parquet", ["evaluate", "-r", "weak"]),
        (TABLES / "truth.parquet", ["evaluate", "-r", "weak"]),
        (RAW / "instances.json", ["tables"]),
        (RAW / "refs(unc).p", ["tables"]),
        (Path("artifacts/miniature/captions.parquet"), ["pretrain"]),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else value[0],
)
def test_a_file_that_is_missing_or_damaged_is_named(
    place: Place, path: Path, arguments: list[str], harm: Callable[[Path], None]
) -> None:
    harm(path)
    refused(place, [word.format(picture=picture()) for word in arguments], str(path))


@pytest.mark.parametrize(
    "name", ["open_clip_model.safetensors", "open_clip_config.json", "vocabulary.json"]
)
def test_an_encoder_that_is_not_whole_is_named(place: Place, name: str) -> None:
    folder = Path("artifacts/encoders/small_clip")
    removed(folder / name)
    refused(place, ["predict", picture(), "red"], str(folder))


def test_weights_of_other_settings_are_named(place: Place) -> None:
    options = overlay({"segmentor": {"hidden": 24}})
    words = (str(WEAK / "segmentor.safetensors"), "other settings")
    refused(place, ["predict", picture(), "red", *options], *words)


def test_a_dataset_that_is_not_there_is_named(place: Place) -> None:
    refused(place, ["tables", *overlay({"dataset": {"folder": "nowhere"}})], "nowhere")
    refused(place, ["tables", *overlay({"dataset": {"split_by": "umd"}})], "refs(umd).p", "unc")
    splits = {"evaluate": ["val", "testC"], "headline": "val"}
    refused(place, ["tables", *overlay({"dataset": splits})], "'testC'", "testA")
    removed(Path(picture()))
    refused(place, ["tables"], picture_name(), "1 of")


def test_a_folder_that_is_a_file_is_named(place: Place) -> None:
    Path("taken").write_text("")
    refused(place, ["predict", picture(), "red", "-o", "taken"], "taken")
    refused(place, ["demo", picture(), "red", "-o", "taken"], "taken")


# expressions


def picture_name() -> str:
    """The first picture of the dataset, of the training split."""
    return "miniature_000000000001.jpg"


def picture() -> str:
    return str(RAW / "images" / picture_name())


@pytest.mark.parametrize("verb", ["predict", "demo"])
@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["red star", ""], ["expression 2", "empty"]),
        (["  \n "], ["expression 1", "empty"]),
        (["star " * 500], ["expression 1", "2500 characters", "2000"]),
        (["red\x07star"], ["expression 1", "U+0007", "remove it"]),
    ],
)
def test_a_bad_expression_is_named(
    place: Place, verb: str, texts: list[str], words: list[str]
) -> None:
    refused(place, [verb, picture(), *texts], *words)


def test_no_expression_at_all_is_told(place: Place) -> None:
    before = place.files()
    done = place.ris("predict", picture())
    assert done.status == 2 and "EXPRESSIONS" in done.err
    refused(place, ["demo", picture()], "EXPRESSIONS")
    assert place.files() == before


def test_any_script_and_any_length_of_words_is_read(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """What exceeds the context is cut off with a warning; the words are kept as they are."""
    texts = ["猫 🐈‍⬛", "красная звезда слева", "النجمة الحمراء", "star " * 60]
    with caplog.at_level(logging.WARNING):
        done = place.ris("predict", picture(), *texts)
    assert done.status == 0, done.err
    found = read_json("predictions/predictions.json")
    assert [record["expression"] for record in found] == [text.strip() for text in texts]
    assert "token" in caplog.text
    start = place.ris("predict", picture(), "star " * 30, "-o", "start")
    assert start.status == 0
    assert read_json("start/predictions.json")[0]["rle"] == found[3]["rle"]


def refs() -> list[Content]:
    with open(RAW / "refs(unc).p", "rb") as file:
        content: list[Content] = pickle.load(file)
    return content


def write_refs(content: Any) -> None:
    (RAW / "refs(unc).p").write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize(
    ("sentence", "words"),
    [("", ["empty"]), ("x" * 2001, ["2001 characters"]), (7, ["must be text"])],
)
def test_a_bad_expression_of_a_dataset_is_named(
    place: Place, sentence: Any, words: list[str]
) -> None:
    content = refs()
    content[3]["sentences"][0]["sent"] = sentence
    write_refs(content)
    sent_id = content[3]["sentences"][0]["sent_id"]
    refused(place, ["tables"], "refs(unc).p", "record 3", f"sent_id {sent_id}", "'sent'", *words)


def test_a_dataset_may_use_any_script_and_length(place: Place) -> None:
    content = refs()
    texts = ["猫 🐈‍⬛", "star " * 60 + "end"]
    for ref, text in zip(content, texts, strict=False):
        ref["sentences"][0]["sent"] = text
    write_refs(content)
    assert place.ris("tables").status == 0
    rows = read_table(TABLES / "expressions.parquet", kind="expressions").column("sentence")
    assert set(texts) <= set(rows.to_pylist())
    done = place.ris("respond", "--run", "weak")
    assert done.status == 0, done.err


# pictures


def noise(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    channels = {"L": (), "I;16": (), "RGB": (3,), "CMYK": (4,)}[mode]
    kind, top = (np.uint16, 65536) if mode == "I;16" else (np.uint8, 256)
    pixels = np.random.default_rng(0).integers(0, top, (size[1], size[0], *channels), dtype=kind)
    return Image.fromarray(pixels, None if mode == "I;16" else mode)


def truncated(path: Path) -> None:
    noise((64, 64)).save(path)
    cut(path)


def no_picture(path: Path) -> None:
    path.write_text("a red star")


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def folder(path: Path) -> None:
    path.mkdir()


def bomb(path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(path)


def missing(path: Path) -> None:
    pass


@pytest.mark.parametrize("verb", ["predict", "demo"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (truncated, ["damaged", "get it again"]),
        (no_picture, ["not a picture", "JPEG"]),
        (nothing, ["not a picture"]),
        (folder, ["odd.png"]),
        (bomb, ["400000000 pixels", "smaller"]),
        (missing, ["no such file"]),
    ],
)
def test_a_bad_picture_is_named(
    place: Place, verb: str, make: Callable[[Path], None], words: list[str]
) -> None:
    make(Path("odd.png"))
    refused(place, [verb, "odd.png", "red star"], "odd.png", *words)


@pytest.mark.parametrize(
    ("size", "mode", "name"),
    [
        ((1, 50), "RGB", "narrow.png"),
        ((50, 1), "RGB", "flat.png"),
        ((1, 1), "RGB", "dot.png"),
        ((40, 30), "L", "grey.jpg"),
        ((40, 30), "I;16", "deep.png"),
        ((40, 30), "CMYK", "print.jpg"),
    ],
)
def test_an_odd_picture_gets_a_mask_of_its_size(
    place: Place, size: tuple[int, int], mode: str, name: str
) -> None:
    noise(size, mode).save(name)
    done = place.ris("predict", name, "red star")
    assert done.status == 0, done.err
    (record,) = read_json("predictions/predictions.json")
    height, width = record["rle"]["size"]
    assert (width, height) == size
    assert rle_decode(record["rle"]["counts"].encode(), height, width).shape == (height, width)
    assert place.ris("demo", name, "red star").status == 0
    assert Image.open("results/demo/weak.png").width > 300


def test_a_picture_lies_as_its_camera_says(place: Place) -> None:
    """A picture of one's own is turned; one of a dataset is not, as its masks are not."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    noise((60, 20)).save("turned.jpg", exif=exif)
    assert place.ris("predict", "turned.jpg", "red star").status == 0
    assert read_json("predictions/predictions.json")[0]["rle"]["size"] == [60, 20]
    with Image.open(picture()) as image:
        image.load()
        image.save(picture(), exif=exif, quality="keep")
    assert place.ris("propose", "--shard", "0").status == 0


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_dataset_may_have_grey_and_printers_pictures(place: Place, mode: str) -> None:
    noise((64, 64), mode).save(picture())
    for arguments in (["propose", "--shard", "0"], ["respond", "--run", "weak"]):
        done = place.ris(*arguments)
        assert done.status == 0, done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["propose", "--shard", "0"],
        ["train-localizer", "--run", "weak"],
        ["respond", "--run", "weak"],
        ["refine", "--run", "weak", "--shard", "0"],
        ["train-segmentor", "--run", "weak"],
    ],
    ids=lambda value: value[0],
)
@pytest.mark.parametrize("harm", ["cut", "another size"])
def test_a_bad_picture_of_a_dataset_is_named_by_every_step(
    place: Place, arguments: list[str], harm: str
) -> None:
    if harm == "cut":
        cut(Path(picture()))
    else:
        noise((64, 48)).save(picture())
    words = ["damaged", "get it again"] if harm == "cut" else ["48 high", "its dataset says 64"]
    growing = arguments[0].startswith("train")
    refused(place, arguments, picture_name(), *words, growing=growing)


def test_a_mask_of_another_size_than_its_picture_is_named(place: Place) -> None:
    content = read_json(RAW / "instances.json")
    content["annotations"][2]["segmentation"] = {"size": [3, 4], "counts": [12]}
    (RAW / "instances.json").write_text(json.dumps(content))
    words = ("instances.json", "record 2", "'segmentation'", "[3, 4]", "64 high and 64 wide")
    refused(place, ["tables"], *words)


# what could run code, and what cannot be learned from


def test_refs_that_would_run_code_run_nothing(place: Place) -> None:
    write_refs([Evil(Path("ran"))])
    refused(place, ["tables"], "refs(unc).p", "global")


@pytest.mark.parametrize("name", ["segmentor.safetensors"])
def test_weights_that_would_run_code_run_nothing(place: Place, name: str) -> None:
    (WEAK / name).write_bytes(pickle.dumps(Evil(Path("ran"))))
    refused(place, ["predict", picture(), "red star"], name)


def test_a_file_name_that_leads_out_of_the_dataset_is_named(place: Place) -> None:
    content = read_json(RAW / "instances.json")
    content["images"][0]["file_name"] = "../../../secret.jpg"
    (RAW / "instances.json").write_text(json.dumps(content))
    refused(place, ["tables"], "instances.json", "record 0", "'file_name'", "leads out")


@pytest.mark.parametrize(
    ("arguments", "section"),
    [
        (["train-localizer", "--run", "weak"], ("localizer", "training")),
        (["train-segmentor", "--run", "weak"], ("segmentor", "training")),
        (["pretrain"], ("small_clip", "optimisation")),
    ],
)
def test_a_loss_that_is_not_finite_leaves_nothing(
    place: Place, arguments: list[str], section: tuple[str, str]
) -> None:
    """The older weights stay."""
    room, part = section
    options = overlay({room: {part: {"learning_rate": 1e30, "warmup_steps": 0}}})
    words = ("not finite", "step", "Lower learning_rate")
    refused(place, [*arguments, *options], *words, growing=True)
    assert not list(Path(CHECKPOINTS).rglob("*.ckpt"))
