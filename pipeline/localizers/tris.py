"""TRIS, Stage-1 (Liu et al., ICCV 2023): localize what a sentence means, text the only teacher.

Legend: B rows of a batch (a text and its image), M images, N texts, T tokens, C hidden channels,
h x w the response map, P = h * w.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline import losses, processes
from pipeline.encoders.face import Encoder
from pipeline.layers import to_pixels, trim_words
from pipeline.localizers.base import SphereLocalizer, grouped
from pipeline.localizers.bilateral_prompt import BilateralPrompt
from pipeline.localizers.critic import Critic
from pipeline.records import Batch

PromptTexts = Literal["batch", "own"]
Term = Literal["classification", "contrast", "foreground", "calibration"]
TERMS: tuple[Term, ...] = ("classification", "contrast", "foreground", "calibration")


class Language(NamedTuple):
    """Unit-length texts (J, N, C); words (J, N, T, C) and mask where pixels attend over words."""

    texts: Tensor
    words: Tensor | None
    mask: Tensor | None

    def gathered(self) -> Language:
        """The texts of all processes, for J = 1."""
        if processes.count() == 1:
            return self
        texts = processes.gathered(self.texts[0])[None]
        if self.words is None or self.mask is None:
            return Language(texts, None, None)
        return Language(texts, _gathered(self.words[0])[None], _gathered(self.mask[0])[None])


def _gathered(words: Tensor) -> Tensor:
    """The rows (N, T, ...) of all processes, cut to lengths of their own, at the longest length."""
    longest = int(processes.gathered(words.new_tensor([words.shape[1]], dtype=torch.int64)).max())
    filled = words.new_zeros(len(words), longest, *words.shape[2:])
    filled[:, : words.shape[1]] = words
    return processes.gathered(filled)


class TrisLocalizer(SphereLocalizer):
    """Response maps from cosines of pixels and sentences after a bilateral prompt.

    Args, beside those of `SphereLocalizer`:
        encoder, critic: the critic is for the foreground and calibration terms.
        alpha: weight of what the prompt adds to the unit-length features (paper: 0.1).
        prompt_texts: what pixels attend over. `batch`: the sentences of the batch, as published; a
            single sentence, as at inference, then adds nothing, so training and inference differ.
            `own`: the words of the sentence that they are compared with; both are the same.
        positives, same_image: paper: `identity`, `negative`.
        terms: the losses that `forward` computes; the others cost nothing. May be changed between
            steps (`localizer.terms = ...`), for instance to let the critic in late.
    """

    TERMS: ClassVar[tuple[Term, ...]] = TERMS

    def __init__(
        self,
        *,
        encoder: Encoder,
        hidden: int,
        alpha: float,
        prompt_texts: PromptTexts,
        terms: Sequence[Term],
        **shared: Any,
    ) -> None:
        super().__init__(encoder=encoder, hidden=hidden, **shared)
        if prompt_texts not in ("batch", "own"):
            raise ValueError(f"prompt_texts must be batch or own, not {prompt_texts!r}")
        if not terms:
            raise ValueError(f"terms must be some of {TERMS}, not none")
        self.word = nn.Linear(encoder.word_width, hidden) if prompt_texts == "own" else None
        self.prompt = BilateralPrompt(hidden=hidden)
        self.alpha = alpha
        self.terms = terms

    def asks_critic(self, terms: Sequence[str]) -> bool:
        return bool({"foreground", "calibration"} & set(terms))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Every image meets every text of the batch, those of other processes included.

        Returns: the raw response of its own image to each text (B, 1, h, w) float32, and the
        unweighted losses named in `terms`, of the batch of all processes.

        Raises: ValueError if the calibration term is wanted of a batch without negatives.
        """
        features = self.encode(batch.images)
        language = self._read(batch.tokens, images_first=False).gathered()
        response = self._respond(to_pixels(features), language)
        own = self.of_own_image(response, batch).unflatten(-1, features.shape[-2:])[:, None]
        found: dict[str, Tensor] = {}
        if {"classification", "contrast"} & set(self.terms):
            found |= self._classify(response, batch)
        if self.critic is not None and self.asks_critic(self.terms):
            found |= self._criticise(self.critic, own, batch)
        return own, {term: found[term] for term in self.terms}

    def respond(self, features: Tensor, tokens: Tensor, owner: Tensor) -> Tensor:
        """Raw responses (N, 1, h, w) of `features[owner]` to the texts, each text on its own.

        Args: `features` (M, C, h, w) of `encode`; `tokens` (N, T); `owner` (N,) int64 in [0, M).
        """
        size = features.shape[-2:]
        language = self._read(tokens, images_first=True)
        if self.alpha and language.words is None:
            response = self._respond_each(to_pixels(features), language.texts[:, 0], owner)
            return response.unflatten(-1, size)[:, None]
        return self._respond(to_pixels(features)[owner], language).unflatten(-1, size)

    def _read(self, tokens: Tensor, *, images_first: bool) -> Language:
        """Texts for `_respond`: one a row of images, or all of them for every image."""
        words = mask = None
        if self.word is None:
            sentence = self.encoder.sentence(tokens)
        else:
            words, mask, sentence = self.encoder.read(tokens)
            words, mask = trim_words(words, mask)
            words = functional.normalize(self.word(words).float(), dim=-1)
        texts = self.place(sentence)
        dim = 1 if images_first else 0
        if words is None or mask is None:
            return Language(texts.unsqueeze(dim), None, None)
        return Language(texts.unsqueeze(dim), words.unsqueeze(dim), mask.unsqueeze(dim))

    def _respond(self, pixels: Tensor, language: Language) -> Tensor:
        """Responses (I, N, P) float32 of pixels (I, P, C) to texts (I or 1, N, C)."""
        texts = language.texts
        if not self.alpha:  # no prompt: nothing of it is computed
            return self.compare(pixels, texts)
        texts = texts + self.alpha * self.prompt.read_image(pixels, texts).float()
        if language.words is None or language.mask is None:
            prompted = self.prompt.read_texts(pixels, language.texts)
            return self.compare(pixels + self.alpha * prompted, texts)
        with torch.autocast(pixels.device.type, enabled=False):
            response = texts @ pixels.transpose(-1, -2)
        response = response + self.alpha * self.prompt.read_words(
            pixels, language.words, language.mask, texts
        )
        return self.log_scale.exp() * response

    def _respond_each(self, pixels: Tensor, texts: Tensor, owner: Tensor) -> Tensor:
        """Responses (N, P) of pixels (M, P, C) to texts (N, C), each prompting by itself.

        A single text tells every pixel the same, so the pixels of an image are prompted once for
        all its texts.
        """
        mine, place = grouped(texts, owner, images=len(pixels))
        mine = mine + self.alpha * self.prompt.read_image(pixels, mine).float()
        prompted = self.prompt.read_one_text(pixels)
        return self.compare(pixels + self.alpha * prompted, mine)[owner, place]

    def _classify(self, response: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The terms that ask which image a text is true of."""
        score, (own, positive, counted) = self.score(response, batch)
        found = {}
        if "classification" in self.terms:
            found["classification"] = losses.multi_label_soft_margin(score, positive, counted)
        if "contrast" in self.terms:
            found["contrast"] = losses.contrast(score, own, positive, counted)
        return found

    def _criticise(self, critic: Critic, own: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The terms of the frozen critic: one look at each masked image for both."""
        calibrated = "calibration" in self.terms
        similarity = self.judge(critic, own, batch, negatives=calibrated)
        found = {"foreground": losses.foreground(similarity[:, 0], **self.clamp)}
        if calibrated:
            found["calibration"] = losses.calibration(similarity[:, 1:], **self.clamp)
        return found
