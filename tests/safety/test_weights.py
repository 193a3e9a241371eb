"""Weights are tensors or refused by name; they never run."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.safety import (
    InputError,
    load_weights,
)

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
