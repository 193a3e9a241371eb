"""Backends behind one face: asked once, resumed, the same for the same text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.cues import BACKENDS, Cues, LlmDecomposer, build_decomposer
from pipeline.cues.agreement import covers, overlap, said_share
from pipeline.safety import InputError
from tests.cues import tiny_model
from tests.cues.tiny_model import FORM

TEXTS = ["the red star on the left", "big blue moon", "the red star on the left", "zebra"]


def test_rules_need_no_model(tmp_path: Path) -> None:
    found = build_decomposer(
        backend="rules",
        count=3,
        max_length=40,
        fill="last",
        llm=tiny_model.settings(tmp_path / "none.gguf"),
        cache=tmp_path,
        threads=1,
    ).decompose(TEXTS)
    assert found[0] == Cues(("star", "red star", "star on the left"), "rules", 3, 0)
    assert found[2] == found[0] and found[3] == Cues(("zebra",) * 3, "rules", 1, 0)


def test_an_unknown_backend_is_named(tmp_path: Path) -> None:
    assert set(BACKENDS) == {"rules", "llm"}
    with pytest.raises(InputError, match="'magic' is none of rules, llm"):
        build_decomposer(
            backend="magic",
            count=1,
            max_length=9,
            fill="last",
            llm=tiny_model.settings(tmp_path),
            cache=None,
            threads=1,
        )


class TestLlm:
    """With a real model that has learned nothing: most of its phrases are refused."""

    @pytest.fixture(autouse=True)
    def _llm(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("llama_cpp", reason="the extra `llm` is not installed")
        pytest.importorskip("gguf", reason="the extra `llm` is not installed")
        from pipeline.cues.llama import LlamaModel

        self.path = tiny_model.write(tmp_path / "tiny.gguf")
        self.cache = tmp_path / "answers"
        self.asked: list[str] = []
        answer = LlamaModel.answer

        def noted(model: LlamaModel, expression: str) -> str:
            self.asked.append(expression)
            if expression == self.deadly:
                raise KeyboardInterrupt
            return answer(model, expression)

        self.deadly = ""
        monkeypatch.setattr(LlamaModel, "answer", noted)

    def backend(self, cache: bool = True, **changes: Any) -> LlmDecomposer:
        settings = tiny_model.settings(self.path, **changes)
        return LlmDecomposer(FORM, settings, cache=self.cache if cache else None, threads=1)

    def test_each_text_is_asked_once_and_never_again(self) -> None:
        found = self.backend().decompose(TEXTS)
        assert self.asked == ["the red star on the left", "big blue moon", "zebra"]
        assert found[0] == found[2] and all(len(cues.cues) == 3 for cues in found)
        assert self.backend().decompose(TEXTS[::-1]) == found[::-1]
        assert len(self.asked) == 3
        assert self.backend(cache=False).decompose(TEXTS) == found
        assert len(self.asked) == 6

    def test_a_killed_job_goes_on(self) -> None:
        self.deadly = "zebra"
        with pytest.raises(KeyboardInterrupt):
            self.backend().decompose(TEXTS)
        self.deadly = ""
        self.asked.clear()
        found = self.backend().decompose(TEXTS)
        assert self.asked == ["zebra"]
        assert found == self.backend(cache=False).decompose(TEXTS)

    def test_another_way_of_asking_has_answers_of_its_own(self, tmp_path: Path) -> None:
        usual = self.backend().key()
        assert self.backend(save_seconds=1, gpu_layers=0).key() == usual
        keys = [self.backend(**change).key() for change in (
            {"max_tokens": 41}, {"prompt": "full", "context": 512}, {"seed": 1}
        )]  # fmt: skip
        tiny_model.write(self.path, seed=1)
        assert len({usual, *keys, self.backend().key()}) == 5

    def test_nothing_is_asked_where_all_is_known(self) -> None:
        self.backend().decompose(TEXTS)
        self.asked.clear()
        one = self.backend()
        one._load = None  # type: ignore[method-assign,assignment]
        assert len(one.decompose(TEXTS)) == 4


def test_agreement() -> None:
    right = ["star", "red star", "star on the left"]
    assert covers(["stars", "left red one"], right) and not covers(["star", "left star"], right)
    assert overlap(right, right) == overlap(right, right[::-1]) == 1
    assert overlap(["moon"], right) == 0
    assert 0 < overlap(["star"], right) == overlap(right, ["star"]) < 1
    assert said_share(["red star"], "the red star on the left") == pytest.approx(2 / 3)
    assert said_share(["one"], "the one") == 1
