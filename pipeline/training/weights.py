"""Trained weights on disk: safetensors, written whole, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.safety import InputError
from pipeline.store import atomic_path

SHOWN = 5  # names of an error


def save_weights(network: nn.Module, path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write `network.state_dict()`, which leaves out what is frozen, with a few words about it."""
    tensors = {
        name: value.detach().cpu().clone().contiguous()
        for name, value in network.state_dict().items()
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=dict(metadata))


def load_weights(network: nn.Module, path: Path) -> dict[str, str]:
    """Read weights that `save_weights` wrote into a network of the same settings; their metadata.

    Raises:
        InputError: the file is missing, damaged, or of a network of other settings.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            names = list(file.keys())
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path}: no readable weights ({error}); train the network again"
        ) from error
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
    return metadata
