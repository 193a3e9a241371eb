"""Segment Anything (Kirillov et al., ICCV 2023): the published sizes, and one for the miniature.

Two sources of weights: a published checkpoint (`vit_b`, `vit_l`, `vit_h`), and a folder that
`save_sam` wrote, which is how the pipeline's own small SAM travels: `sam.json` (its sizes) and
`sam.safetensors`. Both are the package's own `Sam`. How one is asked: `sam_prompts.py`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save
from segment_anything import sam_model_registry
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import nn

from pipeline.encoders.sam_stem import ConvolutionStem
from pipeline.safety import InputError, load_weights
from pipeline.store import atomic_path, read_json, write_json

PUBLISHED = ("vit_b", "vit_l", "vit_h")
SHAPE_FILE, WEIGHTS_FILE = "sam.json", "sam.safetensors"
LARGEST = 4096  # of any size in a folder's `sam.json`: a stranger's file must not fill the memory

__all__ = ["PUBLISHED", "Sam", "SamShape", "files_of_sam", "load_sam", "new_sam", "save_sam"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamShape:
    """The sizes of a SAM.

    Attributes:
        image_size: S; images are scaled to it by their longer side, and padded.
        patch_size: of the image encoder, whose grid has image_size / patch_size cells a side.
        stem_width: first channels of the convolutions that make the patches (`ConvolutionStem`);
            0: one convolution, as published.
        width, depth, heads: of the image encoder.
        window: side in patches within which most blocks attend.
        global_blocks: the blocks, from 0, that attend over the whole image.
        prompt_width: of tokens and of the image embedding.
        mask_channels: hidden width of the encoder of mask prompts; a quarter of it is normalised
            over channels, so 4 would tell nothing.
        decoder_depth, decoder_heads, decoder_mlp: of the two-way transformer.
        iou_hidden: of the head that predicts a mask's quality.
    """

    image_size: int
    patch_size: int
    stem_width: int
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
    if shape.stem_width and (shape.patch_size < 4 or shape.patch_size.bit_count() != 1):
        raise InputError(
            f"small_sam.patch_size: {shape.patch_size} must be a power of two from 4 with a "
            "stem_width other than 0"
        )
    grid = shape.image_size // shape.patch_size
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        sam = Sam(
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
        if shape.stem_width:
            sam.image_encoder.patch_embed = ConvolutionStem(
                patch_size=shape.patch_size, width=shape.width, stem_width=shape.stem_width
            )
        return sam


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
        content[name] for name in content if name not in ("window", "stem_width")
    ):
        raise InputError(f"{path}: sizes must be whole numbers up to {LARGEST}")
    return SamShape(**content, global_blocks=tuple(blocks))
