"""Asking a SAM: prompts about a batch of images, prompts about one image, and all that is in it.

Legend: B images, N prompts, C the width of prompts, h w the grid of the image embedding, S side of
the encoder's square in pixels, M masks a prompt (3), H W pixels of the image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from torch import Tensor
from torch.nn import functional

from pipeline.encoders.sam import Sam

MASK_LOGIT = 10.0  # of a mask prompt where it is certain: about what SAM's own masks have

Pixels = NDArray[np.uint8]
Masks = NDArray[np.bool_]
Floats = NDArray[np.float32]


def encode_images(sam: Sam, images: Tensor) -> Tensor:
    """(B, 3, S, S) RGB in [0, 255], of any type -> embeddings (B, C, h, w)."""
    pixels = (images.float() - sam.pixel_mean) / sam.pixel_std
    embeddings: Tensor = sam.image_encoder(pixels)
    return embeddings


def decode_prompts(
    sam: Sam, embeddings: Tensor, owner: Tensor, sparse: Tensor, dense: Tensor
) -> tuple[Tensor, Tensor]:
    """All masks of prompts that belong to several images, of which each was encoded once.

    The package's decoder takes one image at a time; this runs its modules on a batch.

    Args:
        embeddings: (B, C, h, w) of `encode_images`.
        owner: (N,) the image of each prompt.
        sparse: (N, T, C) tokens, and dense: (N, C, h, w), of the prompt encoder.

    Returns:
        Logits (N, 1 + M, 4h, 4w), that of a lone mask first, and their predicted IoU (N, 1 + M).
    """
    decoder = sam.mask_decoder
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
    image = embeddings[owner] + dense
    places = sam.prompt_encoder.get_dense_pe().expand(len(sparse), -1, -1, -1)
    found, attended = decoder.transformer(image, places, tokens)
    fine = decoder.output_upscaling(attended.transpose(1, 2).reshape(image.shape))
    weights = torch.stack(
        [mlp(found[:, 1 + k]) for k, mlp in enumerate(decoder.output_hypernetworks_mlps)], dim=1
    )
    logits = (weights @ fine.flatten(2)).unflatten(2, fine.shape[2:])
    return logits, decoder.iou_prediction_head(found[:, 0])


class SamPrompter:
    """Answers prompts about one image after the other; an image is encoded once."""

    def __init__(self, sam: Sam, *, device: torch.device | str, prompts_per_batch: int) -> None:
        self._predictor = SamPredictor(sam.eval().to(device))
        self._device = torch.device(device)
        self._prompts_per_batch = prompts_per_batch

    def look_at(self, image: Pixels) -> None:
        """Encode (H, W, 3) uint8 RGB, which the next prompts are about."""
        self._predictor.set_image(image)

    @torch.no_grad()
    def ask(
        self,
        *,
        points: Floats | None = None,
        boxes: Floats | None = None,
        masks: Floats | None = None,
        several: bool = True,
    ) -> tuple[Floats, Floats]:
        """What belongs to N prompts, each of a point, a box, a mask, or one of those with a mask.

        Args:
            points: (N, 2) x, y of a foreground pixel.
            boxes: (N, 4) x and y of the first and of the last pixel.
            masks: (N, H, W) in [0, 1]: how likely each pixel belongs to the object.
            several: the three masks of an ambiguous prompt, or (False) the one of a clear one.

        Returns:
            Logits (N, M, H, W), positive within the mask, and their predicted IoU (N, M), with
            M = 3 or 1.
        """
        given = [prompts for prompts in (points, boxes, masks) if prompts is not None]
        if not given:
            raise ValueError("a prompt is a point, a box or a mask")
        parts = [
            self._ask(
                *(
                    None if prompts is None else prompts[first : first + self._prompts_per_batch]
                    for prompts in (points, boxes, masks)
                ),
                several=several,
            )
            for first in range(0, len(given[0]), self._prompts_per_batch)
        ]
        return np.concatenate([part[0] for part in parts]), np.concatenate([p[1] for p in parts])

    def _ask(
        self, points: Floats | None, boxes: Floats | None, masks: Floats | None, *, several: bool
    ) -> tuple[Floats, Floats]:
        size, transform = self._predictor.original_size, self._predictor.transform
        coordinates = labels = corners = dense = None
        if points is not None:
            coordinates = self._tensor(transform.apply_coords(points, size))[:, None]
            labels = torch.ones(len(points), 1, dtype=torch.int64, device=self._device)
        elif boxes is None and masks is not None:
            # A point that is none keeps the tokens that a prompt is trained with.
            coordinates = torch.zeros(len(masks), 1, 2, device=self._device)
            labels = -torch.ones(len(masks), 1, dtype=torch.int64, device=self._device)
        if boxes is not None:
            corners = self._tensor(transform.apply_boxes(boxes, size))
        if masks is not None:
            dense = self._mask_prompts(self._tensor(masks))
        found, scores, _ = self._predictor.predict_torch(
            coordinates, labels, corners, dense, multimask_output=several, return_logits=True
        )
        return found.float().cpu().numpy(), scores.float().cpu().numpy()

    def _mask_prompts(self, masks: Tensor) -> Tensor:
        """(N, H, W) in [0, 1] -> (N, 1, 4h, 4w) logits in the frame of the padded square."""
        side = self._predictor.model.prompt_encoder.mask_input_size[0]
        square = self._predictor.model.image_encoder.img_size
        size = [max(1, round(length * side / square)) for length in self._predictor.input_size]
        small = functional.interpolate(
            masks[:, None], size=size, mode="bilinear", align_corners=False, antialias=True
        )
        logits = (2 * small - 1) * MASK_LOGIT
        return functional.pad(logits, (0, side - size[1], 0, side - size[0]), value=-MASK_LOGIT)

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self._device)


class SamEverything:
    """segment_anything's automatic mask generator: prompts on a grid, good and stable masks kept.

    Args:
        points_per_side: of the grid (PCNet: 8).
        points_per_batch: prompts that are answered together.
        predicted_iou, stability: least values that a mask is kept with (PCNet: 0.7, 0.7).
        stability_offset: of the threshold, in logits: a mask is as stable as its areas at the
            threshold plus and minus it are alike.
        box_overlap: IoU of boxes above which the worse of two masks is dropped at once.
    """

    def __init__(
        self,
        sam: Sam,
        *,
        device: torch.device | str,
        points_per_side: int,
        points_per_batch: int,
        predicted_iou: float,
        stability: float,
        stability_offset: float,
        box_overlap: float,
    ) -> None:
        self._generator = SamAutomaticMaskGenerator(
            sam.eval().to(device),
            points_per_side=points_per_side,
            points_per_batch=points_per_batch,
            pred_iou_thresh=predicted_iou,
            stability_score_thresh=stability,
            stability_score_offset=stability_offset,
            box_nms_thresh=box_overlap,
        )

    def masks(self, image: Pixels) -> tuple[Masks, Floats]:
        """Masks (K, H, W) of (H, W, 3) uint8 RGB with their predicted IoU (K,); K may be 0."""
        found = self._generator.generate(image)
        masks = np.zeros((len(found), *image.shape[:2]), dtype=np.bool_)
        for place, one in enumerate(found):
            masks[place] = one["segmentation"]
        scores = np.array([one["predicted_iou"] for one in found], dtype=np.float32)
        return masks, scores
