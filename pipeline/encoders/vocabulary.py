"""A byte-pair vocabulary cut down to the merges that a set of texts uses.

CLIP's 49,408 words are most of a small model. A tokenizer with fewer merges is still the same
byte-pair tokenizer: a text that was counted is split exactly as by the full one (each of its merges
is kept, and their order with them), and any other text falls apart into smaller pieces, in the end
into the 256 bytes with and without end-of-word mark. So nothing is ever unknown. Start and end of
text stay the two largest ids, as CLIP's argmax pooling needs.
"""

from __future__ import annotations

import gzip
import io
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from pipeline.safety import InputError

logger = logging.getLogger(__name__)

LONGEST_TOKEN = 64  # characters; no merge of CLIP's is longer, so more text than this is never kept
FIRST_MERGE = 2 * 256  # the ids before it are the bytes, without and with end-of-word mark


class BytePairTokenizer(Protocol):
    """What is used of open_clip's SimpleTokenizer."""

    decoder: dict[int, str]
    bpe_ranks: dict[tuple[str, str], int]
    sot_token_id: int
    eot_token_id: int
    vocab_size: int

    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: Any) -> str: ...


Merges = tuple[tuple[str, str], ...]


def used_merges(texts: Iterable[str], tokenizer: BytePairTokenizer) -> Merges:
    """The merges that lead to the tokens of `texts`, those in between included, in rank order."""
    made_by = {first + second: (first, second) for first, second in tokenizer.bpe_ranks}
    waiting = {tokenizer.decoder[token] for text in set(texts) for token in tokenizer.encode(text)}
    used: set[tuple[str, str]] = set()
    while waiting:
        merge = made_by.get(waiting.pop())
        if merge is not None and merge not in used:
            used.add(merge)
            waiting.update(merge)
    return tuple(sorted(used, key=tokenizer.bpe_ranks.__getitem__))


def packed_merges(merges: Merges) -> io.BytesIO:
    """The gzipped text that open_clip's SimpleTokenizer reads; it ignores the first line."""
    lines = ["#", *(" ".join(merge) for merge in merges)]
    return io.BytesIO(gzip.compress("\n".join(lines).encode("utf-8"), mtime=0))


class Vocabulary:
    """Texts to token ids and back.

    Attributes:
        size: number of ids; `start` and `end` are the two largest.
        shortened: how many texts were longer than their context so far.
    """

    def __init__(self, tokenizer: BytePairTokenizer) -> None:
        self._tokenizer = tokenizer
        self.size = tokenizer.vocab_size
        self.start = tokenizer.sot_token_id
        self.end = tokenizer.eot_token_id
        self.shortened = 0

    @property
    def merges(self) -> Merges:
        """In rank order; with them alone the vocabulary can be built again."""
        ranks = self._tokenizer.bpe_ranks
        return tuple(sorted(ranks, key=ranks.__getitem__))

    def encode(self, texts: Sequence[str], context: int) -> Tensor:
        """(N, context) int64: start, tokens, end, then zeros.

        A longer text keeps its first tokens and the end token, and is counted in `shortened`; the
        first one is also logged.

        Raises:
            InputError: a text has nothing to read (empty, or only spaces and control characters).
        """
        rows = torch.zeros(len(texts), context, dtype=torch.int64)
        for row, text in zip(rows, texts, strict=True):
            tokens = self._ids(text, context)
            row[: len(tokens)] = torch.tensor(tokens)
        return rows

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of one row of tokens, without start, end and what follows the end."""
        kept: list[int] = []
        for token in tokens:
            if token == self.end:
                break
            if token != self.start:
                kept.append(int(token))
        return self._tokenizer.decode(kept).strip()

    def _ids(self, text: str, context: int) -> list[int]:
        # Byte-pair merging is quadratic in a word's length: a stranger's text is cut first.
        cut = " ".join(text.split())[: LONGEST_TOKEN * context]
        # The names of start and end inside a text would end it early; they are not words.
        ids = [token for token in self._tokenizer.encode(cut) if token < self.start]
        if not ids:
            raise InputError(f"expression {text[:40]!r} has no words; give a phrase to look for")
        if len(ids) > context - 2:
            self.shortened += 1
            if self.shortened == 1:
                logger.warning(
                    "text of %d tokens cut to %d (more may follow, silently): %.60s",
                    len(ids) + 2,
                    context,
                    cut,
                )
        return [self.start, *ids[: context - 2], self.end]


def write_merges(path: Path, merges: Merges) -> None:
    """Write a vocabulary as JSON; `read_merges` reads it back equal."""
    content = {"kind": "byte_pair_merges", "merges": [list(merge) for merge in merges]}
    path.write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


def read_merges(path: Path) -> Merges:
    """The merges of a vocabulary file.

    Raises:
        InputError: the file is missing, or not what `write_merges` writes.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as a vocabulary ({error}); make it again"
        ) from None
    merges = content.get("merges") if isinstance(content, dict) else None
    if not isinstance(merges, list) or not all(_is_merge(merge) for merge in merges):
        raise InputError(f"{path}: 'merges' must be a list of pairs of strings; make it again")
    return tuple((first, second) for first, second in merges)


def _is_merge(merge: object) -> bool:
    return (
        isinstance(merge, list)
        and len(merge) == 2
        and all(isinstance(part, str) and part and not part.isspace() for part in merge)
    )
