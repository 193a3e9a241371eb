"""What the small LLM learns from: expressions of other scenes with their right decompositions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.miniature.attributes import COMMON_PAIRS
from pipeline.miniature.examples import DECOMPOSITION_STREAM, generator
from pipeline.miniature.language import referents
from pipeline.miniature.scenes import SceneSettings, sample_scene, silhouettes, visible_parts
from pipeline.safety import InputError


@dataclass(frozen=True, slots=True)
class Decomposition:
    """An expression, as people type it (``raw``) and cleaned, with its right phrases."""

    raw: str
    sentence: str
    cues: tuple[str, ...]


def decompositions(settings: SceneSettings, *, seed: int, scenes: int) -> list[Decomposition]:
    """Those of ``scenes`` scenes of a stream of their own, each sentence once.

    The compositions held out of training are held out here too, so that testB stays new to every
    model.
    """
    found: dict[str, Decomposition] = {}
    for index in range(scenes):
        words = (seed, DECOMPOSITION_STREAM, index)
        scene = sample_scene(generator(*words, 0), settings, allowed=COMMON_PAIRS)
        visible = visible_parts(silhouettes(scene))
        for referent in referents(scene, visible, generator(*words, 1)):
            for said in referent.sentences:
                found.setdefault(said.sent, Decomposition(said.raw, said.sent, said.cues))
    return list(found.values())


@dataclass
class AnswerBatch:
    """What the small LLM sees: ids (B, T) int64 after the prefix, and which are to be predicted
    (B, T) bool; padding is not."""

    tokens: Tensor
    wanted: Tensor

    def __len__(self) -> int:
        """B."""
        return len(self.tokens)

    def to(self, device: torch.device | str) -> AnswerBatch:
        """The same batch on ``device``."""
        return AnswerBatch(self.tokens.to(device), self.wanted.to(device))


class AnswerBatches:
    """Batches for the training loop, one epoch: questions and answers of like length together.

    Batch n is a pure function of (seed, n).

    Args:
        questions, answers: ids of what follows the prefix, and of the answer with its end sign.
        steps: batches in all, of as many passes over the texts as it takes.
    """

    def __init__(
        self,
        questions: Sequence[Sequence[int]],
        answers: Sequence[Sequence[int]],
        *,
        steps: int,
        batch_size: int,
        seed: int,
    ) -> None:
        if len(questions) < batch_size:
            raise InputError(
                f"small_llm: {len(questions)} expressions are fewer than one batch of "
                f"{batch_size}; draw more scenes"
            )
        pairs = list(zip(questions, answers, strict=True))
        self._lengths = np.array([len(question) + len(answer) for question, answer in pairs])
        self._tokens = np.zeros((len(pairs), int(self._lengths.max())), dtype=np.int64)
        self._wanted = np.zeros(self._tokens.shape, dtype=bool)
        for row, (question, answer) in enumerate(pairs):
            self._tokens[row, : self._lengths[row]] = [*question, *answer]
            self._wanted[row, len(question) : self._lengths[row]] = True
        self._steps = steps
        self._batch_size = batch_size
        self._batches = len(pairs) // batch_size  # of a pass
        self._seed = seed
        self._pass: tuple[int, list[NDArray[np.int64]]] | None = None

    def __len__(self) -> int:
        """Batches in all."""
        return self._steps

    def stream(self, *, start: int, stop: int, rank: int, world: int) -> Iterator[AnswerBatch]:
        """Batches start .. stop-1; process `rank` gets every world-th text of each."""
        return (self.batch(number, rank, world) for number in range(start, stop))

    def prepare(self, batch: AnswerBatch) -> AnswerBatch:
        """The batch as it is."""
        return batch

    def batch(self, number: int, rank: int, world: int) -> AnswerBatch:
        """Batch `number`, from 0."""
        turn, place = divmod(number, self._batches)
        if self._pass is None or self._pass[0] != turn:
            self._pass = (turn, self._order(turn))
        rows = self._pass[1][place][rank::world]
        length = int(self._lengths[rows].max())
        return AnswerBatch(
            torch.from_numpy(self._tokens[rows, :length]),
            torch.from_numpy(self._wanted[rows, :length]),
        )

    def _order(self, turn: int) -> list[NDArray[np.int64]]:
        """The texts of one pass, batch after batch."""
        rng = np.random.default_rng([self._seed, turn])
        shuffled = rng.permutation(len(self._lengths))[: self._batches * self._batch_size]
        by_length = shuffled[np.argsort(self._lengths[shuffled], kind="stable")]
        batches = by_length.reshape(self._batches, self._batch_size)
        return [batches[place] for place in rng.permutation(self._batches)]
