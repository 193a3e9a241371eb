"""REFER's files become tables, and whatever is wrong in them is named."""

import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from pipeline.datasets import READERS, DatasetTables, read_refer
from pipeline.records import ImageRecord
from pipeline.safety import InputError
from pipeline.store import rle_decode, rle_encode
from tests.fuzzing import fuzz

from .conftest import HEIGHT, WIDTH, Refer, annotation, options, ref, square


def read(refer: Refer, split_by: str = "unc") -> DatasetTables:
    return READERS["refer"](refer.write(split_by), dataset="toy", options=options(split_by))


def mask_of(found: Any) -> np.ndarray:
    return rle_decode(found.rle, found.height, found.width)


def box_mask(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


# -- what is read


def test_expressions_keep_both_texts(refer: Refer) -> None:
    found = [
        (s.split, s.image_id, s.ref_id, s.sent_id, s.raw, s.sentence)
        for s in read(refer).expressions
    ]
    assert found == [
        ("val", 2, 5, 50, "The DOG", "the dog"),
        ("train", 1, 3, 30, "Left man", "left man"),
        ("train", 1, 3, 31, "man in red", "man in red"),
    ]


def test_images_are_named_by_the_instances(refer: Refer) -> None:
    assert read(refer).images == [
        ImageRecord("toy", 1, "COCO_1.jpg", HEIGHT, WIDTH, "train"),
        ImageRecord("toy", 2, "COCO_2.jpg", HEIGHT, WIDTH, "val"),
    ]


def test_truth_is_the_annotation(refer: Refer) -> None:
    dog, man = read(refer).truth
    assert (dog.ref_id, dog.category, dog.split) == (5, "dog", "val")
    assert man.box == (2.0, 3.5, 4.25, 5.0) and man.area == 20
    assert np.array_equal(mask_of(man), box_mask(2, 3, 6, 8))


def test_objects_are_all_annotations(refer: Refer) -> None:
    found = {item.ann_id: item for item in read(refer).objects}
    assert sorted(found) == [70, 71, 72]
    assert np.array_equal(mask_of(found[72]), box_mask(0, 0, 1, HEIGHT))


def test_objects_of_images_that_no_one_refers_to_are_left_out(refer: Refer) -> None:
    refer.refs = refer.refs[:1]
    found = read(refer)
    assert [image.image_id for image in found.images] == [2]
    assert [item.ann_id for item in found.objects] == [71]


def test_polygons_of_an_annotation_are_united(refer: Refer) -> None:
    """REFER's own reader adds them up, and its users keep the pixels that are exactly 1."""
    refer.instances["annotations"][0]["segmentation"] = [
        square(2, 3, 6, 8),
        square(4, 5, 10, 11),
        [1.0, 1.0, 5.0, 1.0],  # two corners cover nothing, and are no box
    ]
    man = read(refer).truth[1]
    assert np.array_equal(mask_of(man), box_mask(2, 3, 6, 8) | box_mask(4, 5, 10, 11))


def test_pixels_under_two_polygons_may_be_nobodys(refer: Refer) -> None:
    """As they are to those who keep what is 1 in REFER's sum of masks."""
    polygons = [square(2, 3, 6, 8), square(4, 5, 10, 11)]
    refer.instances["annotations"][0]["segmentation"] = polygons
    how = options(overlapping_polygons="background")
    found = READERS["refer"](refer.write(), dataset="toy", options=how)
    drawn = coco_mask.decode(coco_mask.frPyObjects(polygons, HEIGHT, WIDTH))
    summed = drawn.sum(axis=2)
    assert (summed == 2).sum() == 6
    assert np.array_equal(mask_of(found.truth[1]), summed == 1)


def test_all_forms_of_a_run_length(refer: Refer) -> None:
    mask = box_mask(3, 2, 9, 10)
    compressed = rle_encode(mask).decode()
    plain = [3 * HEIGHT + 2]
    for _ in range(5):
        plain += [8, 4]
    plain += [8, HEIGHT * WIDTH - sum(plain) - 8]
    size = [HEIGHT, WIDTH]
    for form in (
        {"size": size, "counts": compressed},
        {"size": size, "counts": plain},
        [{"size": size, "counts": compressed}],
        [{"size": size, "counts": rle_encode(box_mask(3, 2, 9, 5)).decode()}] * 2
        + [{"size": size, "counts": rle_encode(box_mask(3, 5, 9, 10)).decode()}],
    ):
        refer.instances["annotations"][0]["segmentation"] = form
        assert np.array_equal(mask_of(read(refer).truth[1]), mask)


def test_polygons_are_drawn_as_coco_draws_them(refer: Refer) -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        polygon = (rng.random((7, 2)) * [WIDTH, HEIGHT]).ravel().tolist()
        refer.instances["annotations"][0]["segmentation"] = [polygon]
        expected = coco_mask.decode(coco_mask.frPyObjects([polygon], HEIGHT, WIDTH))[:, :, 0]
        assert np.array_equal(mask_of(read(refer).truth[1]), expected)


def test_two_refs_may_share_an_annotation(refer: Refer) -> None:
    refer.refs.append(ref(9, 70, 1, "train", "the same man"))
    assert [item.ref_id for item in read(refer).truth] == [5, 3, 9]


def test_ids_may_be_words(refer: Refer) -> None:
    """ReferIt's are; those in the table then depend on the words, not on their order."""
    for old, new in ((70, "10_2"), (71, "9_1"), (72, "10_1")):
        for item in refer.instances["annotations"]:
            item["id"] = new if item["id"] == old else item["id"]
        for item in refer.refs:
            item["ann_id"] = new if item["ann_id"] == old else item["ann_id"]
    found = read(refer)
    assert {item.ann_id: item.category for item in found.objects} == {
        **{0: "person", 1: "person"},
        2: "dog",
    }
    random.Random(0).shuffle(refer.instances["annotations"])
    assert sorted(map(repr, read(refer).objects)) == sorted(map(repr, found.objects))


def test_numbers_written_as_text_are_the_same_ids(refer: Refer) -> None:
    refer.refs[1]["ann_id"] = "70"
    refer.refs[1]["image_id"] = "1"
    assert read(refer).truth[1].image_id == 1
    assert {item.ann_id for item in read(refer).objects} == {70, 71, 72}


def test_an_image_may_belong_to_two_splits(refer: Refer) -> None:
    refer.refs.append(ref(9, 72, 1, "val", "the crowd"))
    found = read(refer, "google").images
    assert [(image.image_id, image.split) for image in found] == [
        *((1, "train"), (1, "val")),
        (2, "val"),
    ]


def test_the_order_of_the_file_changes_nothing_but_order(refer: Refer) -> None:
    first = read(refer)
    refer.refs.reverse()
    refer.instances["images"].reverse()
    refer.instances["annotations"].reverse()
    second = read(refer)
    for name in ("expressions", "images", "truth", "objects"):
        assert sorted(map(repr, getattr(first, name))) == sorted(map(repr, getattr(second, name)))


# -- what is refused


def _set(target: str, index: int, key: str, value: Any) -> Callable[[Refer], None]:
    def change(refer: Refer) -> None:
        records = refer.refs if target == "refs" else refer.instances[target]
        if value is KeyError:
            del records[index][key]
        else:
            records[index][key] = value

    return change


def _sentence(key: str, value: Any) -> Callable[[Refer], None]:
    return lambda refer: refer.refs[1]["sentences"][1].update({key: value})


REFS = r"refs\(unc\)\.p: record 1: "
WHOLE = HEIGHT * WIDTH


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("refs", 1, "ref_id", KeyError), REFS + "'ref_id' is missing"),
        (_set("refs", 1, "ref_id", 5), REFS + "'ref_id' 5 is there twice"),
        (_set("refs", 1, "ref_id", True), REFS + "'ref_id' must be an integer, not bool"),
        (_set("refs", 1, "ref_id", 1.5), REFS + "'ref_id' must be an integer, not float"),
        (_set("refs", 1, "ref_id", 1 << 64), REFS + "'ref_id' does not fit"),
        (_set("refs", 1, "ann_id", 99), REFS + "'ann_id' 99 is no annotation"),
        (_set("refs", 1, "ann_id", [70]), REFS + "'ann_id' must be an integer, not list"),
        (_set("refs", 1, "image_id", 2), REFS + "'image_id' is 2, its annotation 70 is of 1"),
        (_set("refs", 1, "split", ""), REFS + "'split': is empty"),
        (_set("refs", 1, "split", 3), REFS + "'split': must be text"),
        (_set("refs", 1, "sentences", []), REFS + "'sentences' is empty: ref_id 3"),
        (_set("refs", 1, "sentences", {}), REFS + "'sentences': must be a list"),
        (_set("refs", 1, "sentences", ["a"]), "'sentences': record 0: must be a mapping"),
        (_sentence("sent", ""), r"ref_id 3, sent_id 31\): 'sent': is empty"),
        (_sentence("raw", " "), r"ref_id 3, sent_id 31\): 'raw': is empty"),
        (_sentence("raw", "a\x00"), r"ref_id 3, sent_id 31\): 'raw': .*control character"),
        (_sentence("sent", "x" * 5000), r"sent_id 31\): 'sent': 5000 characters"),
        (_sentence("sent", None), r"sent_id 31\): 'sent': must be text"),
        (_sentence("sent_id", 30), "'sent_id' 30 is there twice"),
        (_sentence("sent_id", 50), "'sent_id' 50 is there twice"),
        (_set("images", 1, "id", 1), r"instances\.json: 'images': record 1: 'id' 1 is there twice"),
        (_set("images", 1, "height", 0), "record 1: 'height' or width is not"),
        (_set("images", 1, "width", 10**6), "record 1: 'height' or width is not"),
        (
            _set("images", 1, "file_name", "../a.jpg"),
            r"record 1: 'file_name': '\.\./a\.jpg': leads out",
        ),
        (_set("images", 1, "file_name", "/etc/passwd"), "'/etc/passwd': leads out"),
        (_set("categories", 0, "name", KeyError), "'categories': record 0: 'name' is missing"),
        (_set("annotations", 0, "id", 71), "record 1: 'id' 71 is there twice"),
        (_set("annotations", 0, "image_id", 9), "record 0: 'image_id' 9 is no image"),
        (_set("annotations", 0, "category_id", 9), "record 0: 'category_id' 9 is no category"),
        (_set("annotations", 0, "bbox", [1, 2, 3]), "record 0: 'bbox' must be a list of 4"),
        (_set("annotations", 0, "bbox", [1, 2, 3, "4"]), "record 0: 'bbox' must hold finite"),
        (_set("annotations", 0, "bbox", [1, 2, -3, 4]), "record 0: 'bbox' has a negative"),
        (_set("annotations", 0, "segmentation", []), "'segmentation' must be polygons"),
        (_set("annotations", 0, "segmentation", "x"), "'segmentation' must be polygons"),
        (_set("annotations", 0, "segmentation", [[1, 2, 3]]), "list of x, y pairs"),
        (_set("annotations", 0, "segmentation", [["1"] * 6]), "list of x, y pairs"),
        (_set("annotations", 0, "segmentation", [[[1, 2]] * 3]), "list of x, y pairs"),
        (_set("annotations", 0, "segmentation", [[1, 2, 3, 4, 5, 1e9]]), "leads far off"),
        (_set("annotations", 0, "segmentation", [[1, 2, 3, 4, 5, float("nan")]]), "leads far off"),
        (_set("annotations", 0, "segmentation", [{"counts": [WHOLE]}]), "has size None"),
        (
            _set("annotations", 0, "segmentation", {"size": [WIDTH, HEIGHT], "counts": [WHOLE]}),
            r"record 0: 'segmentation' has size \[16, 12\], its image is 12 high and 16 wide",
        ),
        (
            _set("annotations", 0, "segmentation", {"size": [HEIGHT, WIDTH], "counts": [3]}),
            "counts that do not fill",
        ),
        (
            _set("annotations", 0, "segmentation", {"size": [HEIGHT, WIDTH], "counts": [-3, 195]}),
            "counts that are no pixel counts",
        ),
        (
            _set("annotations", 0, "segmentation", {"size": [HEIGHT, WIDTH], "counts": "03"}),
            "counts that do not fill",
        ),
        (
            _set("annotations", 0, "segmentation", {"size": [HEIGHT, WIDTH]}),
            "has no counts",
        ),
    ],
)
def test_what_is_wrong_is_named(
    refer: Refer, change: Callable[[Refer], None], message: str
) -> None:
    change(refer)
    with pytest.raises(InputError, match=message):
        read(refer)


def test_files_that_are_not_there_are_named(refer: Refer) -> None:
    folder = refer.write()
    with pytest.raises(InputError, match=r"refs\(umd\)\.p: no such file; .*\(refs\(unc\)\.p\)"):
        read_refer(folder, dataset="toy", options=options("umd"))
    with pytest.raises(InputError, match="leads out"):
        read_refer(folder, dataset="toy", options=options("../../x"))
    (folder / "instances.json").unlink()
    with pytest.raises(InputError, match=r"instances\.json: cannot be read"):
        read_refer(folder, dataset="toy", options=options("unc"))


def test_refs_that_run_code_are_refused(refer: Refer, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "mark",)

    refer.refs = []
    folder = refer.write()
    (folder / "refs(unc).p").write_bytes(pickle.dumps([Evil()]))
    with pytest.raises(InputError, match=r"refs\(unc\)\.p: refused"):
        read_refer(folder, dataset="toy", options=options("unc"))
    assert not (tmp_path / "mark").exists()


ODD = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    st.lists(st.integers(-5, 200), max_size=8),
    st.dictionaries(st.sampled_from(["size", "counts", "raw"]), st.integers(), max_size=3),
    st.lists(st.lists(st.floats(-20, 40), max_size=8), max_size=2),
)


@fuzz()
@given(data=st.data())
def test_any_change_is_read_or_named(refer: Refer, data: st.DataObject) -> None:
    """One value somewhere becomes another: whole tables come out, or an InputError."""
    draft = Refer(refer.folder, pickle.loads(pickle.dumps(refer.refs)), None)
    draft.instances = pickle.loads(pickle.dumps(refer.instances))
    container: Any = {"refs": draft.refs, "instances": draft.instances}
    while True:
        keys = list(container) if isinstance(container, dict) else list(range(len(container)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if not isinstance(container[key], dict | list) or data.draw(st.integers(0, 9)) == 0:
            break
        container = container[key]
    container[key] = data.draw(ODD)
    if not (isinstance(container, dict) and key in ("refs", "instances")):
        container = {"refs": draft.refs, "instances": draft.instances}
    draft.refs, draft.instances = container["refs"], container["instances"]
    try:
        found = read(draft)
    except InputError as error:
        assert any(name in str(error) for name in ("refs(unc).p", "instances.json", "picture"))
        return
    sizes = {image.image_id: (image.height, image.width) for image in found.images}
    assert all(mask_of(item).shape == sizes[item.image_id] for item in found.truth)


def test_an_annotation_without_pixels_is_empty(refer: Refer) -> None:
    refer.instances["annotations"].append(annotation(73, 1, [[1.0, 1.0, 5.0, 1.0]]))
    found = {item.ann_id: item for item in read(refer).objects}
    assert not mask_of(found[73]).any()
