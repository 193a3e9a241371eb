"""EHIN, Stage-1 (Li et al.): TRIS with a hierarchy of prompts (HIPM), and with a contrast of masked
images (ECLM) that looks before the hierarchy or after it.

Legend: B rows of a batch (a text and its image), M images, N texts, T tokens, K negatives, C hidden
channels, h x w the response map, P = h * w.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline import losses
from pipeline.encoders.face import Encoder
from pipeline.layers import to_pixels
from pipeline.localizers import ehin_losses
from pipeline.localizers.critic import Critic
from pipeline.localizers.hipm import HierarchicalPrompt, Output, Residual
from pipeline.localizers.projection import VisualProjection
from pipeline.records import Batch

Projection = Literal["random", "clip"]
Level = Literal["early", "late"]
Similarity = Literal["response", "clip"]
Term = Literal["foreground", "eclm", "background", "contrast"]
TERMS: tuple[Term, ...] = ("foreground", "eclm", "background", "contrast")


class EhinLocalizer(nn.Module):
    """Response maps from inner products of pixels and sentences after HIPM (Eq. 1-3).

    Where the paper leaves a choice it is an argument. What is not said here is as in TRIS, whose
    `encode` and `respond` this answers as well; inference needs neither critic nor negatives.

    Args:
        encoder: fine-tuned with everything else, a ResNet or a vision transformer.
        critic: frozen CLIP, E_v and E_l of Eq. 16; None if no term needs it, see `needs_critic`.
            It is not part of the state dict.
        hidden: C (paper: 1024).
        prompts, residual, alpha, beta, output: see `HierarchicalPrompt`. HIPM is off, one bilateral
            prompt left, with 1 prompt and residual `none`.
        temperature: the logits start at cosine / temperature; its log is learned. The paper's Eq. 3
            has no temperature; ours is TRIS's.
        levels, coordinates: see `VisualProjection` (paper: the last level, no coordinates).
        projection: how pixels and texts start out, `random` (paper) or `clip`, as in TRIS.
        positives, same_image: the pairs of the response's losses, see `losses.positives`. Not
            `identity`: equal texts are never negatives of each other.
        focal_power, focal_floor: p and c of the focal penalty of Eq. 14.
        cosine_floor, cosine_ceiling: clamp of the critic's cosines.
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
            May be changed between steps.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        critic: Encoder | None,
        hidden: int,
        prompts: int,
        residual: Residual,
        alpha: float,
        beta: float,
        output: Output,
        temperature: float,
        levels: Sequence[int],
        coordinates: bool,
        projection: Projection,
        positives: losses.PositiveRule,
        same_image: losses.SameImageRule,
        focal_power: float,
        focal_floor: float,
        cosine_floor: float,
        cosine_ceiling: float,
        level: Level,
        negatives: ehin_losses.NegativeRule,
        similarity: Similarity,
        terms: Sequence[Term],
    ) -> None:
        super().__init__()
        for name, value, allowed in (
            ("level", level, ("early", "late")),
            ("similarity", similarity, ("response", "clip")),
            ("positives", positives, ("text", "referent")),
            ("projection", projection, ("random", "clip")),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be {' or '.join(allowed)}, not {value!r}")
        self.encoder = encoder
        self.critic = None if critic is None else Critic(critic, mean=encoder.mean, std=encoder.std)
        self.visual = VisualProjection(
            channels=encoder.channels, levels=levels, hidden=hidden, coordinates=coordinates
        )
        self.text = nn.Linear(encoder.embed_dim, hidden)
        self.hipm = HierarchicalPrompt(
            hidden=hidden,
            prompts=prompts,
            residual=residual,
            alpha=alpha,
            beta=beta,
            output=output,
        )
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        if projection == "clip":
            self._start_as_clip()
        self.positives = positives
        self.same_image: losses.SameImageRule = same_image
        self.focal_power = focal_power
        self.focal_floor = focal_floor
        self.cosine_floor = cosine_floor
        self.cosine_ceiling = cosine_ceiling
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

    @property
    def terms(self) -> tuple[Term, ...]:
        """The losses that `forward` computes, in order."""
        return self._terms

    @terms.setter
    def terms(self, terms: Sequence[Term]) -> None:
        if set(terms) - set(TERMS):
            raise ValueError(f"terms must be some of {TERMS}, not {tuple(terms)}")
        if self.critic is None and self.needs_critic(terms, self.similarity):
            raise ValueError(f"a critic is needed for {tuple(terms)}, similarity {self.similarity}")
        self._terms = tuple(terms)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Every image meets every text of the batch.

        Returns: the raw response of its own image to each text (B, 1, h, w) float32, and the
        unweighted losses named in `terms`.

        Raises: ValueError if a term wants negatives of a batch without.
        """
        features = self.encode(batch.images)
        pixels, texts = to_pixels(features), self._read(batch.tokens)
        response = self._compare(*self.hipm(pixels, texts[None], alone=False))
        rows = torch.arange(len(batch.owner), device=response.device)

        def as_map(flat: Tensor) -> Tensor:
            return flat.unflatten(-1, features.shape[-2:])[:, None]

        own = as_map(response[batch.owner, rows])
        found: dict[str, Tensor] = {}
        if self.critic is not None and self.needs_critic(self.terms, self.similarity):
            found |= self._criticise(
                self.critic,
                own,
                lambda: as_map(self._compare(pixels[batch.owner], texts[:, None])[:, 0]),
                batch,
            )
        if set(self.terms) - found.keys():
            found |= self._classify(response, batch)
        return own, {term: found[term] for term in self.terms}

    def encode(self, images: Tensor) -> Tensor:
        """Unit-length pixel features (M, C, h, w) of images (M, 3, H, W), shared by their texts."""
        return self.visual(self.encoder.pyramid(images))

    def respond(self, features: Tensor, tokens: Tensor, owner: Tensor) -> Tensor:
        """Raw responses (N, 1, h, w) of `features[owner]` to the texts, each text on its own.

        Args: `features` (M, C, h, w) of `encode`; `tokens` (N, T); `owner` (N,) int64 in [0, M).
        """
        texts = self._read(tokens)
        # (M, most texts of an image, C): nothing of an image is computed twice, see HIPM's `alone`
        mine = owner[:, None] == torch.arange(len(features), device=owner.device)
        place = mine.cumsum(dim=0)[torch.arange(len(owner), device=owner.device), owner] - 1
        grouped = texts.new_zeros(len(features), int(mine.sum(dim=0).max()), texts.shape[-1])
        grouped[owner, place] = texts
        response = self._compare(*self.hipm(to_pixels(features), grouped, alone=True))
        return response[owner, place].unflatten(-1, features.shape[-2:])[:, None]

    def _read(self, tokens: Tensor) -> Tensor:
        """Unit-length sentences (N, C) float32 of (N, T) tokens."""
        return functional.normalize(self.text(self.encoder.sentence(tokens)).float(), dim=-1)

    def _compare(self, pixels: Tensor, texts: Tensor) -> Tensor:
        """Responses (I, N, P) float32 of pixels (I, P, C) to texts (I or 1, N, C) (Eq. 3)."""
        # bfloat16 would tie neighbouring pixels, and a peak is one pixel
        with torch.autocast(pixels.device.type, enabled=False):
            return self.log_scale.exp() * (texts @ pixels.transpose(-1, -2))

    def _classify(self, response: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The terms of the response itself: which image a text is true of."""
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
        if self.similarity == "response":
            found["foreground"] = ehin_losses.matched(score, positive)
            found["background"] = ehin_losses.unmatched(score, counted & ~positive)
        if "contrast" in self.terms:
            own = losses.own_pairs(batch.owner, len(batch.images))
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
        tokens = batch.tokens[:, None]
        if judged & {"eclm", "background"}:
            if batch.negatives is None:
                raise ValueError("eclm, and background by clip, need a batch with negatives")
            tokens = torch.cat([tokens, batch.negatives], dim=1)

        @functools.cache
        def seen(level: Level) -> Tensor:
            """(B, 1 + K) cosines, the own text first (Eq. 16)."""
            response = late if level == "late" else early()
            return critic.similarity(batch.images[batch.owner], response, tokens)

        clamp = {"floor": self.cosine_floor, "ceiling": self.cosine_ceiling}
        found = {}
        if "foreground" in judged:
            found["foreground"] = losses.foreground(seen("late")[:, 0], **clamp)
        if "background" in judged:
            found["background"] = losses.calibration(seen("late")[:, 1:], **clamp)
        if "eclm" in judged:
            found["eclm"] = ehin_losses.contrastive_alignment(
                seen(self.level), negatives=self.negatives, **clamp
            )
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

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Take the critic along to a device or a precision; nothing else would."""
        if self.critic is not None:
            self.critic.apply_to_tensors(fn)
        return super()._apply(fn, recurse)
