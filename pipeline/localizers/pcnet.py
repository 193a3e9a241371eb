"""PCNet, Stage-1 (Yang et al.): a sentence understood cue by cue, its response map ever smaller.

Legend: B rows of a batch (a text and its image), M images, N texts, T tokens, K cues a text, S
stages, P proposals an image, C hidden channels, h x w the response map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from pipeline import losses, processes
from pipeline.layers import padded_rows, to_pixels
from pipeline.localizers import region_losses
from pipeline.localizers.base import SphereLocalizer, grouped
from pipeline.localizers.crm import (
    ConditionalReferring,
    Modulation,
    drawn,
    readable_cues,
    unit,
)
from pipeline.localizers.pairs import pairs_of
from pipeline.records import Batch

Told = Literal["cues", "text"]
Term = Literal["classification", "contrast", "shrinking", "disambiguation"]
TERMS: tuple[Term, ...] = ("classification", "contrast", "shrinking", "disambiguation")
REGION_TERMS: frozenset[str] = frozenset({"shrinking", "disambiguation"})


class PcnetLocalizer(SphereLocalizer):
    """Response maps after S conditional referring modules, each told one more cue of the text.

    `encode` is as in TRIS; `respond` takes cues as well. Inference needs no proposals, and a text
    then reads its own cue alone, for there are no texts of other images.

    Args, beside those of `SphereLocalizer` (there is no critic):
        stages: S, at most the K cues that a text has (paper: 3).
        modulation, visual: see `ConditionalReferring` (paper: `vta_tta`; the weight is TRIS's 0.1).
        told: what a stage is told. `cues`: stage n cue n (paper); `text`: every stage the text
            itself, to see what the cues are worth.
        negatives: L, how many cues of texts of other images a text reads beside its own while it is
            trained, or `all` of the batch (paper). With 0, training and inference agree.
        stage_weights: of the image-text losses of each stage, S or more (paper: equal).
        answer: the stage that `respond` answers with, or the `last`.
        ras_alignment, background, earlier: of `shrinking`, see `region_losses`.
        iad_alignment, form, scores, iad_temperature: of `disambiguation`, see `region_losses`.
        others: N_d, texts of other referents of the image that each text is told from, of those
            that the batch has (paper: 1).
        terms: the losses that `forward` computes: `classification` (TRIS's, at every stage),
            `contrast` (`losses.contrast`, at every stage; ours), `shrinking` (Eq. 7),
            `disambiguation` (Eq. 9, at every stage). None is needed to answer.
    """

    TERMS: ClassVar[tuple[Term, ...]] = TERMS

    def __init__(
        self,
        *,
        hidden: int,
        stages: int,
        modulation: Modulation,
        visual: float,
        told: Told,
        negatives: int | Literal["all"],
        stage_weights: Sequence[float],
        answer: int | Literal["last"],
        ras_alignment: region_losses.Alignment,
        background: region_losses.Background,
        earlier: region_losses.Earlier,
        iad_alignment: region_losses.Alignment,
        form: region_losses.Form,
        scores: region_losses.Scores,
        iad_temperature: float,
        others: int,
        terms: Sequence[Term],
        **shared: Any,
    ) -> None:
        super().__init__(hidden=hidden, **shared)
        if len(stage_weights) < stages:
            raise ValueError(f"stage_weights: {len(stage_weights)} of them for {stages} stages")
        if answer != "last" and answer >= stages:
            raise ValueError(f"answer must be last or below the {stages} stages, not {answer}")
        if "shrinking" in terms and stages < 2:
            raise ValueError("the term shrinking compares stages, and there is only one")
        self.stages = nn.ModuleList(
            ConditionalReferring(hidden=hidden, modulation=modulation, visual=visual)
            for _ in range(stages)
        )
        if told not in ("cues", "text"):
            raise ValueError(f"told must be cues or text, not {told!r}")
        self.told: Told = told
        self.negatives: int | Literal["all"] = negatives
        self.stage_weights = tuple(stage_weights[:stages])
        self.answer: int | Literal["last"] = answer
        self.ras_alignment: region_losses.Alignment = ras_alignment
        self.background: region_losses.Background = background
        self.earlier: region_losses.Earlier = earlier
        self.iad_alignment: region_losses.Alignment = iad_alignment
        self.form: region_losses.Form = form
        self.scores: region_losses.Scores = scores
        self.iad_temperature = iad_temperature
        self.others = others
        self.terms = terms

    def asks_critic(self, terms: Sequence[str]) -> bool:
        return False

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Every image meets every text of the batch, those of other processes included.

        Returns: the raw response of its own image to each text (B, 1, h, w) float32 of the last
        stage, and the unweighted losses named in `terms`, of the batch of all processes.

        Raises: ValueError for a batch without cues, or without proposals where a term needs them,
        or with proposals of another size than the response's.
        """
        if batch.cues is None:
            raise ValueError("PCNet needs a batch with cues")
        features = self.encode(batch.images)
        read = processes.gathered(self._read(batch.tokens, batch.cues))
        pixels, texts = to_pixels(features), read[None, :, 0]
        readable = self._readable(batch)
        responses, own = [], []
        for stage, module in enumerate(self.stages):
            pixels, texts = module(
                pixels, texts, read[None, :, stage + 1], readable=readable, alone=False
            )
            response = self.compare(unit(pixels), unit(texts))
            responses.append(response)
            own.append(self.of_own_image(response, batch).unflatten(-1, features.shape[-2:]))
        found: dict[str, Tensor] = {}
        if not {"classification", "contrast"}.isdisjoint(self.terms):
            found |= self._classify(responses, batch)
        if not REGION_TERMS.isdisjoint(self.terms):
            found |= self._compare_regions(torch.stack(own), batch)
        return own[-1][:, None], {term: found[term] for term in self.terms}

    def respond(self, features: Tensor, tokens: Tensor, owner: Tensor, cues: Tensor) -> Tensor:
        """Raw responses (N, 1, h, w) of `features[owner]` to the texts, each text on its own.

        Args: `features` (M, C, h, w) of `encode`; `tokens` (N, T); `owner` (N,) int64 in [0, M);
        `cues` (N, K, T) tokens, coarse to fine.
        """
        read = self._read(tokens, cues)
        mine, place = grouped(read.flatten(1), owner, images=len(features))
        mine = mine.unflatten(-1, read.shape[1:])
        pixels, texts = to_pixels(features), mine[:, :, 0]
        last = len(self.stages) - 1 if self.answer == "last" else self.answer
        for stage, module in enumerate(self.stages):
            if stage > last:
                break
            pixels, texts = module(pixels, texts, mine[:, :, stage + 1], readable=None, alone=True)
        response = self.compare(unit(pixels), unit(texts))[owner, place]
        return response.unflatten(-1, features.shape[-2:])[:, None]

    def _read(self, tokens: Tensor, cues: Tensor) -> Tensor:
        """Unit-length texts and their first S cues (B, 1 + S, C); equal phrases are read once."""
        if cues.shape[1] < len(self.stages):
            raise ValueError(f"{cues.shape[1]} cues a text are too few for {len(self.stages)}")
        cues = cues[:, : len(self.stages)]
        if self.told == "text":
            cues = tokens[:, None].expand_as(cues)
        phrases = torch.cat([tokens[:, None], cues], dim=1)
        different, place = phrases.flatten(0, 1).unique(dim=0, return_inverse=True)
        rows = torch.arange(padded_rows(len(different))).clamp(max=len(different) - 1)
        placed = self.place(self.encoder.sentence(different[rows.to(different.device)]))
        return placed[place].unflatten(0, phrases.shape[:2])

    def _readable(self, batch: Batch) -> Tensor | None:
        """Which cues each text of all processes reads; None: its own alone."""
        if self.negatives == 0:
            return None
        keys = torch.stack([batch.text_ids, batch.image_ids], dim=1)
        text_ids, image_ids = processes.gathered(keys).unbind(dim=1)
        seed = processes.gathered(keys.new_tensor([batch.seed]))[0]  # one for all processes
        return readable_cues(text_ids, image_ids, negatives=self.negatives, seed=int(seed))

    def _classify(self, responses: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """The terms that ask which image a text is true of: the stages' weighted mean."""
        own, positive, counted = pairs_of(batch, rule=self.positives, same_image=self.same_image)
        found: dict[str, Tensor] = {}
        for response, weight in zip(responses, self.stage_weights, strict=True):
            if not weight:
                continue
            score = processes.gathered(
                losses.focal_image_score(response, power=self.focal_power, floor=self.focal_floor)
            )
            stage = {}
            if "classification" in self.terms:
                stage["classification"] = losses.multi_label_soft_margin(score, positive, counted)
            if "contrast" in self.terms:
                stage["contrast"] = losses.contrast(score, own, positive, counted)
            for name, value in stage.items():
                found[name] = found.get(name, 0) + value * (weight / sum(self.stage_weights))
        return found

    def _compare_regions(self, responses: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The terms of the proposals, of the own responses (S, B, h, w) of all stages."""
        if batch.proposals is None:
            raise ValueError("a term of PCNet needs a batch with proposals")
        proposals = batch.proposals[batch.owner]
        if proposals.shape[-2:] != responses.shape[-2:]:
            raise ValueError(
                f"proposals of {tuple(proposals.shape[-2:])} cells for a response of "
                f"{tuple(responses.shape[-2:])}"
            )
        maps = region_losses.normalised(responses)
        real = region_losses.real_proposals(proposals)
        found = {}
        if "shrinking" in self.terms:
            found["shrinking"] = self._shrinking(maps, proposals, real)
        if "disambiguation" in self.terms:
            found["disambiguation"] = self._disambiguation(maps, proposals, real, batch)
        return found

    def _shrinking(self, maps: Tensor, proposals: Tensor, real: Tensor) -> Tensor:
        """The mean over the texts whose image has proposals; 0 if none has."""
        ambiguities = torch.stack(
            [
                region_losses.ambiguity(
                    stage, proposals, alignment=self.ras_alignment, background=self.background
                )
                for stage in maps
            ]
        )
        values = region_losses.shrinking(ambiguities, earlier=self.earlier)
        return _mean(values[real.any(dim=1)])

    def _disambiguation(
        self, maps: Tensor, proposals: Tensor, real: Tensor, batch: Batch
    ) -> Tensor:
        """The mean over stages and texts; texts without others in their image do not count."""
        rivals = (batch.image_ids[:, None] == batch.image_ids) & real.any(dim=1)
        for keys in (batch.ref_ids, batch.text_ids):
            rivals = rivals & (keys[:, None] != keys)
        rivals = drawn(rivals, self.others, seed=batch.seed)
        first, second = rivals.nonzero(as_tuple=True)
        share = rivals.float().sum(dim=1)[first].reciprocal()  # each text counts once
        values = []
        for stage in maps:
            scores = region_losses.alignment_scores(stage, proposals, alignment=self.iad_alignment)
            if self.form == "kl":
                y = region_losses.shares(scores, real, temperature=self.iad_temperature)
            else:
                y = region_losses.choices(
                    scores, real, kind=self.scores, temperature=self.iad_temperature
                )
            values.append(share * region_losses.disambiguation(y[first], y[second], form=self.form))
        texts = processes.summed(rivals.any(dim=1).sum().float())
        # also where this process has no pair: the others wait for its part of the backward pass
        return processes.gathered(torch.cat(values)).sum() / (len(maps) * texts).clamp(min=1)


def _mean(values: Tensor) -> Tensor:
    """The mean over the values (R,) of all processes; 0 if there is none."""
    values = processes.gathered(values)
    return values.sum() / max(len(values), 1)
