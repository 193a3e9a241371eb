"""The table that comes with the package, and tables that are wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from pipeline.datasets.download import check_licences, licence_lines, read_catalogue
from pipeline.safety import InputError

TABLE: dict[str, Any] = {
    "sources": {
        "words": {
            "title": "words",
            "licence": "MIT",
            "licence_page": "https://example.org",
            "files": [{"name": "words.zip", "addresses": ["https://example.org/w"], "bytes": 5}],
            "unpacked": {"files": 1, "bytes": 1, "ratio": 1},
        },
        "images": {
            "title": "images",
            "licence": "for study only",
            "licence_page": "https://example.org",
            "non_commercial": True,
            "files": [{"name": "i.zip", "addresses": ["http://example.org/i"], "at_most": 5}],
            "unpacked": {"files": 1, "bytes": 1, "ratio": 1},
            "pictures": {
                "folder": "train",
                "count": 1,
                "addresses": ["https://example.org/{file}"],
                "mean_bytes": 1,
                "at_most": 2,
            },
        },
        "weights": {
            "title": "weights",
            "licence": "MIT",
            "licence_page": "https://example.org",
            "files": [{"name": "w.pth", "addresses": ["https://example.org/w"], "bytes": 5}],
        },
    },
    "datasets": {"toy": {"annotations": "words", "folder": "unpacked/toy", "images": "images"}},
}


def table(tmp_path: Path, change: Callable[[Any], object] = lambda _: None) -> Path:
    content = copy.deepcopy(TABLE)
    change(content)
    path = tmp_path / "table.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_packages_own_table_is_whole() -> None:
    found = read_catalogue(None)
    assert {"refcoco", "refcoco+", "refcocog", "refclef", "grefcoco"} == set(found.datasets)
    for source in found.sources.values():
        for resource in source.files:
            assert any(urlsplit(a).scheme == "https" for a in resource.addresses)
            assert len(set(resource.addresses)) == len(resource.addresses)
            archived = resource.name.endswith(".zip")
            assert archived == (source.unpacked is not None)
    coco = found.sources["coco_train2014"]
    assert coco.pictures is not None
    assert coco.pictures.resource("COCO_train2014_000000000009.jpg").addresses[0] == (
        "https://s3.amazonaws.com/images.cocodataset.org/train2014/COCO_train2014_000000000009.jpg"
    )


def test_the_name_of_a_picture_cannot_lead_elsewhere() -> None:
    offer = read_catalogue(None).sources["coco_train2014"].pictures
    assert offer is not None
    for name in ("../a.jpg", "a/b.jpg", "/a.jpg", ".a.jpg", "a\n.jpg", "..", "a\\b.jpg"):
        with pytest.raises(InputError):
            offer.resource(name)
    address = offer.resource("a b?x=1#y%2f.jpg").addresses[0]
    assert address.endswith("/train2014/a%20b%3Fx%3D1%23y%252f.jpg")


def test_openais_addresses_carry_the_hash_of_their_file() -> None:
    for source in read_catalogue(None).sources.values():
        for resource in source.files:
            for address in resource.addresses:
                if "/clip/models/" in address:
                    assert address.split("/")[-2] == resource.sha256


def test_weights_are_found_by_the_name_of_their_file() -> None:
    found = read_catalogue(None)
    assert found.source_of_weights("RN50-quickgelu.openai.safetensors") == "clip_rn50"
    assert found.source_of_weights("refcoco.zip") is None
    assert "refcoco" not in found.weights() and "coco_val2014" not in found.weights()


def test_a_table_of_ones_own_is_read(tmp_path: Path) -> None:
    found = read_catalogue(table(tmp_path))
    assert set(found.sources) == {"words", "images", "weights"}


def _file(key: str, value: object) -> Callable[[Any], object]:
    return lambda t: t["sources"]["weights"]["files"][0].update({key: value})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_file("addresses", ["ftp://example.org/w"]), "http or https"),
        (_file("addresses", ["https://me:secret@example.org/w"]), "name and password"),
        (_file("addresses", []), "at least 1"),
        (_file("name", "../w"), "plain name"),
        (_file("name", ".w"), "plain name"),
        (_file("name", "a\\b"), "leads out"),
        (_file("at_most", 7), "give bytes where the size is known"),
        (_file("bytes", None), "give bytes where the size is known"),
        (_file("sha256", "12"), "64"),
        (_file("sha256", "X" * 64), "match pattern"),
        (_file("colour", "red"), "colour"),
        (lambda t: t["datasets"]["toy"].update(images="gone"), "gone is no source"),
        (
            lambda t: t["sources"]["words"]["files"].append(
                {"name": "b", "addresses": ["https://example.org/w"], "bytes": 5}
            ),
            "one file, the archive",
        ),
        (
            lambda t: t["sources"]["images"]["pictures"].update(
                addresses=["https://example.org/x.jpg"]
            ),
            "must hold {file} once",
        ),
        (lambda t: t["sources"].update({"a/b": t["sources"].pop("weights")}), "plain name"),
        (lambda t: t["sources"].update(twin=t["sources"]["weights"]), "files of one name"),
        (lambda t: t.clear(), "sources"),
    ],
)
def test_mistakes_in_a_table_are_named(
    tmp_path: Path, change: Callable[[Any], object], said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read_catalogue(table(tmp_path, change))
    assert "table.yaml" in str(caught.value) and "secret" not in str(caught.value)


def test_what_is_no_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    for content in (b"{", b"\xff\xfe\xfa", b"- 1"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"table\.yaml"):
            read_catalogue(path)
    path.unlink()
    with pytest.raises(InputError, match=r"table\.yaml: cannot be read"):
        read_catalogue(path)


def test_licences_are_shown_and_some_need_a_yes(tmp_path: Path) -> None:
    found = read_catalogue(table(tmp_path))
    assert licence_lines(found, ["words"]) == ["words: words. Licence: MIT (https://example.org)"]
    check_licences(found, ["words", "weights"], accepted=[])
    with pytest.raises(InputError, match=r"set download\.accept: \[images\]") as caught:
        check_licences(found, ["words", "images"], accepted=[])
    assert "for study only" in str(caught.value)
    check_licences(found, ["words", "images"], accepted=["images"])
    with pytest.raises(InputError, match="'imagse' is no source"):
        check_licences(found, ["words"], accepted=["imagse"])


def test_an_unknown_dataset_is_told_the_known(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"download\.dataset: 'coco' is none of toy"):
        read_catalogue(table(tmp_path)).dataset("coco")
