"""Weights of networks, from files that cannot run code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.safety.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def load_weights(path: str | Path, *, key: str | None = None) -> dict[str, Tensor]:
    """The tensors of a weights file by name, on the CPU.

    A ``.safetensors`` file is read as such; any other by ``torch.load(weights_only=True)``, of
    which ``key`` picks one entry (as "state_dict"). Nothing falls back to a loader that runs code.
    InputError names a file that is missing, damaged, asks to run code, or holds more than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file of weights")
    found = _safetensors(path) if path.suffix == ".safetensors" else _torch_file(path)
    if key is not None:
        if not isinstance(found, dict) or key not in found:
            raise InputError(f"{path}: has no entry {key!r} (it has {_names(found)})")
        found = found[key]
    import torch

    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in found.items()
    ):
        raise InputError(
            f"{path}: holds more than named tensors (it has {_names(found)}); name the entry that "
            "has the weights"
        )
    return found


def _names(found: Any) -> str:
    if not isinstance(found, dict):
        return f"a {type(found).__name__}"
    shown = [f"{name!s:.40}" for name in list(found)[:8]]
    return ", ".join(shown + ["..."] * (len(found) > len(shown)))


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: damaged safetensors ({error}); get or make it again") from error


def _torch_file(path: Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # weights_only and a damaged file raise many kinds
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"{path}: refused: damaged, or more than plain tensors ({reason[0]:.200}); get its "
            "safetensors form from the publisher"
        ) from error
