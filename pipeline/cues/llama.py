"""A language model in a GGUF file, asked through llama.cpp: the only file that imports it."""

from __future__ import annotations

import ctypes
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.cues.prompt import Prompt, phrases_in
from pipeline.safety import InputError

if TYPE_CHECKING:
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

Chat = Literal["plain", "template"]
_BATCH = 512  # tokens evaluated together, llama.cpp's own default
_MOST_ENTRIES = 1 << 20  # of a header, tensors or keys: a real one has hundreds
_NEWEST = 3  # version of the format


class LlamaModel:
    """Answers to a prompt, each by itself: an answer depends on its expression alone, whatever was
    asked before it. The part of the prompt that all share is evaluated once.

    Args:
        path: a GGUF file.
        chat: ``plain`` gives the prompt as it is, ``template`` as the user's turn of the chat
            template in the file.
        schema: of the JSON that an answer must be.
        context: most tokens of a prompt with its answer.
        max_tokens: of an answer.
        seed: of llama.cpp's sampler, which takes the most likely token and draws nothing.
        gpu_layers: layers of the network on a GPU, for a llama.cpp that is built for one; -1: all.

    Raises:
        InputError: no such file, none of this format, a network that llama.cpp does not know, no
            chat template where one is asked for, or a prompt longer than the context.
    """

    def __init__(
        self,
        path: Path,
        *,
        prompt: Prompt,
        chat: Chat,
        schema: Mapping[str, Any],
        context: int,
        max_tokens: int,
        seed: int,
        gpu_layers: int,
        threads: int,
    ) -> None:
        check_header(path)
        library = _library()
        try:
            self._llama = library.Llama(
                str(path),
                n_ctx=context,
                n_batch=min(context, _BATCH),
                n_threads=threads,
                n_threads_batch=threads,
                n_gpu_layers=gpu_layers,
                seed=seed,
                verbose=False,
            )
        except (ValueError, RuntimeError, AssertionError) as error:
            raise InputError(
                f"{path}: llama-cpp-python {version()} cannot load it ({error}); get the file "
                "again, or a newer version of the package"
            ) from error
        self._prompt = prompt
        self._chat = self._template(path) if chat == "template" else None
        self._choice = _AllowedToken(library, self._llama, schema)
        self._context = min(context, self._llama.n_ctx())
        self._max_tokens = max_tokens
        self._shared = self._shared_tokens()
        self._is_kept = False
        if len(self._shared) + max_tokens > self._context:
            raise InputError(
                f"cues.llm.context: {context} tokens hold no prompt of {len(self._shared)} with an "
                f"answer of cues.llm.max_tokens {max_tokens}; raise it, or take a shorter prompt"
            )

    @property
    def shared_tokens(self) -> int:
        """How many tokens of every prompt are kept evaluated."""
        return len(self._shared)

    def answer(self, expression: str) -> str:
        """What the model says, a JSON list unless it was cut off at the most tokens; empty for an
        expression that is too long for the context."""
        tokens = self._tokens(expression)
        if len(tokens) + self._max_tokens > self._context:
            return ""
        self._read(tokens)
        self._choice.start()
        said = b""
        for place in range(self._max_tokens):
            token = self._choice.next()
            if token == self._llama.token_eos():
                break
            said += self._llama.detokenize([token])
            if said.endswith(b"]") and phrases_in(_text(said)) is not None:
                break
            if place < self._max_tokens - 1:
                self._llama.eval([token])
        return _text(said).strip()

    def _read(self, tokens: list[int]) -> None:
        """Evaluate a prompt after what is kept of it."""
        shared = self._llama.longest_token_prefix(tokens, self._shared)
        whole = shared == len(self._shared)
        # What else is kept of the last prompt is forgotten: with it, tokens that two expressions
        # begin with would be evaluated in other groups, and the last bits be others.
        if not (whole and self._is_kept and self._keep(shared)):
            self._llama.reset()
            self._llama.eval(tokens[:shared])
        self._is_kept = whole
        self._llama.eval(tokens[shared:])

    def _keep(self, count: int) -> bool:
        """Forget all but the first tokens; False for a network that cannot (a recurrent one)."""
        library = _library()
        memory = library.llama_get_memory(self._llama.ctx)
        kept = bool(library.llama_memory_seq_rm(memory, -1, count, -1))
        self._llama.n_tokens = count
        return kept

    def tokens(self, text: str) -> list[int]:
        """The ids of a plain text as a whole prompt."""
        return self._llama.tokenize(text.encode(), add_bos=True, special=False)

    def forget(self) -> None:
        """Evaluate the shared part anew for the next expression."""
        self._is_kept = False

    def close(self) -> None:
        """Give the model's memory back."""
        self._choice.close()
        self._llama.close()

    def _tokens(self, expression: str) -> list[int]:
        text = self._prompt.text(expression)
        if self._chat is None:
            return self.tokens(text)
        turn = [{"role": "user", "content": text.strip()}]
        shown = self._chat(messages=turn).prompt  # type: ignore[arg-type]
        return self._llama.tokenize(shown.encode(), add_bos=False, special=True)

    def _shared_tokens(self) -> list[int]:
        shared, *others = (self._tokens(text) for text in ("a", "the man", "9", "Zebra"))
        for other in others:
            shared = shared[: self._llama.longest_token_prefix(shared, other)]
        return shared

    def _template(self, path: Path) -> Jinja2ChatFormatter:
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        template = self._llama.metadata.get("tokenizer.chat_template")
        if not template:
            raise InputError(f"{path}: has no chat template; set cues.llm.chat to plain")

        def written(token: int) -> str:
            if token < 0:  # the model has none
                return ""
            return self._llama.detokenize([token], special=True).decode(errors="replace")

        return Jinja2ChatFormatter(
            template=template,
            eos_token=written(self._llama.token_eos()),
            bos_token=written(self._llama.token_bos()),
        )


class _AllowedToken:
    """The most likely next token that a grammar allows.

    The most likely of all is tried first: a model that knows what is wanted is seldom refused, and
    to hold a hundred thousand tokens against the grammar can take longer than the network.
    """

    def __init__(self, library: Any, llama: Any, schema: Mapping[str, Any]) -> None:
        from llama_cpp.llama_grammar import json_schema_to_gbnf

        self._library, self._llama = library, llama
        grammar = json_schema_to_gbnf(json.dumps(schema)).encode()
        vocabulary = library.llama_model_get_vocab(llama.model)
        self._sampler = library.llama_sampler_init_grammar(vocabulary, grammar, b"root")
        self._pairs = np.empty(llama.n_vocab(), dtype=_CANDIDATE)
        self._data = self._pairs.ctypes.data_as(ctypes.POINTER(library.llama_token_data))

    def start(self) -> None:
        """Begin a new answer."""
        self._library.llama_sampler_reset(self._sampler)

    def next(self) -> int:
        """The token after all that was evaluated; the grammar goes on by it."""
        pointer = self._library.llama_get_logits_ith(self._llama.ctx, -1)
        logits = np.ctypeslib.as_array(pointer, shape=(len(self._pairs),))
        token = int(logits.argmax())
        if self._allowed(logits, np.array([token])) is None:
            found = self._allowed(logits, np.arange(len(logits)))
            token = self._llama.token_eos() if found is None else found
        self._library.llama_sampler_accept(self._sampler, token)
        return token

    def _allowed(self, logits: np.ndarray, tokens: np.ndarray) -> int | None:
        """The most likely of these tokens that the grammar allows, None if it allows none."""
        pairs = self._pairs[: len(tokens)]
        pairs["id"], pairs["logit"], pairs["p"] = tokens, logits[tokens], 0.0
        library = self._library
        candidates = library.llama_token_data_array(
            data=self._data, size=len(pairs), selected=-1, sorted=False
        )
        library.llama_sampler_apply(self._sampler, ctypes.byref(candidates))
        best = int(pairs["logit"].argmax())
        return int(pairs["id"][best]) if np.isfinite(pairs["logit"][best]) else None

    def close(self) -> None:
        """Give the grammar's memory back."""
        self._library.llama_sampler_free(self._sampler)


# llama.cpp's llama_token_data
_CANDIDATE = np.dtype([("id", np.intc), ("logit", np.single), ("p", np.single)], align=True)


def _library() -> Any:
    try:
        import llama_cpp
    except ImportError:
        raise InputError(
            "cues.backend: llm needs the package llama-cpp-python, which is not installed; "
            "`make setup EXTRAS=test,lint,llm` builds it, or set cues.backend: rules"
        ) from None
    return llama_cpp


def version() -> str:
    """Of llama-cpp-python, with its llama.cpp."""
    return str(_library().__version__)


def _text(said: bytes) -> str:
    return said.decode("utf-8", errors="replace")


def check_header(path: Path) -> None:
    """InputError if the file is missing or its first bytes are not those of a sane GGUF file."""
    try:
        with open(path, "rb") as file:
            start = file.read(24)
    except OSError as error:
        raise InputError(
            f"cues.llm.model: {path}: cannot be read ({error.strerror}); give a GGUF file"
        ) from None
    if len(start) < 24 or start[:4] != b"GGUF":
        raise InputError(f"cues.llm.model: {path}: is no GGUF file")
    version, tensors, keys = struct.unpack("<IQQ", start[4:])
    if not 2 <= version <= _NEWEST or max(tensors, keys) > _MOST_ENTRIES:
        raise InputError(
            f"cues.llm.model: {path}: a damaged header, or GGUF {version}; versions 2 to {_NEWEST} "
            "are read"
        )
