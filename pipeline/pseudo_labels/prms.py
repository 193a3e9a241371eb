"""PRMS: one map for all sentences of a referent (TRIS, Liu et al., ICCV 2023).

Of the maps of a referent's sentences it keeps the one whose masked image a frozen CLIP finds
closest to all its sentences together.

Legend: M maps and S sentences of a referent, Q maps of a chunk of images, D embedding width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.encoders.face import Encoder
from pipeline.pseudo_labels.refiner import Pixels, Refiner, States
from pipeline.pseudo_labels.state import Maps, Masks, ReferentState, divided_by_maximum
from pipeline.safety import InputError


class Prms(Refiner):
    """New evidence (1, H, W) a referent, shared by its sentences; takes an old mask away."""

    def __init__(
        self,
        *,
        combine: Literal["best", "mean"],
        critic: Encoder | None,
        batch_size: int,
        device: str,
    ) -> None:
        """
        Args:
            combine: ``best`` is PRMS; ``mean`` averages the maps and needs no critic.
            critic: a frozen CLIP, in evaluation mode, on ``device``.
            batch_size: masked images, or sentences, that the critic sees at once.
            device: where the critic is.

        Raises:
            InputError: ``best`` without a critic.
        """
        if combine == "best" and critic is None:
            raise InputError("prms.combine: best needs a critic; name one or use mean")
        self.combine = combine
        self.critic = critic
        self.batch_size = batch_size
        self.device = device

    def refine(self, image: Pixels, referents: States, proposals: Masks) -> States:
        return self.refine_batch([image], [referents], [proposals])[0]

    def refine_batch(
        self, images: Sequence[Pixels], referents: Sequence[States], proposals: Sequence[Masks]
    ) -> list[States]:
        if self.combine == "mean" or self.critic is None:
            return [[_averaged(state) for state in of_image] for of_image in referents]
        places = iter(self._best_places(self.critic, images, referents))
        return [
            [_kept(state, next(places) if len(state.soft) > 1 else 0) for state in of_image]
            for of_image in referents
        ]

    @torch.no_grad()
    def _best_places(
        self, critic: Encoder, images: Sequence[Pixels], referents: Sequence[States]
    ) -> list[int]:
        """Place of the best map of each referent that has several, in the order given."""
        judged = [state for of_image in referents for state in of_image if len(state.soft) > 1]
        if not judged:
            return []
        seen = self._embed_masked(critic, images, referents)
        texts = list(dict.fromkeys(text for state in judged for text in state.texts))
        read = self._embed_texts(critic, texts)
        row = {text: i for i, text in enumerate(texts)}
        per_state = torch.split(seen, [len(state.soft) for state in judged])
        return [
            int((maps @ read[[row[text] for text in state.texts]].T).sum(dim=1).argmax())
            for maps, state in zip(per_state, judged, strict=True)
        ]

    def _embed_texts(self, critic: Encoder, texts: list[str]) -> Tensor:
        """(len(texts), D) unit embeddings."""
        embedded = [
            critic.sentence(critic.tokenize(texts[i : i + self.batch_size]).to(self.device))
            for i in range(0, len(texts), self.batch_size)
        ]
        return functional.normalize(torch.cat(embedded), dim=1)

    def _embed_masked(
        self, critic: Encoder, images: Sequence[Pixels], referents: Sequence[States]
    ) -> Tensor:
        """(Q, D) unit embeddings of the images behind the maps of referents that have several."""
        embedded: list[Tensor] = []
        waiting: list[Tensor] = []
        for image, of_image in zip(images, referents, strict=True):
            maps = [state.soft for state in of_image if len(state.soft) > 1]
            if maps:
                waiting.extend(self._masked(critic, image, np.concatenate(maps)))
            while len(waiting) >= self.batch_size:
                embedded.append(critic.embed_images(torch.stack(waiting[: self.batch_size])))
                del waiting[: self.batch_size]
        if waiting:
            embedded.append(critic.embed_images(torch.stack(waiting)))
        return functional.normalize(torch.cat(embedded), dim=1)

    def _masked(self, critic: Encoder, image: Pixels, maps: Maps) -> Tensor:
        """The image behind each of the maps, (len(maps), 3, side, side), normalised.

        What a map hides becomes the mean colour, which is zero after normalisation.
        """
        mean = torch.tensor(critic.mean, device=self.device)[:, None, None]
        std = torch.tensor(critic.std, device=self.device)[:, None, None]
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
        covers = torch.from_numpy(maps)[:, None]
        side = critic.image_size
        picture = (_resized(pixels, side).to(self.device) - mean) / std
        return picture * _resized(covers, side).to(self.device)


def _averaged(state: ReferentState) -> ReferentState:
    mean = state.soft.mean(axis=0, keepdims=True)
    return state.after("prms:mean", soft=divided_by_maximum(mean))


def _kept(state: ReferentState, place: int) -> ReferentState:
    """The state with the map at this place; a single map of several sentences is shared already."""
    own = len(state.soft) == len(state.sent_ids)
    step = f"prms:{state.sent_ids[place]}" if own else "prms"
    return state.after(step, soft=state.soft[place : place + 1])


def _resized(pictures: Tensor, side: int) -> Tensor:
    """(B, C, H, W) -> (B, C, side, side), without aliasing where it shrinks."""
    if pictures.shape[-2:] == (side, side):
        return pictures
    return functional.interpolate(
        pictures, size=(side, side), mode="bilinear", align_corners=False, antialias=True
    )
