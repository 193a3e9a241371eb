"""A pickle is plain data or refused by name; it never runs."""

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.safety import (
    InputError,
    load_plain_pickle,
)
from tests.fuzzing import fuzz

from .evil import Evil

PLAIN = [
    {"ref_id": 0, "sentences": [{"raw": "Füße 🙂", "tokens": ["a"], "box": (1, 2.5)}], "x": None}
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_of_every_protocol_is_read(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "refs(unc).p"
    path.write_bytes(pickle.dumps(PLAIN, protocol))
    assert load_plain_pickle(path) == PLAIN


def test_strings_of_python_2_follow_the_encoding(tmp_path: Path) -> None:
    path = tmp_path / "old.p"
    path.write_bytes(b"S'caf\\xe9'\np0\n.")
    assert load_plain_pickle(path, encoding="latin1") == "café"
    assert load_plain_pickle(path, encoding="bytes") == b"caf\xe9"
    with pytest.raises(InputError, match=r"old\.p"):
        load_plain_pickle(path, encoding="utf-8")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_code_runs_nothing(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(Evil(mark), protocol))
    assert mark.exists()  # it is evil indeed
    mark.unlink()
    path = tmp_path / "evil.p"
    path.write_bytes(pickle.dumps([1, Evil(mark)], protocol))
    with pytest.raises(InputError, match=r"evil\.p: refused.*global (posix|nt)\.mknod"):
        load_plain_pickle(path)
    with pytest.raises(InputError, match="mknod"):
        load_plain_pickle(path, allow=["builtins.set"])
    assert not mark.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"(S'true'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'true'\no.",  # OBJ
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
        b"Pname\n.",  # a persistent id
        b"\x80\x02\x82\x01.",  # an extension
        b"]}b.",  # BUILD on a list
        b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b".",  # a bytearray of a terabyte
        b"]r\xff\xff\xff\x7f.\x00",  # a memo of 2**31 entries: must not cost memory
        b"\x80\x02" + b")" + b"\x85" * 200_000 + b"}" + b"q\x00" + b"h\x00s.",  # nested tuples
        b"\x80\x04(\x91\x85.",  # a frozenset
    ],
)
def test_opcodes_beyond_plain_data_do_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "odd.p"
    path.write_bytes(data)
    if data.startswith(b"]r"):
        assert load_plain_pickle(path) == []
        return
    with pytest.raises(InputError, match=r"odd\.p: (refused|damaged)"):
        load_plain_pickle(path)


@pytest.mark.parametrize("protocol", [2, 3, 5])
def test_an_allowed_global_is_found(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "sets.p"
    path.write_bytes(pickle.dumps({"category": {"sky"}}, protocol))
    allow = ["builtins.set", "__builtin__.set"]
    assert load_plain_pickle(path, allow=allow) == {"category": {"sky"}}


def test_a_pickle_that_is_missing_large_or_truncated_is_named(tmp_path: Path) -> None:
    path = tmp_path / "refs.p"
    with pytest.raises(InputError, match=r"refs\.p: cannot be read"):
        load_plain_pickle(path)
    data = pickle.dumps(PLAIN, 2)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"refs\.p: larger than 10 bytes"):
        load_plain_pickle(path, max_bytes=10)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"refs\.p"):
            load_plain_pickle(path)


@fuzz()
@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(st.sampled_from([bytes([op]) for op in range(40, 150)]), max_size=40).map(
            b"".join
        ),
        st.tuples(st.integers(0, 5), st.integers(0, 200), st.integers(0, 255)),
    )
)
def test_any_bytes_are_plain_data_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes | tuple[int, int, int]
) -> None:
    if isinstance(data, tuple):  # a good pickle with one byte changed
        protocol, place, value = data
        changed = bytearray(pickle.dumps(PLAIN, protocol))
        changed[place % len(changed)] = value
        data = bytes(changed)
    path = tmp_path_factory.getbasetemp() / "fuzz.p"
    path.write_bytes(data)
    try:
        found = load_plain_pickle(path)
    except InputError as error:
        assert "fuzz.p" in str(error)
        return
    waiting, seen = [found], set()
    while waiting:
        item = waiting.pop()
        assert type(item) in (list, tuple, dict, set, str, bytes, int, float, bool, type(None))
        if isinstance(item, list | tuple | dict | set) and id(item) not in seen:
            seen.add(id(item))
            waiting += [*item, *(item.values() if isinstance(item, dict) else ())]
