"""Batches of expressions: from the tables of a data set to what a network sees.

B expressions, T tokens, K negatives, H x W the training size. Batch number n is a pure function of
(seed, n), whatever was made before it, so a run that resumes at n goes on exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipeline.encoders import Encoder
from pipeline.records import Batch, Expression, ImageRecord
from pipeline.safety import InputError
from pipeline.training.augmentation import Augmentation
from pipeline.training.masks import MaskTable
from pipeline.training.negatives import Negatives
from pipeline.training.order import EpochOrder, ImageOrder, Sampling
from pipeline.training.phrases import Phrases
from pipeline.training.proposals import ProposalTable
from pipeline.training.samples import Samples
from pipeline.training.seeds import FORWARD, seed_of
from pipeline.training.source import ReadImage


class ExpressionBatches:
    """A `BatchSource` of expressions, with or without masks.

    Streamed images are uint8 (a quarter of the memory to move); `prepare` normalises them.

    Args:
        images: records of at least the images that the expressions name.
        read_image: the (H, W, 3) uint8 RGB pixels of a record. Caching is its business.
        encoder: its `tokenize`, `mean` and `std` are used, no weights.
        size: (H, W) in pixels of the batches.
        batch_size: expressions a batch, or images with `sampling: images`.
        sampling, distinct_referents: see `EpochOrder`; `images`: see `ImageOrder`.
        texts_per_image: of `sampling: images`.
        negatives: K; 0 gives batches without.
        masks: for a segmentor. None: the batches hold no masks and none can be read.
        cues: sent_id -> the cues of each expression, equally many of all; None: batches without.
        proposals: of the images; None: batches without.
        augment: any of `photometric` and `flip` (half of the samples whose sentence, cues and
            negatives survive a mirror, see `flips.mirrored`).
        photometric_strength: see `augmentation.photometric`.
        workers: processes that make batches; 0 makes them in this process.
        channels_last: memory format of the images.

    Raises:
        InputError: no expressions, several data sets, an unknown image, a lacking mask, negative or
            cue, or no proposals at all.
    """

    def __init__(
        self,
        expressions: Sequence[Expression],
        images: Iterable[ImageRecord],
        *,
        read_image: ReadImage,
        encoder: Encoder,
        size: tuple[int, int],
        batch_size: int,
        sampling: Sampling,
        texts_per_image: int,
        distinct_referents: bool,
        negatives: int,
        masks: MaskTable | None,
        augment: Sequence[Augmentation],
        photometric_strength: float,
        workers: int,
        channels_last: bool,
        seed: int,
        cues: Mapping[int, Sequence[str]] | None = None,
        proposals: ProposalTable | None = None,
    ) -> None:
        self._expressions = _in_order(expressions)
        records = {record.image_id: record for record in images}
        _check_images(self._expressions, records)
        if masks is not None:
            masks.check(self._expressions)
        if proposals is not None:
            proposals.check({e.image_id for e in self._expressions})
        self._workers = workers
        self._channels_last = channels_last
        self._seed = seed
        # Laid out as the pixels are: three numbers to each pixel would cost four times the time.
        mean, std = (
            (torch.tensor(values) * 255).expand(*size, 3).contiguous().permute(2, 0, 1)
            for values in (encoder.mean, encoder.std)
        )
        self._normalisation = {torch.device("cpu"): (mean, 1 / std)}

        self._image_ids = np.array([e.image_id for e in self._expressions])
        self._ref_ids = np.array([e.ref_id for e in self._expressions])
        self._phrases = Phrases(
            self._expressions, cues=cues, flips="flip" in augment, tokenize=encoder.tokenize
        )
        self._text_ids = self._phrases.ids[:, 0]
        self._shared = sampling == "images"
        self._order: EpochOrder | ImageOrder
        if sampling == "images":
            self._order = ImageOrder(
                self._image_ids,
                referents=self._ref_ids if distinct_referents else None,
                batch_size=batch_size,
                texts=texts_per_image,
                seed=seed,
            )
        else:
            self._order = EpochOrder(
                self._ref_ids,
                batch_size=batch_size,
                sampling=sampling,
                distinct_referents=distinct_referents,
                seed=seed,
            )
        drawn = None
        if negatives:
            drawn = Negatives(
                images=self._image_ids,
                referents=self._ref_ids,
                texts=self._text_ids,
                sentences=np.array([e.sent_id for e in self._expressions]),
                count=negatives,
                seed=seed,
            )
        self._samples = Samples(
            self._expressions,
            records,
            read_image=read_image,
            size=size,
            phrases=self._phrases,
            masks=masks,
            proposals=proposals,
            negatives=drawn,
            photometric_strength=photometric_strength if "photometric" in augment else None,
            seed=seed,
        )
        self._epoch: tuple[int, list[NDArray[np.int64]]] = (-1, [])

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._order)

    def stream(self, *, start: int, stop: int, rank: int, world: int) -> Iterator[Batch]:
        """Batches start .. stop-1 with uint8 images; process `rank` gets every world-th sample."""
        if not self._workers:
            return (self.batch(number, rank, world) for number in range(start, stop))
        loader = DataLoader(
            _Numbered(self, rank, world),
            sampler=range(start, stop),
            batch_size=None,
            num_workers=self._workers,
            collate_fn=_as_it_is,
        )
        return iter(loader)

    def prepare(self, batch: Batch) -> Batch:
        """The batch with float32 images, normalised for the encoder in one pass on their device."""
        device = batch.images.device
        if device not in self._normalisation:
            mean, scale = self._normalisation[torch.device("cpu")]
            self._normalisation[device] = mean.to(device), scale.to(device)
        mean, scale = self._normalisation[device]
        images = batch.images.float().sub_(mean).mul_(scale)
        if not self._channels_last:
            images = images.contiguous()
        return Batch(**{**vars(batch), "images": images})

    def batch(self, number: int, rank: int, world: int) -> Batch:
        """Batch `number`, counted through all epochs, with uint8 images."""
        epoch, place = divmod(number, len(self))
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._order.epoch(epoch))
        groups = self._groups(self._epoch[1][place])[rank::world]
        if not groups:
            raise InputError(
                f"training: batch {place} has fewer samples than the {world} processes; "
                "use a larger batch_size or fewer devices"
            )
        shown = [self._samples.of_image(group, epoch) for group in groups]
        samples = np.concatenate(groups)
        phrase_ids = np.concatenate([part.phrase_ids for part in shown])
        text_ids = phrase_ids[:, 0]
        owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        return Batch(
            # (M, H, W, 3) in memory is (M, 3, H, W) channels-last
            images=torch.stack([part.image for part in shown]).permute(0, 3, 1, 2),
            owner=torch.from_numpy(owner),
            tokens=self._phrases.tokens(text_ids),
            text_ids=torch.from_numpy(text_ids),
            image_ids=torch.from_numpy(self._image_ids[samples]),
            ref_ids=torch.from_numpy(self._ref_ids[samples]),
            negatives=None
            if self._samples.negatives is None
            else self._phrases.tokens(np.concatenate([part.negative_ids for part in shown])),
            masks=_joined(torch.cat, [part.masks for part in shown]),
            seed=seed_of(FORWARD, self._seed, number, rank),
            cues=self._phrases.tokens(phrase_ids[:, 1:]) if self._phrases.has_cues else None,
            proposals=_joined(torch.stack, [part.proposals for part in shown]),
        )

    def _groups(self, samples: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The samples that share a picture: those of one image, or each alone."""
        if not self._shared:
            return list(samples[:, None])
        ends = np.flatnonzero(np.diff(self._image_ids[samples])) + 1
        return np.split(samples, ends)


class _Numbered(Dataset[Batch]):
    """The batches of a source by number, for worker processes."""

    def __init__(self, source: ExpressionBatches, rank: int, world: int) -> None:
        self._source, self._rank, self._world = source, rank, world

    def __getitem__(self, number: int) -> Batch:
        return self._source.batch(number, self._rank, self._world)


def _as_it_is(batch: Any) -> Any:
    return batch


def _joined(join: Callable[[list[Tensor]], Tensor], parts: list[Tensor | None]) -> Tensor | None:
    """The parts of all pictures as one tensor; None where the pictures have none."""
    there = [part for part in parts if part is not None]
    return join(there) if there else None


def _in_order(expressions: Sequence[Expression]) -> list[Expression]:
    """By key: the order of the rows of a table must not matter."""
    if not expressions:
        raise InputError("training: there are no expressions; check the split and its tables")
    datasets = sorted({e.dataset for e in expressions})
    if len(datasets) > 1:
        raise InputError(f"training: ids of different data sets would mix: {', '.join(datasets)}")
    ordered = sorted(expressions, key=lambda e: e.sent_id)
    for before, after in pairwise(ordered):
        if before.sent_id == after.sent_id:
            raise InputError(
                f"expressions: sent_id {after.sent_id} twice; it must name one of them"
            )
    return ordered


def _check_images(expressions: Iterable[Expression], images: dict[int, ImageRecord]) -> None:
    unknown = {e.image_id for e in expressions} - set(images)
    if unknown:
        raise InputError(
            f"images: {len(unknown)} images that expressions name have no record, the first is "
            f"image_id {min(unknown)}; make the tables of the data set again"
        )
