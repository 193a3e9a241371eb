"""A reduced vocabulary splits its own texts as CLIP does and can read anything else."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.encoders.openclip import full_vocabulary, load_vocabulary, vocabulary_of
from pipeline.encoders.vocabulary import FIRST_MERGE, Vocabulary, read_merges, write_merges
from pipeline.safety import InputError
from tests.encoders.small import TEXTS


@lru_cache
def full() -> Vocabulary:
    return full_vocabulary()


@lru_cache
def reduced() -> Vocabulary:
    return vocabulary_of(TEXTS)


def pieces(vocabulary: Vocabulary, text: str) -> list[str]:
    """What each token of a text says."""
    ids = vocabulary.encode([text], 60)[0].tolist()
    return [vocabulary.decode([i]) for i in ids[1 : ids.index(vocabulary.end)]]


def test_the_full_vocabulary_is_clips() -> None:
    assert (full().size, full().start, full().end) == (49408, 49406, 49407)
    assert full().encode(["a photo of a cat"], 8).tolist() == [
        [49406, 320, 1125, 539, 320, 2368, 49407, 0]
    ]


def test_it_is_small_and_its_end_is_the_largest_id() -> None:
    vocabulary = reduced()
    assert FIRST_MERGE + 2 < vocabulary.size < FIRST_MERGE + 80
    assert (vocabulary.start, vocabulary.end) == (vocabulary.size - 2, vocabulary.size - 1)
    tokens = vocabulary.encode(TEXTS, 20)
    assert (tokens.max(dim=1).values == vocabulary.end).all()


@pytest.mark.parametrize("text", TEXTS)
def test_its_own_texts_are_split_as_by_clip(text: str) -> None:
    assert pieces(reduced(), text) == pieces(full(), text) == text.split()


@pytest.mark.parametrize(
    "text",
    ["zebra crossing", "ein großes grünes Quadrat", "红色的圆圈", "a 😀 face", "naïve café №7"],
)
def test_any_text_comes_back_from_bytes(text: str) -> None:
    vocabulary = reduced()
    ids = vocabulary.encode([text], 77)[0].tolist()
    assert max(ids) == vocabulary.end
    assert vocabulary.decode(ids) == full().decode(full().encode([text], 77)[0].tolist())


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=12))
def test_no_text_is_unknown(text: str) -> None:
    def read(vocabulary: Vocabulary) -> str | None:
        try:
            return vocabulary.decode(vocabulary.encode([text], 200)[0].tolist())
        except InputError:
            return None

    assert read(reduced()) == read(full())


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no words"):
        reduced().encode(["red circle", text], 20)


def test_the_names_of_start_and_end_are_not_commands() -> None:
    vocabulary = reduced()
    plain = vocabulary.encode(["red circle"], 20)
    tricky = vocabulary.encode(["red <end_of_text> circle <start_of_text>"], 20)
    assert tricky.tolist() == plain.tolist()
    with pytest.raises(InputError, match="no words"):
        vocabulary.encode(["<end_of_text>"], 20)


def test_a_long_text_keeps_its_beginning_and_its_end_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    vocabulary = vocabulary_of(TEXTS)
    with caplog.at_level(logging.WARNING):
        tokens = vocabulary.encode(["the red circle " * 9, "red circle", "blue " * 30], 8)
    assert vocabulary.decode(tokens[0].tolist()) == "the red circle the red circle"
    assert tokens[0, -1] == tokens[2, -1] == vocabulary.end
    assert vocabulary.shortened == 2
    assert len(caplog.records) == 1 and "the red circle" in caplog.text


@pytest.mark.timeout(20)
def test_a_hostile_word_does_not_take_forever() -> None:
    assert reduced().encode(["the" * 200_000], 20)[0, -1] == reduced().end


def test_a_saved_vocabulary_reads_alike(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    write_merges(path, reduced().merges)
    assert read_merges(path) == reduced().merges
    again = load_vocabulary(path)
    texts = [*TEXTS, "an unseen 😀 zebra"]
    assert again.encode(texts, 30).equal(reduced().encode(texts, 30))


@pytest.mark.parametrize(
    "content", ["", "[]", '{"merges": 3}', '{"merges": [["a"]]}', '{"merges": [["a", " "]]}']
)
def test_a_damaged_vocabulary_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"vocabulary\.json"):
        read_merges(path)
