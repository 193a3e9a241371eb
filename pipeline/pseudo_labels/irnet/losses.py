"""What the edge and displacement network learns from pairs of cells (IRNet).

Every mean is over the pairs of one kind of all images of a batch; a kind without pairs costs 0.
The affinity of a pair is 1 minus the strongest edge on its path, so with z the largest logit there
`-log affinity = softplus(z)` and `-log(1 - affinity) = softplus(-z)`: no floor is needed.

Legend: B images, h w cells, Q pairs of cells.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.processes import summed
from pipeline.pseudo_labels.irnet.paths import paths_within

BACKGROUND, IGNORE = 0, 255
LOSSES = (
    "foreground_affinity",
    "background_affinity",
    "negative_affinity",
    "foreground_displacement",
    "background_displacement",
)


def pair_losses(
    edge: Tensor, displacement: Tensor, labels: Tensor, *, radius: int
) -> dict[str, Tensor]:
    """The five losses, unweighted, of all pairs of cells nearer than `radius`.

    `foreground_affinity`, `background_affinity`: -log affinity of two cells of one referent, of
    two cells of the background; `negative_affinity`: -log(1 - affinity) of cells of different
    labels; `foreground_displacement`: how far, each way, the difference of two cells' displacements
    is from their offset; `background_displacement`: from 0. IRNet weights them 1/4, 1/4, 1/2, 1/2
    and 1/2.

    Args:
        edge: (B, h, w) logits.
        displacement: (B, 2, h, w) in cells, down and right, from a cell to its instance's centre.
        labels: (B, h, w) integers; equal ones are one thing, see `BACKGROUND` and `IGNORE`.
    """
    edge, displacement = edge.float(), displacement.float()
    height, width = edge.shape[-2:]
    barriers, differences, firsts, seconds = [], [], [], []
    for path in paths_within(radius):
        if path.fits(height, width):
            barriers.append(torch.stack(path.along(edge)).amax(dim=0).flatten(1))
            start, end = path.ends(displacement)
            offset = start.new_tensor([path.down, path.right])[:, None]
            differences.append(
                torch.stack([(start - end).flatten(2), (start - end).flatten(2) - offset])
            )
            first, second = path.ends(labels)
            firsts.append(first.flatten(1))
            seconds.append(second.flatten(1))
    if not barriers:
        return dict.fromkeys(LOSSES, (edge.sum() + displacement.sum()) * 0)
    barrier = torch.cat(barriers, dim=1)  # (B, Q)
    from_zero, from_offset = torch.cat(differences, dim=-1).abs().mean(dim=2)  # (B, Q) each
    first, second = torch.cat(firsts, dim=1), torch.cat(seconds, dim=1)
    known = (first != IGNORE) & (second != IGNORE)
    same = known & (first == second)
    background, foreground = same & (first == BACKGROUND), same & (first != BACKGROUND)
    positive = functional.softplus(barrier)
    return {
        "foreground_affinity": _mean(positive, foreground),
        "background_affinity": _mean(positive, background),
        "negative_affinity": _mean(functional.softplus(-barrier), known & ~same),
        "foreground_displacement": _mean(from_offset, foreground),
        "background_displacement": _mean(from_zero, background),
    }


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean of (B, Q) values of all processes over the pairs that count; 0 if there are none."""
    return summed((values * where).sum()) / summed(where.sum()).clamp(min=1)
