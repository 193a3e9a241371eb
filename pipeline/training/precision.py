"""Which numbers a machine computes with."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["32", "bf16", "auto"]


def resolve_precision(precision: Precision, device: Literal["cpu", "gpu"]) -> Literal["32", "bf16"]:
    """`auto` is bf16 where the machine computes it natively, else 32.

    On a CPU: AMX tiles or the AVX-512 instructions for bfloat16; without them it is slower than 32.
    """
    if precision != "auto":
        return precision
    if device == "gpu":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16" if native else "32"
