"""Weights on disk."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.safety import InputError
from pipeline.training.weights import digest_weights, load_weights, save_weights
from tests.training import tiny


def test_round_trip(tmp_path: Path) -> None:
    network = tiny.Network().to(memory_format=torch.channels_last)
    network.encoder[1].running_mean.fill_(3.0)  # type: ignore[union-attr, operator]
    save_weights(network, tmp_path / "w.safetensors", metadata={"title": "x"})
    other = tiny.Network()
    nn.init.zeros_(other.words.weight)
    load_weights(other, tmp_path / "w.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_weights_of_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    network = tiny.Network()
    network.words = nn.EmbeddingBag(64, 4)
    network.extra = nn.Linear(2, 2)
    del network.log_scale
    save_weights(network, path, metadata={})
    before = tiny.Network().state_dict()
    target = tiny.Network()
    with pytest.raises(InputError) as caught:
        load_weights(target, path)
    for part in (str(path), "lacks log_scale", "has extra.weight", "words.weight is (64, 4)"):
        assert part in str(caught.value)
    assert all(torch.equal(before[name], value) for name, value in target.state_dict().items())


@pytest.mark.parametrize("damage", ["missing", "short", "flipped header", "pickle"])
def test_damaged_files_are_refused_by_name(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(tiny.Network(), path, metadata={})
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "short":
        path.write_bytes(content[:-7])
    elif damage == "flipped header":
        path.write_bytes(content[:9] + b"\xff" + content[10:])
    else:
        path.write_bytes(pickle.dumps({"words.weight": torch.zeros(2)}))
    with pytest.raises(InputError, match=r"w\.safetensors: (damaged|no such file)"):
        load_weights(tiny.Network(), path)


def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    words = {f"key{i}": "value" for i in range(8)}
    for name in "ab":
        save_weights(tiny.Network(), tmp_path / name, metadata=words)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_digest_sees_every_bit_and_name() -> None:
    networks = [tiny.Network() for _ in range(4)]
    networks[1].to(memory_format=torch.channels_last)
    with torch.no_grad():
        networks[2].log_scale += 1e-6
    networks[3].other = networks[3].dropout
    networks[3].scale = networks[3].log_scale
    digests = [digest_weights(network) for network in networks]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
