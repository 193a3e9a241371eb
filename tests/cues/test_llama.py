"""llama.cpp for real, on small networks of the miniature's shape that have learned nothing."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

llama_cpp = pytest.importorskip("llama_cpp", reason="the extra `llm` is not installed")
gguf = pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from pipeline.cues import phrases_in, read_prompt  # noqa: E402
from pipeline.cues.llama import LlamaModel, check_header  # noqa: E402
from pipeline.cues.prompt import answer_schema  # noqa: E402
from pipeline.safety import InputError  # noqa: E402
from tests.cues import tiny_model  # noqa: E402

TEXTS = [
    "the red star on the left",
    "the red star",
    "big blue moon",
    'zebra "x" ä 漢\u200d🙂',
    "The the",
    "a",
]


def load(path: Path, **changes: Any) -> LlamaModel:
    given: dict[str, Any] = {
        "prompt": read_prompt("small"),
        "chat": "plain",
        "schema": answer_schema(count=3, max_length=20),
        "context": tiny_model.CONTEXT,
        "max_tokens": 60,
        "seed": 0,
        "gpu_layers": 0,
        "threads": 1,
    }
    return LlamaModel(path, **{**given, **changes})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write(tmp_path_factory.mktemp("llm") / "tiny.gguf")


@pytest.fixture(scope="module")
def model(path: Path) -> Iterator[LlamaModel]:
    found = load(path)
    yield found
    found.close()


def test_the_tokenizer_is_llama_cpps(model: LlamaModel) -> None:
    own = tiny_model.tokenizer()
    for text in [*TEXTS, "  two  spaces ", "a\n\nb", "", "[]", '["star", "red star"]']:
        whole = read_prompt("small").before() + text
        for part in (whole, text):
            if part:
                assert model.tokens(part) == own.encode(part, starts=True), part


def test_the_network_is_llama_cpps(path: Path) -> None:
    """The very logits, token for token: names, layouts, norms and rotary positions are right."""
    own = tiny_model.network(tiny_model.tokenizer())
    ids = [*own.prefix.tolist(), 300, 40, 7, 301, 12, 299, 5, 310]
    exact = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}
    llama = llama_cpp.Llama(
        str(path), n_ctx=64, n_batch=64, logits_all=True, verbose=False, **exact
    )
    llama.eval(ids)
    theirs = np.array(llama.scores[: len(ids)])[len(own.prefix) :]
    with torch.inference_mode():
        ours = own.logits(torch.tensor([ids[len(own.prefix) :]]))[0].numpy()
    assert ours.std() > 0.5
    np.testing.assert_allclose(theirs, ours, atol=2e-3)
    llama.close()


def test_even_a_network_that_has_learned_nothing_answers_in_form(model: LlamaModel) -> None:
    """Or is cut off at the most tokens, and then is no answer."""
    for text in TEXTS:
        said = model.answer(text)
        phrases = phrases_in(said)
        if phrases is None:
            assert len(model.tokens(said)) >= 30  # it was cut off
        else:
            assert 1 <= len(phrases) <= 3 and all(len(phrase) <= 20 for phrase in phrases)


def test_an_answer_depends_on_its_expression_alone(path: Path, model: LlamaModel) -> None:
    """Not on what was asked before, nor on the process."""
    first = {text: model.answer(text) for text in TEXTS}
    assert {text: model.answer(text) for text in reversed(TEXTS)} == first
    other = load(path)
    assert {text: other.answer(text) for text in TEXTS[::2]} == {t: first[t] for t in TEXTS[::2]}
    assert len(set(first.values())) > 1
    other.close()


def test_the_shared_words_are_evaluated_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each prompt only what follows them goes through the network."""
    seen: list[int] = []
    evaluate = llama_cpp.Llama.eval

    def counted(self: Any, tokens: Any) -> None:
        seen.append(len(tokens))
        evaluate(self, tokens)

    monkeypatch.setattr(llama_cpp.Llama, "eval", counted)
    model = load(path)
    model.answer(TEXTS[3])
    assert seen[0] == model.shared_tokens > 30
    for text in (TEXTS[0], TEXTS[1], TEXTS[0]):
        seen.clear()
        model.answer(text)
        rest = len(model.tokens(read_prompt("small").text(text))) - model.shared_tokens
        assert seen[0] == rest and all(count == 1 for count in seen[1:])
    model.close()


def test_a_prompt_that_begins_otherwise_leaves_the_shared_words_whole(path: Path) -> None:
    """As where the first letters of an expression join what stands before them in one token."""
    model, other = load(path), load(path)
    expected = [other.answer(text) for text in TEXTS[:2]]
    tokens = model._tokens
    assert model.answer(TEXTS[0]) == expected[0]
    model._tokens = lambda text: [1, *tokens(text)[20:]]  # type: ignore[method-assign]
    odd = model.answer(TEXTS[2])
    assert model.answer(TEXTS[2]) == odd
    model._tokens = tokens  # type: ignore[method-assign]
    assert [model.answer(text) for text in TEXTS[:2]] == expected
    model.close()
    other.close()


def test_of_the_tokens_that_the_grammar_allows_the_most_likely_is_taken(
    path: Path, model: LlamaModel
) -> None:
    """As llama-cpp-python's own sampling does, which holds every token against the grammar."""
    grammar = llama_cpp.LlamaGrammar.from_json_schema(
        json.dumps(answer_schema(count=3, max_length=20))
    )
    llama = llama_cpp.Llama(str(path), n_ctx=tiny_model.CONTEXT, n_batch=256, verbose=False)
    for text in TEXTS:
        said = b""
        tokens = model.tokens(read_prompt("small").text(text))
        for _, token in zip(
            range(60), llama.generate(tokens, temp=0.0, grammar=grammar), strict=False
        ):
            said += llama.detokenize([token])
            if token == llama.token_eos() or phrases_in(said.decode(errors="replace")) is not None:
                break
        assert model.answer(text) == said.decode(errors="replace").strip()
    llama.close()


def test_an_expression_too_long_for_the_context_has_no_answer(model: LlamaModel) -> None:
    assert model.answer("left " * 300) == ""
    assert model.answer(TEXTS[0]) != ""


def test_a_chat_template_is_used_where_it_is_asked_for(tmp_path: Path) -> None:
    """The template that the GGUF file brings; without one there is nothing to use."""
    path = tiny_model.write(tmp_path / "plain.gguf")
    with pytest.raises(InputError, match="no chat template; set"):
        load(path, chat="template")
    template = "{{ bos_token }}User: {{ messages[0]['content'] }}\nAssistant: "
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(tmp_path / "chat.gguf", "llama")
    writer.add_chat_template(template)
    for field in reader.fields.values():
        if not field.name.startswith(("GGUF.", "general.architecture")):
            kind = field.types[0]
            inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), kind, inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    chat, plain = load(tmp_path / "chat.gguf", chat="template"), load(path)
    assert chat.shared_tokens > plain.shared_tokens
    shown = chat._llama.detokenize(chat._tokens("red star")).decode()
    assert shown.strip().startswith("User: Split the expression")
    assert shown.strip().endswith("Q: red star\nA:\nAssistant:")
    chat.answer("red star")
    chat.close()
    plain.close()


def test_limits_that_do_not_fit_are_told(path: Path) -> None:
    with pytest.raises(InputError, match=r"cues\.llm\.context: 64 tokens hold no prompt"):
        load(path, context=64)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"", "no GGUF file"),
        (b"PK\x03\x04" + bytes(60), "no GGUF file"),
        (b"GGUF" + struct.pack("<IQQ", 1, 2, 3) + bytes(60), "damaged header, or GGUF 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 3) + bytes(60), "damaged header"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "x.gguf"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        check_header(file)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_truncated_model_is_refused(path: Path, tmp_path: Path, share: float) -> None:
    content = path.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"cut\.gguf: llama-cpp-python .* cannot load it"):
        load(tmp_path / "cut.gguf")
