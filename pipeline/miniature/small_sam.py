"""The miniature's own SAM: prompts about scenes in batches, and SAM's losses on their masks.

Unlike all other networks of the weak path it has seen masks, as the real SAM has: those of other
scenes than the dataset's, without any name or sentence (`mask_scenes`).

Source: Kirillov et al., ICCV 2023, section 3 and appendix A: one encoding an image for many
prompts, three masks for an ambiguous prompt of which the best is trained, focal loss and dice, a
head that predicts each mask's IoU. Instead of several rounds of clicks, one round of points, boxes
and rough masks; and points of the background, whose masks are to be known for worthless.

Legend: B images of a batch, S side in pixels, P prompts an image, N = B P, C width of prompts, h w
grid of the image embedding (h = w), M masks a prompt (1 alone, then 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipeline import processes
from pipeline.encoders.sam import Sam
from pipeline.encoders.sam_prompts import MASK_LOGIT, decode_prompts, encode_images
from pipeline.miniature.mask_scenes import MaskScenes
from pipeline.miniature.small_sam_places import Places

NOTHING = 255  # the label that no object has: what a point of the background means
BOX_JITTER = 0.1  # of a box's sides, the standard deviation of its corners (the paper's)
ROUGH_NOISE = 0.3  # of a mask prompt, a cell of the embedding's grid


@dataclass(frozen=True)
class PromptsPerImage:
    """How many prompts of each kind share an image's encoding.

    points: in objects. background: points beside them. boxes, masks: of objects; half of the rough
    masks come with a point.
    """

    points: int
    background: int
    boxes: int
    masks: int


@dataclass(frozen=True)
class PromptBatch:
    """Prompts about the images of a batch; those of an image in the order points, masks, boxes.

    images: (B, 3, S, S) uint8. labels: (B, S, S) uint8 as in `MaskScenes`.
    points: (B, P - boxes, 2) float32 x, y; those of mask prompts come last. kinds: of them, 1, or
    -1 where there is a mask but no point. noise: (B, masks, h, w). boxes: (B, boxes, 4) x, y of the
    first and last pixel, jittered. meant: (B, P) int64 label of the object that a prompt means.
    """

    images: Tensor
    labels: Tensor
    points: Tensor
    kinds: Tensor
    noise: Tensor
    boxes: Tensor
    meant: Tensor

    def to(self, device: torch.device) -> PromptBatch:
        return replace(self, **{name: value.to(device) for name, value in vars(self).items()})


class PromptBatches:
    """A source of batches for the training loop; batch n is a pure function of (seed, n).

    Scenes are turned and mirrored, each at random.

    Args:
        scenes: to learn from.
        grid: h, which is also w.
        steps: batches of the one epoch.
        batch_size: images a batch.
    """

    def __init__(
        self,
        scenes: MaskScenes,
        prompts: PromptsPerImage,
        *,
        grid: int,
        steps: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self._scenes = scenes
        self._prompts = prompts
        self._grid = grid
        self._steps = steps
        self._batch_size = min(batch_size, len(scenes.images))
        self._seed = seed

    def __len__(self) -> int:
        return self._steps

    def stream(self, *, start: int, stop: int, rank: int, world: int) -> Iterator[PromptBatch]:
        """Batches start .. stop-1; process `rank` gets every world-th image of each."""
        return (self.batch(number, rank, world) for number in range(start, stop))

    def prepare(self, batch: PromptBatch) -> PromptBatch:
        """The batch as it is: the network itself normalises, as segment_anything's does."""
        return batch

    def batch(self, number: int, rank: int, world: int) -> PromptBatch:
        """Batch `number`."""
        chosen = self._chosen(number)[rank::world]
        drawn = [
            self._one(index, np.random.default_rng([self._seed, number, place]))
            for place, index in zip(range(rank, self._batch_size, world), chosen, strict=True)
        ]
        images, *others = (np.stack(values) for values in zip(*drawn, strict=True))
        return PromptBatch(
            torch.from_numpy(images).permute(0, 3, 1, 2), *(torch.from_numpy(v) for v in others)
        )

    def _chosen(self, number: int) -> NDArray[np.int64]:
        """The scenes of batch `number`: every scene once a pass, in an order of the pass's own."""
        a_pass = len(self._scenes.images) // self._batch_size
        epoch, place = divmod(number, a_pass)
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._scenes.images))
        return order[place * self._batch_size : (place + 1) * self._batch_size]

    def _one(self, index: int, rng: np.random.Generator) -> tuple[NDArray[np.generic], ...]:
        turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
        image, labels = (
            np.rot90(values[:, ::-1] if mirrored else values, turns)
            for values in (self._scenes.images[index], self._scenes.labels[index])
        )
        count = self._prompts
        inside = rng.integers(1, int(labels.max()) + 1, count.points + count.masks + count.boxes)
        meant = np.concatenate(
            [
                inside[: count.points],
                np.zeros(count.background, np.int64),
                inside[count.points :],
            ]
        )
        dots = len(meant) - count.boxes
        points = np.stack([random_point(labels == label, rng) for label in meant[:dots]])
        kinds = np.ones(dots, dtype=np.int64)
        kinds[dots - count.masks :] = 1 - 2 * rng.integers(0, 2, count.masks)
        boxes = np.zeros((count.boxes, 4), dtype=np.float32)
        for place, label in enumerate(meant[dots:]):
            box = box_of(labels == label)
            sides = np.tile(box[2:] - box[:2] + 1, 2)
            boxes[place] = box + rng.normal(0, BOX_JITTER, 4) * sides
        noise = rng.normal(0, ROUGH_NOISE, (count.masks, self._grid, self._grid))
        meant[meant == 0] = NOTHING
        return (
            np.ascontiguousarray(image),
            np.ascontiguousarray(labels),
            points.astype(np.float32),
            kinds,
            noise.astype(np.float32),
            boxes.clip(0, len(labels) - 1),
            meant,
        )


def random_point(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """x, y of a pixel of the mask (H, W); of an empty one, of any pixel."""
    pixels = np.flatnonzero(mask)
    pixel = int(pixels[rng.integers(len(pixels))] if len(pixels) else rng.integers(mask.size))
    return np.array([pixel % mask.shape[1], pixel // mask.shape[1]])


def box_of(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """x, y of the first and of the last pixel of a mask (H, W) that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], dtype=np.float32)


class SmallSamPretraining(nn.Module):
    """SAM's losses over a batch of prompts.

    Args:
        winner: of three masks, the weight of the one that fits best; the two others share the rest,
            so that none of them stays untrained where nothing is ambiguous.
    """

    def __init__(self, sam: Sam, *, winner: float) -> None:
        super().__init__()
        self.sam = sam
        self.places = Places(sam.prompt_encoder.embed_dim)
        self.winner = winner

    def forward(self, batch: PromptBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits (N, M, 4h, 4w), and the losses of the whole batch.

        They are `focal`, `dice` and `iou` of the prompts, and those of `Places`.
        """
        embeddings = encode_images(self.sam, batch.images).float()
        target = torch.eq(batch.labels[:, None], batch.meant[:, :, None, None]).float()
        side = self.sam.prompt_encoder.mask_input_size[0]
        target = functional.adaptive_avg_pool2d(target, side)
        prompts = batch.meant.shape[1]
        owner = torch.arange(len(embeddings), device=embeddings.device).repeat_interleave(prompts)
        # So small a decoder takes many short steps: bfloat16 costs more in casts than it saves.
        with torch.autocast(embeddings.device.type, enabled=False):
            sparse, dense = self._prompts(batch, target)
            logits, predicted = decode_prompts(self.sam, embeddings, owner, sparse, dense)
            focal, dice, overlap = mask_losses(logits, target.flatten(0, 1))
            real = (batch.meant != NOTHING).flatten().float()
            share = _shares(focal.detach() * FOCAL_TO_DICE + dice.detach(), self.winner)
            share = share * real[:, None]
            losses = {
                "focal": (share * focal).sum() / real.sum().clamp(min=1),
                "dice": (share * dice).sum() / real.sum().clamp(min=1),
                "iou": functional.mse_loss(predicted, overlap * real[:, None]),
                **self.places(embeddings, batch.labels),
            }
        rows = len(batch.images)
        return logits, {name: processes.batch_mean(loss, rows) for name, loss in losses.items()}

    def _prompts(self, batch: PromptBatch, target: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (N, 2, C) and dense (N, C, h, w) of all prompts, image after image."""
        encoder = self.sam.prompt_encoder
        images, dots = batch.kinds.shape
        masks, boxes = batch.noise.shape[1], batch.boxes.shape[1]
        of_points, unmasked = encoder(
            points=(batch.points.flatten(0, 1)[:, None], batch.kinds.flatten()[:, None]),
            boxes=None,
            masks=None,
        )
        tokens = [of_points.unflatten(0, (images, dots))]
        if boxes:
            of_boxes, _ = encoder(points=None, boxes=batch.boxes.flatten(0, 1), masks=None)
            tokens.append(of_boxes.unflatten(0, (images, boxes)))
        plain = unmasked[:1].expand(images, *unmasked.shape[1:])[:, None]
        dense = [plain.expand(-1, dots - masks, -1, -1, -1)]
        if masks:
            rough = rough_logits(target[:, dots - masks : dots], batch.noise)
            of_masks = encoder.mask_downscaling(rough.flatten(0, 1)[:, None])
            dense.append(of_masks.unflatten(0, (images, masks)))
        dense.append(plain.expand(-1, boxes, -1, -1, -1))
        return torch.cat(tokens, dim=1).flatten(0, 1), torch.cat(dense, dim=1).flatten(0, 1)


FOCAL_TO_DICE = 20  # how the best of three masks is chosen (the paper's weights of the two losses)


def _shares(losses: Tensor, winner: float) -> Tensor:
    """(N, M) losses -> weights of the masks: 1 of the lone one, `winner` of the best of three."""
    several = losses[:, 1:]
    shares = torch.full_like(several, (1 - winner) / (several.shape[1] - 1))
    shares.scatter_(1, several.argmin(dim=1, keepdim=True), winner)
    return torch.cat([torch.ones_like(losses[:, :1]), shares], dim=1)


def mask_losses(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Focal loss, dice loss and IoU, each (N, M), of logits (N, M, ...) against (N, ...) in [0, 1].

    Focal (Lin et al., ICCV 2017) with gamma 2, for targets between 0 and 1: the cross-entropy times
    the squared distance of probability and target, its mean over pixels. The IoU is that of the
    masks at logit 0 and target 0.5, without gradient; 0 where the target is empty.
    """
    logits, target = logits.flatten(2), target.flatten(1)[:, None]
    chance = logits.sigmoid()
    entropy = functional.softplus(logits) - logits * target
    focal = (entropy * (chance - target).square()).mean(dim=2)
    both = (chance * target).sum(dim=2)
    dice = 1 - (2 * both + 1) / (chance.sum(dim=2) + target.sum(dim=2) + 1)
    with torch.no_grad():
        found, true = logits > 0, target > 0.5
        shared, either = (found & true).sum(dim=2), (found | true).sum(dim=2)
        overlap = shared / either.clamp(min=1)
    return focal, dice, overlap


def rough_logits(target: Tensor, noise: Tensor) -> Tensor:
    """Mask prompts (B, K, 4h, 4w) such as a weak map gives: masks of that size, blurred and noisy.

    noise: (B, K, h, w), added at the embedding's resolution.
    """
    coarse = functional.adaptive_avg_pool2d(target, noise.shape[-1]) + noise
    fine = functional.interpolate(
        coarse.clamp(0, 1), size=target.shape[-2:], mode="bilinear", align_corners=False
    )
    return (2 * fine - 1) * MASK_LOGIT
