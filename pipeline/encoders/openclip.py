"""Any open_clip CLIP with a ModifiedResNet or a vision transformer, behind the encoder's face.

The only file that knows open_clip. Three sources of weights: a published tag (`RN50-quickgelu`,
`openai`), random numbers (`pretrained=None`), and a folder that `OpenClipEncoder.save` wrote, which
is how the pipeline's own small CLIP travels. A folder holds open_clip's own two files
(`open_clip_config.json`, `open_clip_model.safetensors`) and `vocabulary.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip import constants
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save
from torch import Tensor

from pipeline.encoders import resnet, text, vit
from pipeline.encoders.face import Encoder
from pipeline.encoders.vocabulary import (
    Vocabulary,
    packed_merges,
    read_merges,
    used_merges,
    write_merges,
)
from pipeline.safety import InputError, load_weights
from pipeline.store import atomic_path

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
VOCABULARY_FILE = "vocabulary.json"

Rgb = tuple[float, float, float]
NORMALISATIONS: dict[str, tuple[Rgb, Rgb]] = {
    "clip": (constants.OPENAI_DATASET_MEAN, constants.OPENAI_DATASET_STD),
    "imagenet": (constants.IMAGENET_MEAN, constants.IMAGENET_STD),
}

WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")

# Other keys of open_clip's configuration choose other towers, some of which are fetched from the
# network, or poolings that the functions of this room do not compute.
VISION_KEYS = {"layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size"}
TEXT_KEYS = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"}
TOP_KEYS = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"}


class OpenClipEncoder(Encoder):
    """open_clip's CLIP as a pyramid, words, a sentence and an image embedding.

    A ResNet gives four levels (layers 1-4); a vision transformer one at its patch size, or four
    resampled copies of it with `vit_pyramid`. Any image size works, square or not: learned position
    grids are interpolated.
    """

    def __init__(
        self,
        clip: open_clip.CLIP,
        vocabulary: Vocabulary,
        *,
        architecture: Mapping[str, Any],
        output_stride: int | None,
        context: int,
        normalise: str,
        vit_pyramid: bool = False,
        project_words: bool = False,
    ) -> None:
        """
        Args:
            architecture: the keyword arguments that `clip` was made with.
            output_stride: of a ResNet's last level, 32 or 16 (its last stride removed); of a vision
                transformer its patch size; None for the tower's own.
            context: tokens a text, at most what the text tower was made for.
            normalise: `clip` or `imagenet`, the mean and deviation that images will have.
            project_words: give words in the shared embedding space.
        """
        super().__init__()
        if normalise not in NORMALISATIONS:
            raise InputError(f"normalise: {normalise!r} is none of {', '.join(NORMALISATIONS)}")
        if not 3 <= context <= clip.context_length:
            raise InputError(
                f"context: {context} tokens must lie between 3 and the text tower's "
                f"{clip.context_length}"
            )
        self.clip = clip
        self.vocabulary = vocabulary
        self.architecture = dict(architecture)
        self.context = context
        self.mean, self.std = NORMALISATIONS[normalise]
        self._project_words = project_words
        self._vit_pyramid = vit_pyramid
        self._is_resnet = isinstance(clip.visual, open_clip.modified_resnet.ModifiedResNet)
        self.embed_dim = int(clip.visual.output_dim)
        self.word_width = self.embed_dim if project_words else int(clip.ln_final.weight.shape[0])
        size = clip.visual.image_size
        self.image_size = int(size if isinstance(size, int) else size[0])
        self._set_levels(output_stride)

    def _set_levels(self, output_stride: int | None) -> None:
        """Decide `channels`, `strides` and `output_stride`; remove the last stride when asked."""
        visual: Any = self.clip.visual
        if self._is_resnet:
            native = resnet.NATIVE_STRIDES
            self.output_stride = native[-1] if output_stride is None else output_stride
            if self.output_stride not in native[-2:]:
                raise InputError(
                    f"output_stride: {output_stride}; a ResNet has {native[-1]} or {native[-2]}"
                )
            if self.output_stride != native[-1]:
                resnet.remove_last_stride(visual)
            self.channels = resnet.layer_channels(visual)
            self.strides = (*native[:-1], self.output_stride)
            return
        self.output_stride = int(visual.patch_size[0])
        if output_stride not in (None, self.output_stride):
            raise InputError(
                f"output_stride: {output_stride}; this vision transformer's is its patch size, "
                f"{self.output_stride}"
            )
        self.strides = (
            vit.pyramid_strides(self.output_stride) if self._vit_pyramid else (self.output_stride,)
        )
        self.channels = (int(visual.ln_post.weight.shape[0]),) * len(self.strides)

    @property
    def logit_scale(self) -> Tensor:
        scale: Tensor = self.clip.logit_scale
        return scale

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        return self.vocabulary.encode(texts, self.context)

    def see(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        if self._is_resnet:
            levels = resnet.layers(self.clip.visual, images)
            return levels, resnet.attention_pool(self.clip.visual.attnpool, levels[-1])
        patches, embedding = vit.patch_map(self.clip.visual, images)
        return self._vit_levels(patches), embedding

    def pyramid(self, images: Tensor) -> list[Tensor]:
        if self._is_resnet:
            return resnet.layers(self.clip.visual, images)
        return self._vit_levels(vit.patch_map(self.clip.visual, images)[0])

    def embed_images(self, images: Tensor) -> Tensor:
        return self.see(images)[1]

    def value_projection(self) -> tuple[Tensor, Tensor]:
        if self._is_resnet:
            return resnet.value_projection(self.clip.visual.attnpool)
        return vit.value_projection(self.clip.visual)

    def read(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = text.token_features(self.clip, tokens)
        mask = text.real_tokens(tokens)
        sentence = self._project(text.end_features(features, tokens))
        words = self._project(features) if self._project_words else features
        return text.padded(words, mask), mask, sentence

    def words(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        words, mask, _ = self.read(tokens)
        return words, mask

    def sentence(self, tokens: Tensor) -> Tensor:
        features = text.token_features(self.clip, tokens)
        return self._project(text.end_features(features, tokens))

    def save(self, folder: Path) -> None:
        """Write the three files of a local encoder; open_clip itself can load them too.

        Raises:
            InputError: the architecture is not one that `load_local` would accept.
        """
        _check_architecture(self.architecture, str(folder))
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "model_cfg": self.architecture,
            "preprocess_cfg": {"mean": list(self.mean), "std": list(self.std)},
            "output_stride": self.output_stride,
        }
        with atomic_path(folder / VOCABULARY_FILE) as path:
            write_merges(path, self.vocabulary.merges)
        with atomic_path(folder / CONFIG_FILE) as path:
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        weights = {key: value.contiguous() for key, value in self.clip.state_dict().items()}
        with atomic_path(folder / WEIGHTS_FILE) as path:
            # not `save_file`, which makes a file that only its owner can read
            path.write_bytes(save(weights))

    def _vit_levels(self, patches: Tensor) -> list[Tensor]:
        return vit.resampled_pyramid(patches) if self._vit_pyramid else [patches]

    def _project(self, features: Tensor) -> Tensor:
        """(..., text width) -> (..., embed_dim)."""
        return features @ self.clip.text_projection


@lru_cache(maxsize=1)
def _clips_tokenizer() -> SimpleTokenizer:
    """Reading its 49,152 merges takes a while."""
    return SimpleTokenizer()


def full_vocabulary() -> Vocabulary:
    """CLIP's own 49,408 ids."""
    return Vocabulary(_clips_tokenizer())


def vocabulary_of(texts: Iterable[str]) -> Vocabulary:
    """CLIP's tokenizer with only the merges that `texts` use; it can still read anything."""
    return Vocabulary(SimpleTokenizer(packed_merges(used_merges(texts, _clips_tokenizer()))))


def load_vocabulary(path: Path) -> Vocabulary:
    """The vocabulary of a local encoder."""
    return Vocabulary(SimpleTokenizer(packed_merges(read_merges(path))))


def new_clip(architecture: Mapping[str, Any], seed: int) -> open_clip.CLIP:
    """open_clip's CLIP with random weights that depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return open_clip.CLIP(**architecture)


def load_published(
    model: str, pretrained: str | None, seed: int
) -> tuple[open_clip.CLIP, dict[str, Any]]:
    """A model of open_clip's list with published weights, those of a file, or random ones.

    Raises:
        InputError: unknown name or tag, or the weights are neither cached nor reachable.
    """
    architecture = open_clip.get_model_config(model)
    if architecture is None:
        raise InputError(
            f"encoder.model: {model!r} is neither a folder with {CONFIG_FILE} nor an open_clip "
            "model; `python -c 'import open_clip; print(open_clip.list_models())'` lists those"
        )
    _check_architecture(architecture, model)
    if pretrained is not None and Path(pretrained).suffix in WEIGHTS_SUFFIXES:
        return _with_weights(new_clip(architecture, seed), Path(pretrained), model), architecture
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            clip = open_clip.create_model(model, pretrained=pretrained)
    except Exception as error:  # open_clip lets through whatever its downloaders raise
        raise InputError(
            f"encoder: {model} with weights {pretrained!r} cannot be had ({error}); "
            "check the tag, and the connection or the cache of Hugging Face"
        ) from error
    return clip, architecture


def _with_weights(clip: open_clip.CLIP, path: Path, model: str) -> open_clip.CLIP:
    """`clip` with the weights of a file, which must be those of its kind, as 32-bit numbers."""
    try:
        clip.load_state_dict(load_weights(path), strict=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{path}: no weights of {model} ({reason:.200})") from None
    return clip


def load_local(folder: Path) -> tuple[open_clip.CLIP, Vocabulary, dict[str, Any]]:
    """What `OpenClipEncoder.save` wrote: CLIP, vocabulary, and the content of its config file.

    Raises:
        InputError: a file is missing, damaged, or does not fit the others.
    """
    try:
        content = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        architecture = content["model_cfg"]
        _check_architecture(architecture, str(folder / CONFIG_FILE))
        clip = new_clip(architecture, seed=0)
        clip.load_state_dict(load_weights(folder / WEIGHTS_FILE), strict=True)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{folder}: not a complete encoder ({error}); make it again") from error
    vocabulary = load_vocabulary(folder / VOCABULARY_FILE)
    if vocabulary.size != clip.vocab_size:
        raise InputError(
            f"{folder}: {VOCABULARY_FILE} has {vocabulary.size} ids, the weights "
            f"{clip.vocab_size}; they are of different models, make the encoder again"
        )
    return clip, vocabulary, content


def _check_architecture(architecture: Mapping[str, Any], name: str) -> None:
    """Only what the functions of this room compute exactly as open_clip does."""
    parts = {
        "vision_cfg": (architecture.get("vision_cfg", {}), VISION_KEYS),
        "text_cfg": (architecture.get("text_cfg", {}), TEXT_KEYS),
        "model_cfg": (architecture, TOP_KEYS),
    }
    for part, (found, keys) in parts.items():
        if unknown := set(found) - keys:
            raise InputError(
                f"{name}: {part} has {sorted(unknown)}, which is not supported; choose a CLIP with "
                "a ModifiedResNet or a plain vision transformer, for example RN50 or ViT-B-32"
            )
