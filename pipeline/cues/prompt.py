"""What a language model is asked, in PCNet's four parts, and the form of its answer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.safety import InputError, checked_text

PACKAGED = Path(__file__).parent / "prompts"
_PARTS = ("instruction", "constraints", "examples", "question")
_LARGEST = 1 << 16  # bytes of a prompt's file
_FIELD = "{expression}"
# None of them is in an expression that refers; together they write the control words of models.
_CONTROL = re.compile(r"[<>|\[\]{}`\\]+")


@dataclass(frozen=True, slots=True)
class Prompt:
    """PCNet's P_G, P_C, P_E and P_Q (section 3.1): ``question`` holds ``{expression}`` once.

    examples: expressions with their right phrases.
    """

    instruction: str
    constraints: str
    examples: tuple[tuple[str, tuple[str, ...]], ...]
    question: str

    def before(self) -> str:
        """The part that all expressions share."""
        shown = [f"{self.ask(said)}{answer_of(cues)}" for said, cues in self.examples]
        return "\n".join([self.instruction, self.constraints, *shown, ""])

    def ask(self, expression: str) -> str:
        """The question for one expression, up to where the answer begins."""
        return self.question.replace(_FIELD, asked(expression)) + "\n"

    def text(self, expression: str) -> str:
        """The whole prompt for one expression."""
        return self.before() + self.ask(expression)


def asked(expression: str) -> str:
    """The expression as a model sees it: in one line, without the signs of control words."""
    return " ".join(_CONTROL.sub(" ", expression).split())


def answer_of(cues: Sequence[str]) -> str:
    """The answer that gives these phrases: a JSON list in one line."""
    return json.dumps(list(cues), ensure_ascii=False)


def phrases_in(answer: str) -> list[str] | None:
    """The phrases of an answer; None if it is no JSON list of strings (it was cut off)."""
    try:
        found = json.loads(answer, strict=False)  # control characters go when it is cleaned
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not all(isinstance(phrase, str) for phrase in found):
        return None
    return found


def answer_schema(*, count: int, max_length: int) -> dict[str, Any]:
    """The JSON schema of an answer: one to ``count`` phrases of up to ``max_length`` characters."""
    phrase = {"type": "string", "minLength": 1, "maxLength": max_length}
    return {"type": "array", "items": phrase, "minItems": 1, "maxItems": count}


def read_prompt(name: str) -> Prompt:
    """The packaged prompt of this name (``full``, ``small``), or the one in a YAML file.

    InputError names a file that cannot be read, a part that is missing, unknown or of another form.
    """
    path = prompt_file(name)
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path}: larger than {_LARGEST} bytes, so no prompt")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"cues.llm.prompt: {name!r} is neither {' nor '.join(packaged())} nor a file that can "
            f"be read ({error.strerror})"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not valid YAML: {error}") from None
    if not isinstance(content, dict) or set(content) != set(_PARTS):
        raise InputError(f"{path}: must be a mapping with just {', '.join(_PARTS)}")
    question = content["question"]
    if not isinstance(question, str) or question.count(_FIELD) != 1:
        raise InputError(f"{path}: question: must be text with {_FIELD} in it, once")
    return Prompt(
        instruction=checked_text(content["instruction"], f"{path}: instruction"),
        constraints=checked_text(content["constraints"], f"{path}: constraints"),
        examples=_examples(content["examples"], path),
        question=question,
    )


def _examples(content: Any, path: Path) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = []
    if not isinstance(content, list):
        raise InputError(f"{path}: examples: must be a list")
    for number, item in enumerate(content, 1):
        key = f"{path}: examples: number {number}"
        if not isinstance(item, dict) or set(item) != {"expression", "cues"}:
            raise InputError(f"{key}: must have expression and cues, and nothing else")
        if not isinstance(item["cues"], list) or not item["cues"]:
            raise InputError(f"{key}: cues: must be a list of phrases")
        cues = tuple(checked_text(phrase, f"{key}: cues") for phrase in item["cues"])
        found.append((checked_text(item["expression"], f"{key}: expression"), cues))
    return tuple(found)


def packaged() -> list[str]:
    """The names of the prompts that come with the pipeline."""
    return sorted(path.stem for path in PACKAGED.glob("*.yaml"))


def prompt_file(name: str) -> Path:
    """The file of a packaged prompt, else the path itself."""
    return PACKAGED / f"{name}.yaml" if name in packaged() else Path(name)
