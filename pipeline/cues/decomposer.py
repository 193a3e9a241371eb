"""The backends behind one face: texts in, cues out, the same for the same text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from pipeline.cues import rules
from pipeline.cues.cache import AnswerCache
from pipeline.cues.prompt import answer_schema, phrases_in, read_prompt
from pipeline.cues.validation import Cues, Fill, settled
from pipeline.store import digest_file, digest_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What cues must be: how many, how long at most in characters, and how they are filled up."""

    count: int
    max_length: int
    fill: Fill


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmSettings:
    """How a model is asked; see `LlamaModel`. ``prompt`` is the name of one, or its file.

    ``save_seconds``: the longest time that an answer is in memory alone.
    """

    model: Path
    prompt: str
    chat: str
    context: int
    max_tokens: int
    seed: int
    gpu_layers: int
    save_seconds: float


class Decomposer(Protocol):
    """Texts to cues."""

    def decompose(self, texts: Sequence[str]) -> list[Cues]:
        """The cues of each text, of the text alone."""
        ...


class RuleDecomposer:
    """Without a model, by `rules.decompose`."""

    def __init__(self, form: Form) -> None:
        self._form = asdict(form)

    def decompose(self, texts: Sequence[str]) -> list[Cues]:
        """The cues of each text."""
        return [
            settled(rules.decompose(text), text, source="rules", **self._form) for text in texts
        ]


class LlmDecomposer:
    """By a language model, each distinct text asked once, and never again with a cache.

    The model is loaded when the first text is asked that the cache does not know, and stays so.

    Args:
        cache: folder for the answers of all ways of asking; None keeps them in memory alone.
        threads: of llama.cpp.
    """

    def __init__(
        self, form: Form, settings: LlmSettings, *, cache: Path | None, threads: int
    ) -> None:
        self._form = form
        self._prompt = read_prompt(settings.prompt)
        self._schema = answer_schema(count=form.count, max_length=form.max_length)
        self._settings = settings
        self._threads = threads
        self._cache = None
        if cache is not None:
            self._cache = AnswerCache(cache / self.key(), save_seconds=settings.save_seconds)
        self._answers: dict[str, str] = {}
        self._model: Any = None

    def key(self) -> str:
        """Digest of all that an answer depends on, but for the expression."""
        from pipeline.cues.llama import check_header, version

        check_header(self._settings.model)
        own = asdict(self._settings)
        for name in ("model", "prompt", "gpu_layers", "save_seconds"):
            del own[name]
        return digest_of(
            {
                "model": digest_file(self._settings.model),
                "prompt": asdict(self._prompt),
                "schema": self._schema,
                "settings": own,
                "llama.cpp": version(),
            }
        )

    def decompose(self, texts: Sequence[str]) -> list[Cues]:
        """The cues of each text."""
        self._ask(list(dict.fromkeys(texts)))
        return [self._cues(text) for text in texts]

    def _cues(self, text: str) -> Cues:
        phrases = phrases_in(self._answers[text])
        found = settled(phrases or [], text, source="llm", **asdict(self._form))
        return found if phrases is not None else replace(found, dropped=1)

    def _ask(self, texts: Sequence[str]) -> None:
        waiting = []
        for text in texts:
            known = None if self._cache is None else self._cache.get(text)
            if known is not None:
                self._answers[text] = known
            elif text not in self._answers:
                waiting.append(text)
        if not waiting:
            return
        model = self._model = self._model or self._load()
        try:
            alone = len(waiting) == 1  # then there is no progress to show
            for text in tqdm(
                waiting, desc="decompose", unit="expression", mininterval=1.0, disable=alone
            ):
                known = None if self._cache is None else self._cache.get(text)
                self._answers[text] = model.answer(text) if known is None else known
                if self._cache is not None and known is None:
                    self._cache.put(text, self._answers[text])
        finally:
            if self._cache is not None:
                self._cache.save()

    def _load(self) -> Any:
        from pipeline.cues.llama import LlamaModel

        own = self._settings
        return LlamaModel(
            own.model,
            prompt=self._prompt,
            chat="template" if own.chat == "template" else "plain",
            schema=self._schema,
            context=own.context,
            max_tokens=own.max_tokens,
            seed=own.seed,
            gpu_layers=own.gpu_layers,
            threads=self._threads,
        )
