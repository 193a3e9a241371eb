"""Every reader against files that mean harm or nonsense: tables come out, or an InputError that
names the file; nothing runs, nothing is left behind.

One value anywhere in a good file becomes another (in CI 2,000 cases and more of each reader), and a
corpus of pickles asks for globals in every way that the format knows.
"""

from __future__ import annotations

import copy
import json
import pickle
import pickletools
import random
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets import READERS, DatasetTables
from pipeline.safety import InputError
from pipeline.store import rle_decode
from tests.fuzzing import fuzz
from tests.repository import ROOT

from .conftest import options
from .published import draw_grefs, draw_referit

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**63, -(2**70), 10**5000, 0.5, float("nan"), float("inf")),
    *("", " ", "x", "-1", "1", "..", "../x", "a\x00b", "\ud800", "9" * 30, "é", "x" * 3000),
    *([], [[]], [-1], [1, 2], [[1, 2, 3]], [[0, 0, 9, 9, "x", 1]], [[1e300] * 6], [None]),
    *({}, {"size": [64, 64], "counts": "0"}, {"size": [64, 64], "counts": [-5, 4101]}),
    {"size": [64, 64], "counts": [4096]},
    [{"size": [64, 64], "counts": "~~~~"}, {"size": 3}],
)


def places(content: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value inside, in order."""
    found = [above] if above else []
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            found += places(value, (*above, key))
    return found


def changed(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at ``path``."""
    content = copy.deepcopy(content)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return content


def read_or_named(reader: str, folder: Path, *names: str) -> DatasetTables | None:
    """What the reader found; None after an InputError, which must name one of these files."""
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    found = None
    try:
        found = READERS[reader](folder, dataset="toy", options=options())
    except InputError as error:
        assert any(name in str(error) for name in names), error
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before
    if found is not None:
        keys = {(row.split, row.ref_id) for row in found.truth}
        if reader != "csv":
            assert {(row.split, row.ref_id) for row in found.expressions} <= keys
        images = {(row.split, row.image_id) for row in found.images}
        assert {(row.split, row.image_id) for row in found.expressions} <= images
        assert len({row.sent_id for row in found.expressions}) == len(found.expressions)
        for item in [*found.truth, *found.objects]:
            assert rle_decode(item.rle, item.height, item.width).shape == (item.height, item.width)
            assert np.isfinite(item.box).all()
    return found


@cache
def good(kind: str, folder: Path) -> Any:
    """Content of a good dataset, written once; what is changed is written over it."""
    if kind == "grefs":
        drawn = draw_grefs(folder, {"train": 1, "val": 1})
        drawn.write()
        return {"grefs(unc).json": drawn.refs, "instances.json": drawn.instances}
    drawn_referit = draw_referit(folder, {"train": 1, "test": 1})
    drawn_referit.write()
    return drawn_referit.splits


def test_ci_tries_two_thousand_cases_of_each_reader() -> None:
    """Which is what ``@fuzz()`` draws there."""
    (cases,) = re.findall(r"^export RIS_FUZZ_CASES=(\d+)", (ROOT / ".ci/run").read_text(), re.M)
    assert int(cases) >= 2_000


def draw_change(data: st.DataObject, content: Any) -> tuple[Any, Any]:
    """The name of one file and its content, one value changed."""
    name = data.draw(st.sampled_from(sorted(content)))
    path = data.draw(st.sampled_from(places(content[name])))
    return name, changed(content[name], path, data.draw(st.sampled_from(ODD)))


@fuzz()
@given(data=st.data())
def test_any_change_of_grefs_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed_grefs"
    content = good("grefs", folder)
    name, spoiled = draw_change(data, content)
    original = (folder / name).read_bytes()
    try:
        text = json.dumps(spoiled)
    except ValueError:  # a number of thousands of digits
        return
    (folder / name).write_text(text)
    try:
        read_or_named("grefs", folder, "grefs(unc).json", "instances.json")
    finally:
        (folder / name).write_bytes(original)


@fuzz()
@given(data=st.data(), protocol=st.integers(2, 5))
def test_any_change_of_referit_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, protocol: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed_referit"
    content = good("referit", folder)
    name, spoiled = draw_change(data, content)
    path = folder / "annotations" / f"{name}.pickle"
    original = path.read_bytes()
    path.write_bytes(pickle.dumps(spoiled, protocol))
    try:
        read_or_named("referit", folder, "train.pickle", "test.pickle")
    finally:
        path.write_bytes(original)


CELLS = st.sampled_from(
    [
        *("a.png", "b.png", "gone.png", "../a.png", "/etc/passwd", "left.png", "", " ", "train"),
        *("val", "1", "-1", '"', '"x', "a,b", "a;b", "\x00", "\x07", "é", "猫 🐈", "x" * 3000),
        *("image", "expression", "split", "mask", "annotation", "referent", "_note", "1e999", "{}"),
    ]
)
VALUES = st.one_of(
    *(CELLS, st.integers(), st.none(), st.booleans(), st.floats()),
    st.lists(st.one_of(CELLS, st.integers()), max_size=3),
    st.dictionaries(CELLS, st.integers(), max_size=2),
)


@fuzz()
@given(
    content=st.one_of(
        st.tuples(st.just("csv"), st.lists(st.lists(CELLS, max_size=5), max_size=6)),
        st.tuples(
            st.just("jsonl"),
            st.lists(
                st.one_of(VALUES, st.dictionaries(CELLS, VALUES, max_size=5), st.just("\x01{")),
                max_size=6,
            ),
        ),
        st.tuples(st.sampled_from(["csv", "jsonl"]), st.binary(max_size=80)),
    ),
    titled=st.booleans(),
)
def test_any_list_of_ones_own_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, content: tuple[str, Any], titled: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed_own"
    own_pictures(folder)
    kind, rows = content
    for name in ("expressions.csv", "expressions.jsonl"):
        (folder / name).unlink(missing_ok=True)
    if isinstance(rows, bytes):
        data = rows
    elif kind == "csv":
        title = ["image,expression,split,mask,referent"] if titled else []
        data = "\n".join([*title, *(",".join(row) for row in rows)]).encode()
    else:
        fixed = {"image": "a.png", "expression": "x"} if titled else {}
        texts = [json.dumps(r | fixed if isinstance(r, dict) else r) for r in rows]
        data = "\n".join(texts).encode()
    (folder / f"expressions.{kind}").write_bytes(data)
    read_or_named("csv", folder, "expressions.csv", "expressions.jsonl")


@cache
def own_pictures(folder: Path) -> None:
    from PIL import Image

    for place in ("images/a.png", "images/b.png", "masks/left.png"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 6), 255).save(folder / place)


# -- pickles that would run something --------------------------------------------------------------


def asks(module: str, name: str, argument: str) -> list[bytes]:
    """Pickles, one each opcode that knows how, that would call ``module.name(argument)``."""
    return [
        f"c{module}\n{name}\n(S'{argument}'\ntR.".encode(),  # GLOBAL, REDUCE
        f"(S'{argument}'\ni{module}\n{name}\n.".encode(),  # INST
        f"(c{module}\n{name}\nS'{argument}'\no.".encode(),  # OBJ
        b"\x80\x04"  # STACK_GLOBAL, REDUCE
        + b"".join(b"\x8c" + bytes([len(t)]) + t for t in (module.encode(), name.encode()))
        + b"\x93\x8c"
        + bytes([len(argument)])
        + argument.encode()
        + b"\x85R.",
        f"c{module}\n{name}\n(S'{argument}'\nt\x81.".encode(),  # NEWOBJ
    ]


HARMFUL = (
    *(("os", "mkdir"), ("posix", "mkdir"), ("nt", "mkdir"), ("builtins", "eval")),
    *(("__builtin__", "eval"), ("builtins", "exec"), ("builtins", "open"), ("pathlib", "Path")),
    *(("subprocess", "check_output"), ("builtins", "getattr"), ("builtins", "set.__init__")),
    *(("builtins", "frozenset"), ("builtins.set", ""), ("", "builtins.set"), ("set", "set")),
    *(("copyreg", "_reconstructor"), ("copy_reg", "_reconstructor"), ("torch", "load")),
)


@pytest.mark.parametrize(("module", "name"), HARMFUL)
@pytest.mark.parametrize("reader", ["refer", "grefs", "referit"])
def test_a_pickle_that_asks_for_anything_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, module: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, write = place_of(reader, tmp_path)
    for data in asks(module, name, "ran"):
        # alone, deep inside good content, and after content that would do
        for wrapped in (data, b"]" + data[:-1] + b"a.", b"N0" + data):
            write(wrapped)
            with pytest.raises(InputError, match=r"refused|damaged"):
                READERS[reader](folder, dataset="toy", options=options())
    assert not (tmp_path / "ran").exists()


def place_of(reader: str, folder: Path) -> tuple[Path, Callable[[bytes], object]]:
    """The folder of a dataset that is good but for one pickle, and what writes that."""
    if reader == "referit":
        good_folder = draw_referit(folder / "referit", {"train": 1}).write()
        return good_folder, (good_folder / "annotations" / "train.pickle").write_bytes
    drawn = draw_grefs(folder / "grefs", {"train": 1})
    name = "refs(unc).p" if reader == "refer" else "grefs(unc).p"
    return drawn.write(), (drawn.folder / name).write_bytes


def test_a_set_is_all_that_referit_may_name(tmp_path: Path) -> None:
    """It is the one allowance, and only there."""
    folder, write = place_of("referit", tmp_path)
    original = (folder / "annotations" / "train.pickle").read_bytes()
    named = pickle.dumps(pickle.loads(original), 2)
    assert {op.name for op, *_ in pickletools.genops(named)} >= {"GLOBAL", "REDUCE"}
    write(named)
    assert READERS["referit"](folder, dataset="toy", options=options()).truth
    other, write_refs = place_of("refer", tmp_path)
    write_refs(pickle.dumps([{"ref_id": {1, 2}}], 2))
    with pytest.raises(InputError, match=r"refused: it asks for the global __builtin__\.set"):
        READERS["refer"](other, dataset="toy", options=options())
    hashed = random.Random(0).sample(range(100), 5)
    write(pickle.dumps({"1": {"size": {tuple(hashed)}}}, 4))
    with pytest.raises(InputError, match="'size' must be a height and a width"):
        READERS["referit"](folder, dataset="toy", options=options())
