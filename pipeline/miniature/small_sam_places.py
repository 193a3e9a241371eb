"""What each place of a scene belongs to, read off its embedding: a help for the small SAM to learn.

A prompt tells the image encoder about one object; this tells it about all of them at once, for the
cost of a linear layer that is dropped afterwards. Ours: the published SAM learns from prompts
alone, for longer. Where an object's centre lies, seen from each of its places, is what tells
objects apart (Kendall et al., CVPR 2018).

Legend: B images, S side in pixels, C width of the embedding, h w its grid (h = w).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

FINE = 4  # places a cell and side: as fine as the masks of SAM's decoder
UNIT = 0.1  # of the image's side, of what is predicted of a centre


class Places(nn.Module):
    """A linear layer from the embedding to what is known of each of its 4h x 4w places."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.read = nn.Conv2d(channels, 5 * FINE**2, 1)
        for values in self.read.parameters():  # nothing random: the SAM's own seed decides all
            nn.init.zeros_(values)

    def forward(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Losses of what (B, C, h, w) tells of the objects of (B, S, S) uint8 labels.

        `foreground`: cross-entropy of there being an object. `edges`: of the place to the right,
        and of that below, belonging to something else, summed. `centres`: of places of an object,
        the distance of its centre in x plus that in y, in tenths of the image's side.
        """
        side = embeddings.shape[-1] * FINE
        chosen = functional.interpolate(labels[:, None].float(), size=side, mode="nearest-exact")
        owner = chosen[:, 0].long()
        thing, right, below, *centre = functional.pixel_shuffle(self.read(embeddings), FINE).unbind(
            dim=1
        )
        inside = torch.gt(owner, 0).float()
        beside = torch.ne(owner[:, :, 1:], owner[:, :, :-1]).float()
        beneath = torch.ne(owner[:, 1:], owner[:, :-1]).float()
        entropy = functional.binary_cross_entropy_with_logits
        distance = (torch.stack(centre, dim=1) - centres_of(owner) / UNIT).abs().sum(dim=1)
        return {
            "foreground": entropy(thing, inside),
            "edges": entropy(right[:, :, :-1], beside) + entropy(below[:, :-1], beneath),
            "centres": (distance * inside).sum() / inside.sum().clamp(min=1),
        }


def centres_of(owner: Tensor) -> Tensor:
    """Where the centre of what each place belongs to lies, seen from there, in sides of the image.

    owner: (B, n, n) int64, 0 the background, then the objects -> (B, 2, n, n) of x and y. The
    background has a centre too, which means nothing.
    """
    side = owner.shape[-1]
    along = torch.arange(side, device=owner.device, dtype=torch.float32) / side
    places = torch.stack([along.expand(side, side), along[:, None].expand(side, side)]).flatten(1)
    members = functional.one_hot(owner.flatten(1)).float()  # (B, n n, objects)
    centres = (places @ members) / members.sum(dim=1, keepdim=True).clamp(min=1)
    own = centres.gather(2, owner.flatten(1)[:, None].expand(-1, 2, -1))
    return (own - places).unflatten(2, (side, side))
