"""Trained weights on disk: safetensors, written whole, read strictly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from pipeline import safety
from pipeline.safety import InputError
from pipeline.store import atomic_path

SHOWN = 5  # names of an error
METADATA = "training"  # the entry of the file's header


def save_weights(network: nn.Module, path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write `network.state_dict()`, which leaves out what is frozen, with a few words about it.

    Equal weights and words give equal bytes.
    """
    # one entry, as the order of several is random
    header = {METADATA: json.dumps(dict(metadata), sort_keys=True)}
    with atomic_path(path) as temporary:
        # not `save_file`, which makes a file that only its owner can read
        temporary.write_bytes(save(_plain(network), metadata=header))


def load_weights(network: nn.Module, path: Path) -> None:
    """Read weights that `save_weights` wrote into a network of the same settings.

    Raises:
        InputError: the file is missing, damaged, or of a network of other settings.
    """
    tensors = safety.load_weights(path)
    own = network.state_dict()
    differences = [f"lacks {name}" for name in own if name not in tensors]
    differences += [f"has {name}, unknown here" for name in tensors if name not in own]
    differences += [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if differences:
        more = f" and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        raise InputError(
            f"{path}: weights of other settings: {'; '.join(differences[:SHOWN])}{more}; "
            "use the settings that it was trained with, or train it again"
        )
    network.load_state_dict(tensors)


def digest_weights(network: nn.Module) -> str:
    """16 hex digits of the sha256 of all names, shapes and bits."""
    digest = hashlib.sha256()
    for name, value in sorted(_plain(network).items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _plain(network: nn.Module) -> dict[str, Tensor]:
    """The state on the CPU, every tensor on its own and contiguous."""
    return {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }
