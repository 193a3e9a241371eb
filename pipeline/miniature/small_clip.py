"""The miniature's own CLIP: captioned pictures in batches, the contrastive loss, a zero-shot probe.

Legend: B captioned pictures of a batch, N of the table, S side in pixels, D embedding.
Source: Radford et al., ICML 2021 (CLIP); several positives a caption as in Khosla et al., NeurIPS
2020 (supervised contrastive learning, positives outside of the logarithm).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from pipeline import processes
from pipeline.encoders import Encoder
from pipeline.miniature import phrases
from pipeline.miniature.scenes import ATTRIBUTES, VALUES
from pipeline.records import Batch
from pipeline.safety import InputError

MAX_LOGIT_SCALE = float(np.log(100))  # CLIP, section 2.5: keeps training stable


@dataclass(frozen=True)
class CaptionedPictures:
    """Pictures of one size in memory: images (N, S, S, 3) uint8, and a caption each."""

    images: NDArray[np.uint8]
    captions: tuple[str, ...]

    def split(self, held_out: int) -> tuple[CaptionedPictures, CaptionedPictures]:
        """All but the last `held_out`, and those."""
        cut = len(self.captions) - held_out
        if cut <= 0:
            raise InputError(f"captions: {len(self.captions)} are too few to hold out {held_out}")
        return (
            CaptionedPictures(self.images[:cut], self.captions[:cut]),
            CaptionedPictures(self.images[cut:], self.captions[cut:]),
        )


def read_captions(path: Path, kind: str) -> CaptionedPictures:
    """The pictures of one kind (`object` or `scene`) of a captions table, in its order.

    Raises:
        InputError: no such file, other columns, no picture of that kind, or sizes that differ.
    """
    try:
        table = pq.read_table(
            path, columns=["image", "caption"], filters=[("kind", "==", kind)]
        ).to_pydict()
        pictures = [_decode(content) for content in table["image"]]
        images = np.stack(pictures)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: no captioned {kind} pictures of one size ({error}); "
            "make it with `ris captions`"
        ) from error
    return CaptionedPictures(images, tuple(table["caption"]))


def _decode(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        return np.asarray(image.convert("RGB"))


@dataclass(frozen=True)
class Phase:
    """A stretch of the pretraining on one kind of picture."""

    kind: str
    steps: int
    batch_size: int


class CaptionBatches:
    """Batches for the training loop: one epoch, phase after phase.

    Batch n is a pure function of (seed, n). Within each pass over the pictures captions that share
    words are dealt out in groups, since a contrastive loss learns most from pictures that
    differ in one word, and those seldom meet by chance.

    Args:
        pictures: by kind.
        encoder: its `tokenize`, `mean` and `std` are used.
        group: pictures a group; 1 deals at random.
    """

    def __init__(
        self,
        pictures: dict[str, CaptionedPictures],
        phases: Sequence[Phase],
        *,
        encoder: Encoder,
        group: int,
        seed: int,
    ) -> None:
        self._phases = tuple(phases)
        for phase in self._phases:
            if len(pictures[phase.kind].captions) < phase.batch_size:
                raise InputError(
                    f"captions: {len(pictures[phase.kind].captions)} {phase.kind} pictures are "
                    f"fewer than one batch of {phase.batch_size}"
                )
        self._pictures = pictures
        self._group = group
        self._seed = seed
        self._mean = torch.tensor(encoder.mean).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(encoder.std).view(1, 3, 1, 1) * 255
        self._tokens = {k: encoder.tokenize(p.captions) for k, p in pictures.items()}
        codes = np.unique(
            np.concatenate([tokens.numpy() for tokens in self._tokens.values()]),
            axis=0,
            return_inverse=True,
        )[1].reshape(-1)
        ends = np.cumsum([len(tokens) for tokens in self._tokens.values()])[:-1]
        self._text_ids = dict(zip(self._tokens, np.split(codes, ends), strict=True))
        self._words = {k: _word_table(t.numpy()) for k, t in self._tokens.items()}
        self._pass: tuple[tuple[int, int], NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        """Batches in all phases together."""
        return sum(phase.steps for phase in self._phases)

    def stream(self, *, start: int, stop: int, rank: int, world: int) -> Iterator[Batch]:
        """Batches start .. stop-1 with uint8 images; process `rank` gets every world-th sample."""
        return (self.batch(number, rank, world) for number in range(start, stop))

    def prepare(self, batch: Batch) -> Batch:
        """The batch with float32 images, normalised for the encoder."""
        images = batch.images.float()
        images = images.sub_(self._mean.to(images.device)).div_(self._std.to(images.device))
        return Batch(**{**vars(batch), "images": images})

    def batch(self, number: int, rank: int, world: int) -> Batch:
        """Batch `number`; images (B, 3, S, S) uint8, channels-last in memory."""
        phase = 0
        step = number % len(self)
        while step >= self._phases[phase].steps:
            step -= self._phases[phase].steps
            phase += 1
        kind, size = self._phases[phase].kind, self._phases[phase].batch_size
        pictures = self._pictures[kind]
        epoch, place = divmod(step, len(pictures.captions) // size)
        chosen = self._order(phase, epoch)[place * size : (place + 1) * size][rank::world]
        rows = torch.from_numpy(chosen)
        return Batch(
            images=torch.from_numpy(pictures.images[chosen]).permute(0, 3, 1, 2),
            owner=torch.arange(len(chosen)),
            tokens=self._tokens[kind][rows],
            text_ids=torch.from_numpy(self._text_ids[kind][chosen]),
            image_ids=rows,
            ref_ids=rows,
            negatives=None,
            masks=None,
            seed=self._seed,
        )

    def _order(self, phase: int, epoch: int) -> NDArray[np.int64]:
        """The pictures of one pass, one batch after the other."""
        if self._pass is None or self._pass[0] != (phase, epoch):
            rng = np.random.default_rng([self._seed, phase, epoch])
            order = _grouped(self._words[self._phases[phase].kind], self._group, rng)
            self._pass = ((phase, epoch), order)
        return self._pass[1]


def _word_table(tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N, words) which tokens a caption has; tokens of more than a third of them tell nothing."""
    table = np.zeros((len(tokens), int(tokens.max()) + 1), dtype=bool)
    table[np.arange(len(tokens))[:, None], tokens] = True
    share = table.mean(axis=0)
    return table[:, (share > 0) & (share < 1 / 3)]


def _grouped(words: NDArray[np.bool_], group: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(N,) a random order in which neighbours, `group` at a time, share words.

    Captions are sorted as in a dictionary whose letters are the words, in a random order: those
    that have the first word come first, among them those that have the second, and so on.
    """
    shuffled = rng.permutation(len(words))
    if group == 1:
        return shuffled
    columns = rng.permutation(words.shape[1])
    keys = np.packbits(words[shuffled][:, columns], axis=1)
    order = shuffled[np.lexsort(keys.T[::-1])]
    groups = np.array_split(order, len(order) // group)
    return np.concatenate([groups[i] for i in rng.permutation(len(groups))])


class SmallClipPretraining(nn.Module):
    """CLIP's loss over a batch, and naming the words of a caption from its picture.

    Equal captions are all positives of each other's pictures. The second term trains the pictures
    as classification over the words of their captions (Huang et al., NeurIPS 2024, SuperClass),
    rare words counting more; it teaches a small CLIP what is seldom decisive in a batch (shapes),
    long before the contrast does. Its classifier is thrown away.
    """

    word_weights: Tensor

    def __init__(
        self, encoder: Encoder, logit_scale: Tensor, word_weights: Tensor, seed: int
    ) -> None:
        """`word_weights` (V,): of each token id, see `inverse_frequencies`."""
        super().__init__()
        self.encoder = encoder
        self.logit_scale = logit_scale
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.namer = nn.Linear(encoder.embed_dim, len(word_weights))
        self.register_buffer("word_weights", word_weights, persistent=False)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits (B, B), pictures by captions, and the losses `contrastive` and `words`.

        All are of the batch of all processes.
        """
        embedded = self.encoder.embed_images(batch.images).float()
        images = processes.gathered(functional.normalize(embedded, dim=-1))
        texts = processes.gathered(
            functional.normalize(self.encoder.sentence(batch.tokens).float(), dim=-1)
        )
        scale = self.logit_scale.float().clamp(max=MAX_LOGIT_SCALE).exp()
        with torch.autocast(images.device.type, enabled=False):
            logits = scale * images @ texts.t()
            named = self.namer(embedded)
        text_ids = processes.gathered(batch.text_ids)
        positive = (text_ids[:, None] == text_ids).float()
        target = positive / positive.sum(dim=1, keepdim=True)
        contrastive = functional.cross_entropy(logits, target) + functional.cross_entropy(
            logits.t(), target
        )
        said = torch.zeros_like(named).scatter_(1, batch.tokens, 1.0) * self.word_weights
        words = functional.cross_entropy(
            named, said / said.sum(dim=1, keepdim=True).clamp(min=1e-6)
        )
        words = processes.batch_mean(words, len(named))
        return logits, {"contrastive": contrastive / 2, "words": words}


def inverse_frequencies(tokens: Tensor, size: int) -> Tensor:
    """(size,) minus the logarithm of the share of captions (N, T) that have each token id.

    Zero for a token that none or all of them have (padding, start, end).
    """
    has = torch.zeros(len(tokens), size).scatter_(1, tokens, 1.0)
    share = has.mean(dim=0)
    return torch.where(share > 0, -share.clamp(min=1e-9).log(), torch.zeros(()))


def said_values(caption: str) -> dict[str, str]:
    """Attribute -> value that a caption of one object says, for those that it says."""
    return {
        _ATTRIBUTE_OF[value]: value
        for word in caption.split()
        if (value := _VALUE_OF.get(word)) is not None
    }


_ATTRIBUTE_OF = {value: attribute for attribute in ATTRIBUTES for value in VALUES[attribute]}
_VALUE_OF = {word: value for value, words in phrases.SYNONYMS.items() for word in words} | {
    tail.split()[-1]: value for value, tails in phrases.TEXTURE_TAILS.items() for tail in tails
}


@torch.no_grad()
def zero_shot(
    encoder: Encoder, pictures: CaptionedPictures, *, batch_size: int
) -> dict[str, float]:
    """Share of held-out objects whose attribute is found by prompts, for each attribute.

    A value's embedding is the mean over prompts that also name something else ("a red star"), so
    that no prompt is shorter than the captions were. Only pictures whose caption says the
    attribute count. Chance: one over the number of values.
    """
    was_training = encoder.training
    encoder.eval()
    device = next(encoder.parameters()).device
    mean, std = (
        torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (encoder.mean, encoder.std)
    )
    embedded = torch.cat(
        [
            encoder.embed_images(
                (torch.from_numpy(part).to(device).permute(0, 3, 1, 2).float() / 255 - mean) / std
            ).float()
            for part in np.array_split(pictures.images, -(-len(pictures.captions) // batch_size))
        ]
    )
    said = [said_values(caption) for caption in pictures.captions]
    found: dict[str, float] = {}
    for attribute in ATTRIBUTES:
        values = VALUES[attribute]
        others = VALUES["colour" if attribute == "shape" else "shape"]
        prompts = [
            f"a {other} {value}" if attribute == "shape" else f"a {value} {other}"
            for value in values
            for other in others
        ]
        texts = encoder.sentence(encoder.tokenize(prompts).to(device)).float()
        texts = functional.normalize(texts, dim=-1).view(len(values), len(others), -1).mean(dim=1)
        guess = (embedded @ functional.normalize(texts, dim=-1).t()).argmax(dim=1).tolist()
        right = [
            values[g] == s[attribute] for g, s in zip(guess, said, strict=True) if attribute in s
        ]
        found[attribute] = sum(right) / max(len(right), 1)
    encoder.train(was_training)
    return found
