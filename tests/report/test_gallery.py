"""The gallery: what a card shows, and that many or large cards still make a small page."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.report import gallery
from pipeline.report.cases import Case
from pipeline.report.views import View


def view(shape: tuple[int, int] = (48, 64), **changes: Any) -> View:
    rng = np.random.default_rng(0)
    mask = np.zeros(shape, bool)
    mask[: shape[0] // 2, : shape[1] // 2] = True
    content: dict[str, Any] = {
        "text": "red cup <i>",
        "picture": rng.integers(0, 256, (*shape, 3), dtype=np.uint8),
        "truth": mask,
        "heat": mask.astype(np.float32),
        "heat_peak": (1.0, 1.0),
        "pseudo_label": mask,
        "prediction": ~mask,
        "prediction_peak": (shape[1] - 1.0, shape[0] - 1.0),
    }
    return View(**(content | changes))


def cases(count: int) -> list[Case]:
    iou = {"response": 0.25, "segmentor": 0.5, "supervised": 1.0}
    return [
        Case(("toy", "hard", n, n, n), "appearance", "small", "spill", iou) for n in range(count)
    ]


def test_a_card_shows_what_there_is() -> None:
    (card,) = gallery.make_cards({"best": cases(1)}, lambda _: view())["best"]
    assert [p.title for p in card.panels] == ["truth", "response map", "pseudo-label", "prediction"]
    assert card.scores == (("response map", "25"), ("segmentor", "50"), ("supervised", "100"))
    bare = view(heat=None, heat_peak=None, pseudo_label=None)
    (card,) = gallery.make_cards({"best": cases(1)}, lambda _: bare)["best"]
    assert [p.title for p in card.panels] == ["truth", "prediction"]


def test_a_response_that_is_nowhere_positive_has_no_peak() -> None:
    silent = view(heat=np.zeros((48, 64), np.float32), heat_peak=None)
    drawn = gallery.draw_panels(silent, 64)["response"]
    assert (drawn.max(axis=2) == drawn.min(axis=2)).all()


def test_large_galleries_get_smaller_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "CARDS_BYTES", 60_000)
    noise = view((200, 200))
    cards = gallery.make_cards({"random": cases(3)}, lambda _: noise)
    total = sum(len(p.uri) for card in cards["random"] for p in card.panels)
    assert total * 3 / 4 <= 60_000


def test_the_readme_picture_stays_below_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    content = gallery.readme_picture(cases(2), lambda _: view((300, 500)))
    assert len(content) < gallery.GRID_BYTES
    wide = Image.open(io.BytesIO(content)).width
    monkeypatch.setattr(gallery, "GRID_BYTES", len(content) // 2)
    smaller = gallery.readme_picture(cases(2), lambda _: view((300, 500)))
    assert len(smaller) < len(content) // 2 and Image.open(io.BytesIO(smaller)).width < wide


@pytest.mark.parametrize("shape", [(1, 60), (60, 1)])
def test_narrow_pictures_fit_their_place(shape: tuple[int, int]) -> None:
    content = gallery.readme_picture(cases(1), lambda _: view(shape))
    Image.open(io.BytesIO(content)).load()
    gallery.make_cards({"best": cases(1)}, lambda _: view(shape))
