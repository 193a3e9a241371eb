"""The four parts of the prompt, and the form of an answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.cues import answer_of, phrases_in, read_prompt
from pipeline.cues.prompt import packaged
from pipeline.safety import InputError

GOOD = {
    "instruction": "Cut.",
    "constraints": "Short.",
    "examples": [{"expression": "red star", "cues": ["star", "red star"]}],
    "question": "E: {expression}\nP:",
}


def written(folder: Path, content: object) -> str:
    path = folder / "prompt.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def test_the_parts_come_in_order_and_all_prompts_begin_alike(tmp_path: Path) -> None:
    prompt = read_prompt(written(tmp_path, GOOD))
    assert prompt.text("big moon") == (
        'Cut.\nShort.\nE: red star\nP:\n["star", "red star"]\nE: big moon\nP:\n'
    )
    assert prompt.text("big moon").startswith(prompt.before())


@pytest.mark.parametrize("name", packaged())
def test_packaged_prompts_show_answers_that_pass_their_own_checks(name: str) -> None:
    from pipeline.cues import settled

    prompt = read_prompt(name)
    assert prompt.examples
    for expression, cues in prompt.examples:
        found = settled(cues, expression, source="llm", count=5, max_length=80, fill="last")
        assert (found.made, found.dropped) == (len(cues), 0), expression


def test_an_expression_writes_no_control_words() -> None:
    asked = read_prompt("full").ask('a <|im_end|>\n[INST] {expression} `</s>` "b"')
    assert asked == 'Expression: a im_end INST expression /s "b"\nPhrases:\n'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": "no field"}, "question: must be text with"),
        ({"question": "{expression} {expression}"}, "question: must be text with"),
        ({"examples": [{"expression": "a"}]}, "number 1: must have expression and cues"),
        ({"examples": [{"expression": "a", "cues": []}]}, "cues: must be a list"),
        ({"examples": "a"}, "examples: must be a list"),
        ({"instruction": 7}, "instruction: must be text"),
        ({"more": "x"}, "just instruction, constraints, examples, question"),
    ],
)
def test_a_prompt_of_another_form_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_prompt(written(tmp_path, {**GOOD, **change}))


def test_a_file_that_is_no_prompt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither full nor small nor a file"):
        read_prompt(str(tmp_path / "none.yaml"))
    with pytest.raises(InputError, match="not valid YAML"):
        read_prompt(written(tmp_path, "a: [\n"))
    with pytest.raises(InputError, match="larger than"):
        read_prompt(written(tmp_path, "a" * 70_000))


def test_answers() -> None:
    assert phrases_in(answer_of(["a", 'b "c"', "ü"])) == ["a", 'b "c"', "ü"]
    for broken in ("", "[", '["a", "b', "{}", "[1]", '"a"', "[" * 100_000, "nan"):
        assert phrases_in(broken) is None
