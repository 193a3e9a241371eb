"""Your own list of pictures and sentences becomes tables, and all its mistakes are told at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.datasets import DatasetTables, read_own
from pipeline.safety import InputError
from pipeline.store import rle_decode

from .conftest import annotation, options, square
from .drawn import SIDE, draw_own


def read(folder: Path, **changes: Any) -> DatasetTables:
    return read_own(folder, dataset="own", options=options(**changes))


def write(folder: Path, *lines: str) -> Path:
    (folder / "expressions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def write_json(folder: Path, *rows: Any) -> Path:
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / "expressions.jsonl").write_text(text, encoding="utf-8")
    (folder / "expressions.csv").unlink(missing_ok=True)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, ``a.png`` and ``b.png``, two masks of a, and a list of nothing."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (SIDE, SIDE // 2), "grey").save(tmp_path / "images" / f"{name}.png")
    for place, name in enumerate(("left", "right")):
        mask = np.zeros((SIDE // 2, SIDE), dtype=np.uint8)
        mask[4:20, 32 * place : 32 * place + 16] = 255
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
    return write(tmp_path, "image,expression,split")


def mistakes(folder: Path, **changes: Any) -> list[str]:
    """The lines of the message but the first."""
    with pytest.raises(InputError) as caught:
        read(folder, **changes)
    first, *rest = str(caught.value).splitlines()
    assert "mistake" in first and "expressions." in first
    return [line.strip() for line in rest]


# -- what is read


def test_sentences_without_masks_are_tables_without_truth(tmp_path: Path) -> None:
    found = read(draw_own(tmp_path, images=8))
    assert len(found.expressions) == 16 and not found.truth and not found.objects
    assert {(image.height, image.width) for image in found.images} == {(SIDE, SIDE)}
    assert all(s.raw == s.sentence for s in found.expressions)
    assert len({s.ref_id for s in found.expressions}) == 16


def test_images_are_dealt_out_whole_by_their_names_alone(tmp_path: Path) -> None:
    folder = draw_own(tmp_path, images=8)
    splits = {image.file: image.split for image in read(folder).images}
    assert sorted(splits.values()) == ["train"] * 6 + ["val"] * 2
    text = (folder / "expressions.csv").read_text().splitlines()
    write(folder, text[0], *reversed(text[1:]))
    found = read(folder)
    assert {image.file: image.split for image in found.images} == splits
    of_image = {image.image_id: image.split for image in found.images}
    assert all(s.split == of_image[s.image_id] for s in found.expressions)
    assert sum(image.split == "val" for image in read(folder, held_out=0.01).images) == 1


def test_the_order_of_the_list_means_nothing(tmp_path: Path) -> None:
    folder = draw_own(tmp_path, images=5, masks=3)
    before = read(folder)
    text = (folder / "expressions.csv").read_text().splitlines()
    write(folder, text[0], *reversed(text[1:]))
    assert read(folder) == before


def test_a_referent_is_named_or_shares_a_mask_or_is_alone(folder: Path) -> None:
    write(
        folder,
        "image,expression,referent,split,mask",
        "a.png,the left one,7,val,left.png",
        "a.png,not the right one,7,val,",
        "a.png,the right one,,val,right.png",
        "a.png,the one on the right,,val,right.png",
        "b.png,something,7,train,",
        "b.png,something else,,train,",
    )
    found = read(folder)
    refs = {s.raw: s.ref_id for s in found.expressions}
    assert refs["the left one"] == refs["not the right one"]
    assert refs["the right one"] == refs["the one on the right"]
    assert len(set(refs.values())) == 4
    assert {item.ref_id for item in found.truth} == {refs["the left one"], refs["the right one"]}


def test_a_mask_is_what_is_not_black(folder: Path) -> None:
    write(
        folder,
        "image,expression,split,mask",
        "a.png,left,val,left.png",
        "a.png,right,val,right.png",
        "b.png,any,train,",
    )
    left, right = sorted(read(folder).truth, key=lambda item: item.box)
    assert left.box == (0, 4, 16, 16) and right.box == (32, 4, 16, 16) and left.area == 256
    mask = rle_decode(left.rle, left.height, left.width)
    assert mask[4:20, :16].all() and mask.sum() == 256
    assert sorted(item.box for item in read(folder).objects) == [left.box, right.box]


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "RGBA", "LA", "I;16"])
def test_masks_of_every_mode_are_read(folder: Path, mode: str) -> None:
    path = folder / "masks" / "left.png"
    grey = Image.open(path).convert("L")
    if mode == "RGBA":
        # white everywhere, but only visible in the object
        drawn = Image.new("RGBA", grey.size, "white")
        drawn.putalpha(grey)
    elif mode == "P":
        drawn = grey.point(lambda value: 3 if value else 0).convert("P")
        drawn = Image.fromarray((np.asarray(grey) > 0).astype(np.uint8) * 3, "P")
        drawn.putpalette([0, 0, 0] * 256)
    elif mode == "I;16":
        drawn = Image.fromarray(np.asarray(grey).astype(np.uint16) * 100)
    else:
        drawn = grey.convert(mode)
    drawn.save(path)
    write(folder, "image,expression,split,mask", "a.png,x,val,left.png", "b.png,y,train,")
    (item,) = read(folder).truth
    assert item.box == (0, 4, 16, 16) and item.area == 256


def test_annotations_of_coco_are_masks_and_objects(folder: Path) -> None:
    size = {"height": SIDE // 2, "width": SIDE}
    boxes = {5: (0, 4, 16, 20), 6: (32, 4, 48, 20), 9: (50, 2, 60, 9)}
    content = {
        "images": [
            {"id": 1, "file_name": "a.png", **size},
            {"id": 2, "file_name": "c.png", **size},
        ],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": [annotation(n, 1, [square(*box)]) for n, box in boxes.items()]
        + [annotation(30, 2, [square(0, 0, 9, 9)])],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    write_json(
        folder,
        {"image": "a.png", "expression": "left", "split": "val", "annotation": 5},
        {"image": "a.png", "expression": "left cup", "split": "val", "annotation": "5"},
        {"image": "a.png", "expression": "both", "split": "val", "annotation": [5, 6]},
        {"image": "b.png", "expression": "any", "split": "train", "annotation": None, "_note": 1},
    )
    found = read(folder)
    refs = {s.raw: s.ref_id for s in found.expressions}
    assert refs["left"] == refs["left cup"] != refs["both"]
    areas = {item.ref_id: (item.area, item.category, item.box) for item in found.truth}
    assert areas[refs["left"]] == (256, "cup", (0, 4, 16, 16))
    assert areas[refs["both"]] == (512, "cup", (0, 4, 48, 16))
    assert len(found.objects) == 3


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_spreadsheets_write_is_read(
    folder: Path, delimiter: str, encoding: str, end: str
) -> None:
    rows = [
        ["image", "expression", "split"],
        ["a.png", f'"the ""left"" one{delimiter} in\nred 猫"', "val"],
        ["", "", ""],
        ["b.png", "right", "train"],
    ]
    text = end.join(delimiter.join(row) for row in rows) + end
    (folder / "expressions.csv").write_text(text, encoding=encoding, newline="")
    assert [s.raw for s in read(folder).expressions] == [
        f'the "left" one{delimiter} in red 猫'.replace("\t", " "),
        "right",
    ]


def test_a_picture_on_its_side_has_the_size_that_is_shown(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (20, 10)).save(folder / "images" / "a.png", exif=exif)
    write(folder, "image,expression,split", "a.png,x,val", "b.png,y,train")
    assert [(image.height, image.width) for image in read(folder).images] == [(20, 10), (32, 64)]


# -- what is wrong


def test_all_mistakes_are_told_at_once_by_their_lines(folder: Path) -> None:
    (folder / "images" / "c.png").write_text("no picture")
    write(
        folder,
        "image,expression,referent,split,mask",
        "a.png,,1,val,",
        "../a.png,x,1,val,",
        "c.png,x,1,val,",
        "gone.png,x,1,val,",
        'a.png,"one, two",1,val,left.png,more',
        "a.png,left,1,val,left.png",
        "a.png,left,1,val,left.png",
        "a.png,right,1,val,right.png",
        "a.png,again,2,train,",
        "b.png,x,1,two words,",
        "b.png,x,1,,",
        "b.png,x\x07,1,train,",
        "b.png,m,5,train,gone.png",
    )
    expected = {
        2: "has no expression",
        3: "image: '../a.png': leads out",
        4: "c.png: not a picture",
        5: "gone.png: no such file",
        6: "has 6 cells, line 1 names 5; put quotes around",
        8: "says the same as line 7",
        9: "referent 1 has another mask than in line 7",
        10: "image a.png is of split train here and of val in line 7",
        11: "split: 'two words' must be one word",
        13: "expression: holds the control character U+0007",
    }
    found = {}
    for line in mistakes(folder):
        number, _, words = line.removeprefix("line ").partition(": ")
        found.setdefault(int(number), []).append(words)
    for number, words in expected.items():
        assert any(words in told for told in found[number]), (number, found.get(number))
    assert any("has no split" in told for told in found[12])
    assert any("gone.png: no such file" in told for told in found[14])
    assert set(found) == {*expected, 12, 14}


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_picture_that_was_cut_in_copying_is_found(folder: Path, suffix: str) -> None:
    """Its header is whole: only reading it to its end shows."""
    path = folder / "images" / f"c.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    rows = ["image,expression,split", "a.png,x,val", f"c.{suffix},y,train"]
    assert len(read(write(folder, *rows)).images) == 2
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (told,) = mistakes(folder)
    assert told.startswith(f"line 3: {path}: damaged picture")


def test_many_mistakes_are_counted(folder: Path) -> None:
    write(folder, "image,expression,split", *(["a.png,,val"] * 100))
    told = mistakes(folder)
    assert len(told) == 21 and told[-1] == "and 80 more"
    assert told[0] == "line 2: has no expression"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([""], "line 1: names no column 'image' (the picture's file"),
        (["image"], "line 1: names no column 'expression' (the sentence)"),
        (["image,expression,image"], "line 1: names the column 'image' twice"),
        (["image,expression,refernt"], "line 1: names 'refernt', which is no column; known are"),
        (["image,expression"], "lists no expression"),
        (["image,expression", "a.png,x"], "has one image; some to train on"),
        (["image,expression,mask,annotation", "a.png,x,left.png,3"], "line 2: has a mask and an"),
        (["image,expression,annotation", "a.png,x,3"], "line 2: names an annotation, and there"),
        (["image,expression", 'a.png,"x'], "line 2: is no row of CSV"),
    ],
)
def test_a_list_that_cannot_be_used_is_explained(
    folder: Path, lines: list[str], message: str
) -> None:
    assert any(told.startswith(message) for told in mistakes(write(folder, *lines)))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("[1]", "line 2: must be an object"),
        ("{", "line 2: is no JSON"),
        ("[" * 100_000, "line 2: is no JSON"),
        ('{"image": "a.png", "expression": "x", "split": 3}', "line 2: split: must be text"),
        ('{"image": ["a.png"], "expression": "x"}', "line 2: image: must be text"),
        ('{"image": "a.png", "expression": "x", "who": 3}', "line 2: names 'who', which is no"),
        ('{"image": "a.png", "expression": "x", "annotation": {}}', "line 2: annotation: must be"),
        ('{"image": "a.png", "expression": "x", "annotation": [[1]]}', "line 2: annotation: must"),
        ('{"image": "a.png", "expression": "x", "referent": true}', "line 2: referent: must be"),
    ],
)
def test_a_line_that_is_wrong_is_explained(folder: Path, row: str, message: str) -> None:
    good = {"image": "b.png", "expression": "y"}
    assert any(told.startswith(message) for told in mistakes(write_json(folder, good, row)))


def spoil_json(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["annotations"][0].update(changes)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_json(id=6), "line 1: annotation 5 is not in instances.json"),
        (spoil_json(image_id=2), "line 1: annotation 5 is of b.png, not of a.png"),
        (lambda c: c["images"][0].update(height=9), "line 1: a.png is 32 high and 64 wide"),
        (spoil_json(bbox=3), "{folder}/instances.json: 'annotations': record 0: 'bbox' must be"),
    ],
)
def test_annotations_that_do_not_fit_are_explained(
    folder: Path, spoil: Callable[[dict[str, Any]], None], message: str
) -> None:
    size = {"height": SIDE // 2, "width": SIDE}
    content = {
        "images": [
            {"id": 1, "file_name": "a.png", **size},
            {"id": 2, "file_name": "b.png", **size},
        ],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": [annotation(5, 1, [square(0, 0, 9, 9)])],
    }
    spoil(content)
    (folder / "instances.json").write_text(json.dumps(content))
    write_json(
        folder,
        {"image": "a.png", "expression": "left", "annotation": 5},
        {"image": "b.png", "expression": "any"},
    )
    assert any(told.startswith(message.format(folder=folder)) for told in mistakes(folder))


def test_a_mask_of_another_size_is_explained(folder: Path) -> None:
    Image.new("L", (5, 7)).save(folder / "masks" / "left.png")
    write(folder, "image,expression,mask", "a.png,x,left.png", "b.png,y,")
    (told,) = mistakes(folder)
    assert told.startswith("line 2: ") and "is 7 high and 5 wide, its picture 32 and 64" in told


def test_a_file_in_another_encoding_names_the_line(folder: Path) -> None:
    path = folder / "expressions.csv"
    path.write_bytes(b"image,expression\na.png,x\nb.png,caf\xe9\n")
    assert mistakes(folder) == [
        "line 3: is not UTF-8; save the file as UTF-8 (in Excel: CSV UTF-8)"
    ]


def test_one_list_must_be_there(folder: Path) -> None:
    (folder / "expressions.jsonl").write_text("")
    with pytest.raises(InputError, match=r"one of them \(both are there\)"):
        read(folder)
    (folder / "expressions.jsonl").unlink()
    (folder / "expressions.csv").unlink()
    with pytest.raises(InputError, match=r"one of them \(there is none\)"):
        read(folder)
