"""EHIN, Stage-1 (Li et al.): TRIS with a hierarchy of prompts (HIPM), and with a contrast of masked
images (ECLM) that looks before the hierarchy or after it.

Legend: B rows of a batch (a text and its image), M images, N texts, T tokens, K negatives, C hidden
channels, h x w the response map, P = h * w.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from torch import Tensor

from pipeline import losses, processes
from pipeline.layers import to_pixels
from pipeline.localizers import ehin_losses
from pipeline.localizers.base import SphereLocalizer, grouped
from pipeline.localizers.critic import Critic
from pipeline.localizers.hipm import HierarchicalPrompt, Output, Residual
from pipeline.records import Batch

Level = Literal["early", "late"]
Similarity = Literal["response", "clip"]
Term = Literal["foreground", "eclm", "background", "contrast"]
TERMS: tuple[Term, ...] = ("foreground", "eclm", "background", "contrast")


class EhinLocalizer(SphereLocalizer):
    """Response maps from inner products of pixels and sentences after HIPM (Eq. 1-3).

    Where the paper leaves a choice it is an argument. `encode` and `respond` are as in TRIS;
    inference needs neither critic nor negatives.

    Args, beside those of `SphereLocalizer`:
        critic: E_v and E_l of Eq. 16; None if no term needs it, see `needs_critic`.
        prompts, residual, alpha, beta, output: see `HierarchicalPrompt`. HIPM is off, one bilateral
            prompt left, with 1 prompt and residual `none`.
        temperature: the paper's Eq. 3 has none; ours is TRIS's.
        positives: not `identity`: equal texts are never negatives of each other.
        level: the response that masks the image in Eq. 16. `early`: of the encoders' own features,
            before HIPM, which then learns nothing from this term; `late`: the one that is answered,
            after HIPM (Fig. 7).
        negatives: what Eq. 15 does with its negatives, see `ehin_losses.contrastive_alignment`.
        similarity: `sim` of Eq. 18-19. `response`: a sigmoid of the image's score of Eq. 14, the
            negatives being the batch's other texts, so that the two are the halves of TRIS's
            classification loss; `clip`: the critic's cosine of the image masked by the response,
            the negatives being the batch's `negatives`.
        terms: the losses that `forward` computes: `foreground` (Eq. 18), `eclm` (Eq. 15),
            `background` (Eq. 19), `contrast` (`losses.contrast`; ours). None is needed to answer.
    """

    TERMS: ClassVar[tuple[Term, ...]] = TERMS

    def __init__(
        self,
        *,
        hidden: int,
        prompts: int,
        residual: Residual,
        alpha: float,
        beta: float,
        output: Output,
        positives: losses.PositiveRule,
        level: Level,
        negatives: ehin_losses.NegativeRule,
        similarity: Similarity,
        terms: Sequence[Term],
        **shared: Any,
    ) -> None:
        super().__init__(hidden=hidden, positives=positives, **shared)
        for name, value, allowed in (
            ("level", level, ("early", "late")),
            ("similarity", similarity, ("response", "clip")),
            ("positives", positives, ("text", "referent")),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be {' or '.join(allowed)}, not {value!r}")
        self.hipm = HierarchicalPrompt(
            hidden=hidden,
            prompts=prompts,
            residual=residual,
            alpha=alpha,
            beta=beta,
            output=output,
        )
        self.level: Level = level
        self.negatives: ehin_losses.NegativeRule = negatives
        self.similarity: Similarity = similarity
        self.terms = terms

    @staticmethod
    def needs_critic(terms: Sequence[str], similarity: str) -> bool:
        """Whether any of these terms asks the frozen CLIP."""
        return "eclm" in terms or (
            similarity == "clip" and not {"foreground", "background"}.isdisjoint(terms)
        )

    def asks_critic(self, terms: Sequence[str]) -> bool:
        return self.needs_critic(terms, self.similarity)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Every image meets every text of the batch, those of other processes included.

        Returns: the raw response of its own image to each text (B, 1, h, w) float32, and the
        unweighted losses named in `terms`, of the batch of all processes.

        Raises: ValueError if a term wants negatives of a batch without.
        """
        features = self.encode(batch.images)
        pixels, texts = to_pixels(features), self.place(self.encoder.sentence(batch.tokens))
        everyone = processes.gathered(texts)
        response = self.compare(*self.hipm(pixels, everyone[None], alone=False))

        def as_map(flat: Tensor) -> Tensor:
            return flat.unflatten(-1, features.shape[-2:])[:, None]

        own = as_map(self.of_own_image(response, batch))
        found: dict[str, Tensor] = {}
        if self.critic is not None and self.asks_critic(self.terms):
            found |= self._criticise(
                self.critic,
                own,
                lambda: as_map(self.compare(pixels[batch.owner], texts[:, None])[:, 0]),
                batch,
            )
        if set(self.terms) - found.keys():
            found |= self._classify(response, batch)
        return own, {term: found[term] for term in self.terms}

    def respond(self, features: Tensor, tokens: Tensor, owner: Tensor) -> Tensor:
        """Raw responses (N, 1, h, w) of `features[owner]` to the texts, each text on its own.

        Args: `features` (M, C, h, w) of `encode`; `tokens` (N, T); `owner` (N,) int64 in [0, M).
        """
        texts = self.place(self.encoder.sentence(tokens))
        mine, place = grouped(texts, owner, images=len(features))
        response = self.compare(*self.hipm(to_pixels(features), mine, alone=True))
        return response[owner, place].unflatten(-1, features.shape[-2:])[:, None]

    def _classify(self, response: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The terms of the response itself: which image a text is true of."""
        score, (own, positive, counted) = self.score(response, batch)
        found = {}
        if self.similarity == "response":
            found["foreground"] = ehin_losses.matched(score, positive)
            found["background"] = ehin_losses.unmatched(score, counted & ~positive)
        if "contrast" in self.terms:
            found["contrast"] = losses.contrast(score, own, positive, counted)
        return found

    def _criticise(
        self, critic: Critic, late: Tensor, early: Callable[[], Tensor], batch: Batch
    ) -> dict[str, Tensor]:
        """The terms of the frozen critic; an image is seen once through each map that is asked of.

        Args: the responses (B, 1, h, w) after HIPM, and a function for those before it.
        """
        judged = set(self.terms) - {"contrast"}
        if self.similarity == "response":
            judged = judged & {"eclm"}
        negatives = bool(judged & {"eclm", "background"})

        @functools.cache
        def seen(level: Level) -> Tensor:
            """(B, 1 + K) cosines, the own text first (Eq. 16)."""
            response = late if level == "late" else early()
            return self.judge(critic, response, batch, negatives=negatives)

        found = {}
        if "foreground" in judged:
            found["foreground"] = losses.foreground(seen("late")[:, 0], **self.clamp)
        if "background" in judged:
            found["background"] = losses.calibration(seen("late")[:, 1:], **self.clamp)
        if "eclm" in judged:
            found["eclm"] = ehin_losses.contrastive_alignment(
                seen(self.level), negatives=self.negatives, **self.clamp
            )
        return found
