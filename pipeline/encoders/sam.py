"""Segment Anything (Kirillov et al., ICCV 2023): the published sizes, and one for the miniature.

The only file that knows segment_anything. Two sources of weights: a published checkpoint
(`vit_b`, `vit_l`, `vit_h`), and a folder that `save_sam` wrote, which is how the pipeline's own
small SAM travels: `sam.json` (its sizes) and `sam.safetensors`. Both are the package's own `Sam`.

Legend: B images, N prompts, C the width of prompts, h w the grid of the image embedding, S side of
the encoder's square in pixels, M masks a prompt (3), H W pixels of the image.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import Tensor, nn
from torch.nn import functional

from pipeline.safety import InputError, load_weights
from pipeline.store import atomic_path, read_json, write_json

PUBLISHED = ("vit_b", "vit_l", "vit_h")
SHAPE_FILE, WEIGHTS_FILE = "sam.json", "sam.safetensors"
LARGEST = 4096  # of any size in a folder's `sam.json`: a stranger's file must not fill the memory
MASK_LOGIT = 10.0  # of a mask prompt where it is certain: about what SAM's own masks have

Pixels = NDArray[np.uint8]
Masks = NDArray[np.bool_]
Floats = NDArray[np.float32]

__all__ = ["PUBLISHED", "Sam", "SamPrompter", "SamShape", "load_sam", "new_sam", "save_sam"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamShape:
    """The sizes of a SAM.

    Attributes:
        image_size: S; images are scaled to it by their longer side, and padded.
        patch_size: of the image encoder; h = w = image_size / patch_size.
        width, depth, heads: of the image encoder.
        window: side in patches within which most blocks attend.
        global_blocks: the blocks, from 0, that attend over the whole image.
        prompt_width: C.
        mask_channels: hidden width of the encoder of mask prompts; a quarter of it is normalised
            over channels, so 4 would tell nothing.
        decoder_depth, decoder_heads, decoder_mlp: of the two-way transformer.
        iou_hidden: of the head that predicts a mask's quality.
    """

    image_size: int
    patch_size: int
    width: int
    depth: int
    heads: int
    window: int
    global_blocks: tuple[int, ...]
    prompt_width: int
    mask_channels: int
    decoder_depth: int
    decoder_heads: int
    decoder_mlp: int
    iou_hidden: int


def new_sam(shape: SamShape, *, seed: int) -> Sam:
    """A SAM of these sizes with random weights, in training mode."""
    if shape.image_size % shape.patch_size:
        raise InputError(
            f"small_sam.patch_size: {shape.patch_size} does not divide the image's "
            f"{shape.image_size} px"
        )
    if (
        shape.width % shape.heads
        or shape.prompt_width % 8
        or shape.prompt_width // 2 % shape.decoder_heads
        or shape.mask_channels % 4
        or shape.mask_channels < 8
    ):
        raise InputError(
            f"a SAM of these sizes cannot be built: {shape}; heads must divide width, "
            "decoder_heads half of prompt_width, 8 prompt_width, and 4 mask_channels, at least 8"
        )
    grid = shape.image_size // shape.patch_size
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Sam(
            image_encoder=ImageEncoderViT(
                img_size=shape.image_size,
                patch_size=shape.patch_size,
                embed_dim=shape.width,
                depth=shape.depth,
                num_heads=shape.heads,
                out_chans=shape.prompt_width,
                norm_layer=partial(nn.LayerNorm, eps=1e-6),
                window_size=shape.window,
                global_attn_indexes=shape.global_blocks,
            ),
            prompt_encoder=PromptEncoder(
                embed_dim=shape.prompt_width,
                image_embedding_size=(grid, grid),
                input_image_size=(shape.image_size, shape.image_size),
                mask_in_chans=shape.mask_channels,
            ),
            mask_decoder=MaskDecoder(
                transformer_dim=shape.prompt_width,
                transformer=TwoWayTransformer(
                    depth=shape.decoder_depth,
                    embedding_dim=shape.prompt_width,
                    num_heads=shape.decoder_heads,
                    mlp_dim=shape.decoder_mlp,
                ),
                iou_head_hidden_dim=shape.iou_hidden,
            ),
        )


def load_sam(model: str, weights: str | None) -> Sam:
    """A trained SAM in evaluation mode, on the CPU.

    Args:
        model: `vit_b`, `vit_l` or `vit_h`, or a folder that `save_sam` wrote.
        weights: the published checkpoint's file; None for a folder.

    Raises:
        InputError: no such model or file, or weights that are damaged or of other sizes.
    """
    folder = Path(model)
    if model in PUBLISHED:
        if weights is None:
            raise InputError(
                f"sam.weights: {model} needs its file of weights, such as "
                "artifacts/weights/sam_vit_h_4b8939.pth"
            )
        sam, path = sam_model_registry[model](checkpoint=None), Path(weights)
    elif (folder / SHAPE_FILE).is_file():
        sam, path = new_sam(_read_shape(folder / SHAPE_FILE), seed=0), folder / WEIGHTS_FILE
    else:
        raise InputError(
            f"sam.model: {model!r} is neither {', '.join(PUBLISHED)} nor a folder with "
            f"{SHAPE_FILE}; `ris pretrain-sam` makes one"
        )
    tensors = load_weights(path)
    own = sam.state_dict()
    wrong = [
        name
        for name in own.keys() | tensors.keys()
        if name not in own or name not in tensors or own[name].shape != tensors[name].shape
    ]
    if wrong:
        raise InputError(
            f"{path}: weights of another model than {model}: {len(wrong)} tensors differ, such as "
            f"{min(wrong)}; give the file that belongs to sam.model"
        )
    sam.load_state_dict(tensors)
    return sam.eval()


def files_of_sam(model: str, weights: str | None) -> list[Path]:
    """The files that `load_sam` reads."""
    if model in PUBLISHED:
        return [] if weights is None else [Path(weights)]
    return [Path(model) / SHAPE_FILE, Path(model) / WEIGHTS_FILE]


def save_sam(sam: Sam, shape: SamShape, folder: Path) -> None:
    """Write the two files of a small SAM; equal weights give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SHAPE_FILE, asdict(shape))
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in sam.state_dict().items()
    }
    with atomic_path(folder / WEIGHTS_FILE) as path:
        path.write_bytes(save(tensors))  # not `save_file`, whose file only its owner can read


def _read_shape(path: Path) -> SamShape:
    """The sizes of a folder's SAM; InputError if they are none, or larger than any SAM's."""
    content = read_json(path)
    names = {field.name for field in fields(SamShape)}
    if not isinstance(content, dict) or content.keys() != names:
        raise InputError(f"{path}: must have exactly the keys {', '.join(sorted(names))}")
    blocks = content.pop("global_blocks")
    sizes = [*content.values(), *(blocks if isinstance(blocks, list) else [None])]
    if not all(type(size) is int and 0 <= size <= LARGEST for size in sizes) or not all(
        content[name] for name in content if name != "window"
    ):
        raise InputError(f"{path}: sizes must be whole numbers up to {LARGEST}")
    return SamShape(**content, global_blocks=tuple(blocks))


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
