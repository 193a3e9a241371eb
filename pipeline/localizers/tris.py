"""TRIS, Stage-1 (Liu et al., ICCV 2023): localize what a sentence means, text the only teacher.

Legend: B rows of a batch (a text and its image), M images, N texts, T tokens, C hidden channels,
h x w the response map, P = h * w.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline import losses
from pipeline.encoders.face import Encoder
from pipeline.layers import to_pixels, trim_words
from pipeline.localizers.bilateral_prompt import BilateralPrompt
from pipeline.localizers.critic import Critic
from pipeline.localizers.projection import VisualProjection
from pipeline.records import Batch

PromptTexts = Literal["batch", "own"]
Term = Literal["classification", "contrast", "foreground", "calibration"]
TERMS: tuple[Term, ...] = ("classification", "contrast", "foreground", "calibration")
Projection = Literal["random", "clip"]


class Language(NamedTuple):
    """Unit-length texts (J, N, C); words (J, N, T, C) and mask where pixels attend over words."""

    texts: Tensor
    words: Tensor | None
    mask: Tensor | None


class TrisLocalizer(nn.Module):
    """Response maps from cosines of pixels and sentences after a bilateral prompt.

    Args:
        encoder: fine-tuned with everything else.
        critic: frozen CLIP for the foreground and calibration terms; None if `terms` has neither.
            It is not part of the state dict.
        hidden: C, channels in which pixels and texts meet (paper: 1024).
        alpha: weight of what the prompt adds to the unit-length features (paper: 0.1).
        temperature: the logits start at cosine / temperature; its log is learned (paper: 0.07).
        prompt_texts: what pixels attend over. `batch`: the sentences of the batch, as published; a
            single sentence, as at inference, then adds nothing, so training and inference differ.
            `own`: the words of the sentence that they are compared with; both are the same.
        levels: pyramid levels summed at the finest of them (paper: the last alone).
        coordinates: whether pixels know their place (paper: no).
        projection: how pixels and texts start out: `random` (paper), or `clip`: with the weights by
            which CLIP itself reads a pixel's value and a sentence (MaskCLIP, Zhou et al., ECCV
            2022), so that the first response is CLIP's own. Needs `hidden` = embed_dim.
        positives, same_image: the pairs of the classification loss, see `losses.positives`
            (paper: `identity`, `negative`).
        focal_power, focal_floor: p and c of the focal penalty (paper: 3, 0.01).
        cosine_floor, cosine_ceiling: clamp of the critic's cosines (paper: 1e-4, 0.9999).
        terms: the losses that `forward` computes; the others cost nothing. May be changed between
            steps (`localizer.terms = ...`), for instance to let the critic in late.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        critic: Encoder | None,
        hidden: int,
        alpha: float,
        temperature: float,
        prompt_texts: PromptTexts,
        levels: Sequence[int],
        coordinates: bool,
        projection: Projection,
        positives: losses.PositiveRule,
        same_image: losses.SameImageRule,
        focal_power: float,
        focal_floor: float,
        cosine_floor: float,
        cosine_ceiling: float,
        terms: Sequence[Term],
    ) -> None:
        super().__init__()
        if prompt_texts not in ("batch", "own"):
            raise ValueError(f"prompt_texts must be batch or own, not {prompt_texts!r}")
        self.encoder = encoder
        self.critic = None if critic is None else Critic(critic, mean=encoder.mean, std=encoder.std)
        self.visual = VisualProjection(
            channels=encoder.channels, levels=levels, hidden=hidden, coordinates=coordinates
        )
        self.text = nn.Linear(encoder.embed_dim, hidden)
        self.word = nn.Linear(encoder.word_width, hidden) if prompt_texts == "own" else None
        self.prompt = BilateralPrompt(hidden=hidden)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        if projection not in ("random", "clip"):
            raise ValueError(f"projection must be random or clip, not {projection!r}")
        if projection == "clip":
            self._start_as_clip()
        self.alpha = alpha
        self.positives: losses.PositiveRule = positives
        self.same_image: losses.SameImageRule = same_image
        self.focal_power = focal_power
        self.focal_floor = focal_floor
        self.cosine_floor = cosine_floor
        self.cosine_ceiling = cosine_ceiling
        self.terms = terms

    @property
    def terms(self) -> tuple[Term, ...]:
        """The losses that `forward` computes, in order."""
        return self._terms

    @terms.setter
    def terms(self, terms: Sequence[Term]) -> None:
        unknown = set(terms) - set(TERMS)
        if unknown or not terms:
            raise ValueError(f"terms must be some of {TERMS}, not {tuple(terms)}")
        if self.critic is None and set(terms) & {"foreground", "calibration"}:
            raise ValueError("the foreground and calibration terms need a critic")
        self._terms = tuple(terms)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Every image meets every text of the batch.

        Returns: the raw response of its own image to each text (B, 1, h, w) float32, and the
        unweighted losses named in `terms`.

        Raises: ValueError if the calibration term is wanted of a batch without negatives.
        """
        features = self.encode(batch.images)
        response = self._respond(to_pixels(features), self._read(batch.tokens, images_first=False))
        own = response[batch.owner, torch.arange(len(batch.owner), device=response.device)]
        own = own.unflatten(-1, features.shape[-2:])[:, None]
        found: dict[str, Tensor] = {}
        if {"classification", "contrast"} & set(self.terms):
            found |= self._classify(response, batch)
        if self.critic is not None and {"foreground", "calibration"} & set(self.terms):
            found |= self._criticise(self.critic, own, batch)
        return own, {term: found[term] for term in self.terms}

    def encode(self, images: Tensor) -> Tensor:
        """Unit-length pixel features (M, C, h, w) of images (M, 3, H, W), shared by their texts."""
        return self.visual(self.encoder.pyramid(images))

    def respond(self, features: Tensor, tokens: Tensor, owner: Tensor) -> Tensor:
        """Raw responses (N, 1, h, w) of `features[owner]` to the texts, each text on its own.

        Args: `features` (M, C, h, w) of `encode`; `tokens` (N, T); `owner` (N,) int64 in [0, M).
        """
        pixels = to_pixels(features)[owner]
        response = self._respond(pixels, self._read(tokens, images_first=True))
        return response.unflatten(-1, features.shape[-2:])

    def _read(self, tokens: Tensor, *, images_first: bool) -> Language:
        """Texts for `_respond`: one a row of images, or all of them for every image."""
        words = mask = None
        if self.word is None:
            sentence = self.encoder.sentence(tokens)
        else:
            words, mask, sentence = self.encoder.read(tokens)
            words, mask = trim_words(words, mask)
            words = functional.normalize(self.word(words).float(), dim=-1)
        texts = functional.normalize(self.text(sentence).float(), dim=-1)
        dim = 1 if images_first else 0
        if words is None or mask is None:
            return Language(texts.unsqueeze(dim), None, None)
        return Language(texts.unsqueeze(dim), words.unsqueeze(dim), mask.unsqueeze(dim))

    def _respond(self, pixels: Tensor, language: Language) -> Tensor:
        """Responses (I, N, P) float32 of pixels (I, P, C) to texts (I or 1, N, C)."""
        texts = language.texts
        if not self.alpha:  # no prompt: nothing of it is computed
            with torch.autocast(pixels.device.type, enabled=False):
                return self.log_scale.exp() * (texts @ pixels.transpose(-1, -2))
        texts = texts + self.alpha * self.prompt.read_image(pixels, texts).float()
        if language.words is None or language.mask is None:
            prompted = self.prompt.read_texts(pixels, language.texts)
            pixels = pixels + self.alpha * prompted
        # bfloat16 would tie neighbouring pixels, and a peak is one pixel
        with torch.autocast(pixels.device.type, enabled=False):
            response = texts @ pixels.transpose(-1, -2)
        if language.words is not None and language.mask is not None:
            response = response + self.alpha * self.prompt.read_words(
                pixels, language.words, language.mask, texts
            )
        return self.log_scale.exp() * response

    def _classify(self, response: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The terms that ask which image a text is true of."""
        score = losses.focal_image_score(response, power=self.focal_power, floor=self.focal_floor)
        positive, counted = losses.positives(
            batch.owner,
            batch.text_ids,
            batch.image_ids,
            batch.ref_ids,
            images=len(batch.images),
            rule=self.positives,
            same_image=self.same_image,
        )
        found = {}
        if "classification" in self.terms:
            found["classification"] = losses.multi_label_soft_margin(score, positive, counted)
        if "contrast" in self.terms:
            own = losses.own_pairs(batch.owner, len(batch.images))
            found["contrast"] = losses.contrast(score, own, positive, counted)
        return found

    def _start_as_clip(self) -> None:
        """Read pixels and sentences as CLIP does, before anything is learned here."""
        weight, bias = self.encoder.value_projection()
        hidden = self.text.weight.shape[0]
        if weight.shape[0] != hidden:
            raise ValueError(
                f"projection clip needs hidden = {weight.shape[0]}, the encoder's embedding, "
                f"not {hidden}"
            )
        with torch.no_grad():
            self.visual.start_from(weight, bias)
            self.text.weight.copy_(torch.eye(hidden))
            self.text.bias.zero_()

    def _criticise(self, critic: Critic, own: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The terms of the frozen critic: one look at each masked image for both."""
        tokens = batch.tokens[:, None]
        if "calibration" in self.terms:
            if batch.negatives is None:
                raise ValueError("the calibration term needs a batch with negatives")
            tokens = torch.cat([tokens, batch.negatives], dim=1)
        similarity = critic.similarity(batch.images[batch.owner], own, tokens)
        clamp = {"floor": self.cosine_floor, "ceiling": self.cosine_ceiling}
        found = {"foreground": losses.foreground(similarity[:, 0], **clamp)}
        if "calibration" in self.terms:
            found["calibration"] = losses.calibration(similarity[:, 1:], **clamp)
        return found

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Take the critic along to a device or a precision; nothing else would."""
        if self.critic is not None:
            self.critic.apply_to_tensors(fn)
        return super()._apply(fn, recurse)
