"""Weights are tensors or refused by name; they never run."""

import pickle
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from pipeline.safety import (
    InputError,
    load_weights,
)
from tests.fuzzing import fuzz, spoiled

from .evil import Evil


def test_tensors_of_every_form_are_read(tmp_path: Path) -> None:
    weights = {"a.weight": torch.arange(4.0).reshape(2, 2)}
    save_file(weights, tmp_path / "a.safetensors")
    torch.save(weights, tmp_path / "a.pth")
    torch.save({"model": weights, "epoch": 3}, tmp_path / "b.pt")
    for name, key in (("a.safetensors", None), ("a.pth", None), ("b.pt", "model")):
        found = load_weights(tmp_path / name, key=key)
        assert list(found) == ["a.weight"] and torch.equal(found["a.weight"], weights["a.weight"])
    with pytest.raises(InputError, match=r"b\.pt: holds more than named tensors.*model, epoch"):
        load_weights(tmp_path / "b.pt")
    with pytest.raises(InputError, match=r"b\.pt: has no entry 'state_dict'"):
        load_weights(tmp_path / "b.pt", key="state_dict")


@pytest.mark.parametrize("name", ["evil.pth", "evil.ckpt", "evil.safetensors"])
def test_weights_that_run_code_run_nothing(tmp_path: Path, name: str) -> None:
    mark, path = tmp_path / "mark", tmp_path / name
    torch.save({"a": torch.ones(1), "b": Evil(mark)}, path)
    with pytest.raises(InputError, match=name):
        load_weights(path)
    path.write_bytes(pickle.dumps(Evil(mark), 2))
    with pytest.raises(InputError, match=name):
        load_weights(path)
    assert not mark.exists()


def test_weights_that_are_missing_or_truncated_are_named(tmp_path: Path) -> None:
    weights = {"a": torch.ones(100)}
    save_file(weights, tmp_path / "a.safetensors")
    torch.save(weights, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        path = tmp_path / name
        data = path.read_bytes()
        for part in (0, 5, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:part])
            with pytest.raises(InputError, match=name):
                load_weights(path)
        path.unlink()
        with pytest.raises(InputError, match=f"{name}: no such file"):
            load_weights(path)


@fuzz()
@given(
    name=st.sampled_from(["a.safetensors", "a.pth", "old.pth"]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    head=st.binary(max_size=12),
    cut=st.floats(0, 1) | st.just(1.0),
)
def test_damaged_weights_are_tensors_or_named(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    changes: list[tuple[float, int]],
    head: bytes,
    cut: float,
) -> None:
    """Other bytes anywhere, or at the beginning, where the lengths stand."""
    folder = tmp_path_factory.getbasetemp() / "fuzzed_weights"
    good = good_weights(folder)[name]
    path = folder / f"spoiled{Path(name).suffix}"
    path.write_bytes(spoiled(head + good[len(head) :], changes, cut))
    try:
        found = load_weights(path)
    except InputError as error:
        assert path.name in str(error)
    else:
        assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())
    finally:
        path.unlink()
    assert {file.name for file in folder.iterdir()} == set(good_weights(folder))


@cache
def good_weights(folder: Path) -> dict[str, bytes]:
    """The same tensors as safetensors, and in both forms of torch's own."""
    weights = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.int64)}
    folder.mkdir(exist_ok=True)
    save_file(weights, folder / "a.safetensors")
    torch.save(weights, folder / "a.pth")
    torch.save(weights, folder / "old.pth", _use_new_zipfile_serialization=False)
    return {path.name: path.read_bytes() for path in folder.iterdir()}
