"""One training in several processes: what they tell each other so that they act as one.

Each process has a share of every batch. A loss that were taken of the share alone would have fewer
negatives, and the mean over processes would not be the mean over the batch; so whatever a loss
compares or averages is first gathered here, and every process arrives at the same loss, that of the
whole batch.

Gradients: the backward pass of these functions sums over the processes what each of the equal
losses asks for, so that it is as many times too large as there are processes; the mean of the
gradients over the processes (torch's DistributedDataParallel) then is the gradient of the one loss.
In a single process all of this is nothing, without any copy.

Legend: W processes, R rows here, S rows in all processes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def count() -> int:
    """W, 1 where there is a single process."""
    return distributed.get_world_size() if _together() else 1


def is_first() -> bool:
    """Whether this process is the one that writes for all."""
    return not _together() or distributed.get_rank() == 0


def gathered(rows: Tensor) -> Tensor:
    """The rows (S, ...) of all processes in their order, from the rows (R, ...) of this one.

    Differentiable where `rows` is; R may differ between processes, the other dimensions must not.
    """
    if not _together():
        return rows
    if rows.dtype == torch.bool:  # which cannot be summed
        return gathered(rows.byte()).bool()
    result: Tensor = _Gather.apply(rows, _sizes(rows))
    return result


def rows_before(rows: Tensor) -> int:
    """How many rows precede the first of this process in `gathered(rows)`."""
    return sum(_sizes(rows)[: distributed.get_rank()]) if _together() else 0


def summed(values: Tensor) -> Tensor:
    """The sum over the processes of a tensor of one shape; differentiable where `values` is."""
    if not _together():
        return values
    result: Tensor = _Sum.apply(values)
    return result


def batch_mean(mean: Tensor, rows: int) -> Tensor:
    """The mean over the rows of all processes, from the mean over the `rows` rows of this one."""
    if not _together():
        return mean
    total = summed(torch.stack([mean * rows, mean.new_tensor(float(rows))]))
    return total[0] / total[1]


def _together() -> bool:
    return (
        distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_world_size() > 1
    )


def _sizes(rows: Tensor) -> list[int]:
    """How many rows each process has."""
    found = torch.zeros(distributed.get_world_size(), dtype=torch.int64, device=rows.device)
    found[distributed.get_rank()] = len(rows)
    distributed.all_reduce(found)
    return [int(size) for size in found.tolist()]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int]) -> Tensor:
        start = sum(sizes[: distributed.get_rank()])
        ctx.mine = slice(start, start + len(rows))
        # as a sum with zeros: works for shares of different sizes under every backend
        everything = rows.new_zeros(sum(sizes), *rows.shape[1:])
        everything[ctx.mine] = rows
        distributed.all_reduce(everything)
        return everything

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        asked = gradients[0].contiguous().clone()
        distributed.all_reduce(asked)
        return asked[ctx.mine], None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.detach().clone().contiguous()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor]:
        asked = gradients[0].contiguous().clone()
        distributed.all_reduce(asked)
        return (asked,)
