"""The small LLM's tokenizer: byte-pair pieces with bytes to fall back to, as llama.cpp reads them.

It is llama.cpp's "llama" kind (SentencePiece's BPE): a space is the sign "▁", a text begins with
one, and of all neighbours the pair is joined first whose whole has the highest score. Pieces never
reach over a space or mix letters with signs, so that each word is encoded by itself, and ``",``
is the same piece after every word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

UNKNOWN, START, END = 0, 1, 2
SPECIALS = ("<unk>", "<s>", "</s>")
SPACE = "\u2581"
_FIRST_BYTE = len(SPECIALS)
_FIRST_PIECE = _FIRST_BYTE + 256
_PARTS = re.compile(f"{SPACE}?[^{SPACE}]*")


class Tokenizer:
    """Text to ids and back. The ids: three specials, 256 bytes, then the pieces.

    Args:
        pieces: single characters and joined ones; of two, the earlier is joined first.
    """

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = tuple(pieces)
        self._ids = {piece: _FIRST_PIECE + place for place, piece in enumerate(self.pieces)}
        self._encode_part = lru_cache(maxsize=1 << 16)(self._part)

    @property
    def size(self) -> int:
        """V."""
        return _FIRST_PIECE + len(self.pieces)

    def tokens(self) -> list[str]:
        """The written form of every id; bytes as ``<0x0A>``."""
        return [*SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256)), *self.pieces]

    def encode(self, text: str, *, starts: bool) -> list[int]:
        """The ids of a text; with ``starts`` as that of a whole prompt (start sign, first space),
        else as it goes on after one."""
        marked = text.replace(" ", SPACE)
        if starts:
            marked = SPACE + marked
        found = [START] if starts else []
        for part in _PARTS.findall(marked):
            found.extend(self._encode_part(part))
        return found

    def _part(self, part: str) -> tuple[int, ...]:
        found: list[int] = []
        for symbol in joined(part, self._ids):
            known = self._ids.get(symbol)
            found += [_FIRST_BYTE + b for b in symbol.encode()] if known is None else [known]
        return tuple(found)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; specials are left out."""
        content = b""
        for number in ids:
            if number >= _FIRST_PIECE:
                content += self.pieces[number - _FIRST_PIECE].replace(SPACE, " ").encode()
            elif number >= _FIRST_BYTE:
                content += bytes([number - _FIRST_BYTE])
        return content.decode(errors="replace")


def joined(part: str, ranks: dict[str, int]) -> list[str]:
    """The symbols of a part: characters, joined as long as two neighbours make a known piece; the
    pair with the lowest rank first, of equal ones the leftmost."""
    symbols = list(part)
    while len(symbols) > 1:
        best = min(
            (ranks.get(a + b, len(ranks) + _FIRST_PIECE), place)
            for place, (a, b) in enumerate(pairwise(symbols))
        )
        if symbols[best[1]] + symbols[best[1] + 1] not in ranks:
            break
        symbols[best[1] : best[1] + 2] = ["".join(symbols[best[1] : best[1] + 2])]
    return symbols


def learn_pieces(texts: Iterable[str], *, size: int) -> Tokenizer:
    """A tokenizer of at most ``size`` ids from texts (Sennrich et al., ACL 2016): the pair that is
    seen most often becomes a piece, again and again; of equally frequent ones the first in the
    order of the alphabet. Ends early where no pair is left.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(part for part in _PARTS.findall(text.replace(" ", SPACE)) if part)
    words = {part: list(part) for part in counts}
    characters = sorted({c for part in counts for c in part if c != "\n"})
    pieces = [*characters]
    while len(pieces) + _FIRST_PIECE < size:
        pairs: Counter[tuple[str, str]] = Counter()
        for part, symbols in words.items():
            for a, b in pairwise(symbols):
                if _may_join(a, b):
                    pairs[a, b] += counts[part]
        if not pairs:
            break
        a, b = min(pairs, key=lambda pair: (-pairs[pair], pair))
        pieces.append(a + b)
        for symbols in words.values():
            _join(symbols, a, b)
    return Tokenizer(tuple(dict.fromkeys(pieces)))


def _may_join(a: str, b: str) -> bool:
    if "\n" in (a, b) or b.startswith(SPACE):
        return False
    bare = a.removeprefix(SPACE)
    return not bare or bare[-1].isalnum() == b[0].isalnum()


def _join(symbols: list[str], a: str, b: str) -> None:
    place = 0
    while place < len(symbols) - 1:
        if symbols[place] == a and symbols[place + 1] == b:
            symbols[place : place + 2] = [a + b]
        place += 1
