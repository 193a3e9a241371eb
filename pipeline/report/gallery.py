"""The gallery: a card an expression for the page, and one picture of a few for the README."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from pipeline.report import overlay
from pipeline.report.cases import Case, Key
from pipeline.report.ladder import WORDS
from pipeline.report.overlay import Picture
from pipeline.report.views import View

TITLES: dict[str, str] = {
    "truth": "truth",
    "response": "response map",
    "pseudo_label": "pseudo-label",
    "prediction": "prediction",
}
README_ORDER: tuple[str, ...] = ("response", "pseudo_label", "prediction", "truth")

# Side in pixels and JPEG quality of a card's pictures: the first that keeps the page small.
CARD_SIZES: tuple[tuple[int, int], ...] = ((320, 84), (240, 80), (176, 75), (128, 70), (96, 60))
CARDS_BYTES = 3_500_000  # of all pictures before base64 makes them a third longer

GRID_SIDES: tuple[int, ...] = (192, 176, 160, 144, 128, 112, 96, 80, 64)
GRID_BYTES = 600_000
_PAPER, _INK = (255, 255, 255), (25, 30, 36)


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture of a card: its title, what it shows in words, and a data URI."""

    title: str
    description: str
    uri: str


@dataclass(frozen=True, slots=True)
class Card:
    """One expression on the page. ``scores`` are names with IoUs in percent."""

    text: str
    case: Case
    panels: tuple[Panel, ...]
    scores: tuple[tuple[str, str], ...]


def draw_panels(view: View, side: int) -> dict[str, Picture]:
    """The pictures of one expression, the longer side ``side`` pixels; those that there are."""
    shape = view.picture.shape
    picture = overlay.fitted(view.picture, side)

    def fit(mask: overlay.Mask) -> overlay.Mask:
        return overlay.fitted_mask(mask, side)

    panels = {}
    if view.truth is not None:
        panels["truth"] = overlay.outlined(picture, fit(view.truth), overlay.TRUTH)
    if view.heat is not None:
        panels["response"] = overlay.heated(picture, overlay.fitted_map(view.heat, side))
        if view.heat_peak is not None:
            place = overlay.fitted_point(*view.heat_peak, shape, side)
            panels["response"] = overlay.with_peak(panels["response"], *place)
    if view.pseudo_label is not None:
        label = fit(view.pseudo_label)
        panels["pseudo_label"] = overlay.shown(picture, label, overlay.PSEUDO_LABEL)
    if view.prediction is not None:
        panels["prediction"] = overlay.shown(picture, fit(view.prediction), overlay.PREDICTION)
        if view.prediction_peak is not None:
            place = overlay.fitted_point(*view.prediction_peak, shape, side)
            panels["prediction"] = overlay.with_peak(panels["prediction"], *place)
    return panels


def make_cards(
    groups: Mapping[str, Sequence[Case]], view_of: Callable[[Key], View]
) -> dict[str, list[Card]]:
    """The cards of every group; all their pictures together stay below a few megabytes."""
    for side, quality in CARD_SIZES:
        cards = {
            name: [_card(case, view_of(case.key), side, quality) for case in cases]
            for name, cases in groups.items()
        }
        size = sum(len(p.uri) for group in cards.values() for card in group for p in card.panels)
        if size * 3 / 4 <= CARDS_BYTES:
            break
    return cards


def _card(case: Case, view: View, side: int, quality: int) -> Card:
    panels = tuple(
        Panel(
            title=TITLES[name],
            description=f"{TITLES[name]} for: {view.text}",
            uri=data_uri(overlay.encoded(picture, "jpeg", quality=quality), "jpeg"),
        )
        for name, picture in draw_panels(view, side).items()
    )
    scores = tuple(
        (WORDS.get(name, name), f"{100 * value:.0f}") for name, value in case.iou.items()
    )
    return Card(view.text, case, panels, scores)


def data_uri(content: bytes, kind: str) -> str:
    """An image inside the page itself."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def readme_picture(cases: Sequence[Case], view_of: Callable[[Key], View]) -> bytes:
    """A PNG below 600 kB: a row a case with its picture, sentence and what was made of it."""
    views = [view_of(case.key) for case in cases]
    for side in GRID_SIDES:
        picture = picture_grid(views, side=side, notes=[_iou_notes(case) for case in cases])
        content = overlay.few_colours(picture)
        if len(content) < GRID_BYTES:
            break
    return content


def _iou_notes(case: Case) -> dict[str, str]:
    """What to say below a case's panels."""
    rungs = {name: {"prediction": "segmentor"}.get(name, name) for name in README_ORDER}
    return {
        name: f"IoU {100 * case.iou[rung]:.0f}" for name, rung in rungs.items() if rung in case.iou
    }


def picture_grid(
    views: Sequence[View], *, side: int, notes: Sequence[Mapping[str, str]]
) -> Picture:
    """A row a view: its picture with the sentence above, then the panels with their notes below.

    ``notes`` has the words for each view by the panel's name; panels are ``side`` pixels long.
    """
    gap, text_size = max(6, side // 16), max(10, side // 12)
    font = overlay.font_of(text_size)
    drawn = [draw_panels(view, side) for view in views]
    names = [name for name in README_ORDER if any(name in panels for panels in drawn)]
    columns = 1 + len(names)
    width = columns * side + (columns + 1) * gap
    line = round(1.35 * text_size)
    row_height = side + 2 * line + gap
    canvas = Image.new("RGB", (width, line + 2 * gap + row_height * len(views)), _PAPER)
    pen = ImageDraw.Draw(canvas)
    for column, title in enumerate(["picture", *(TITLES[name] for name in names)]):
        pen.text((gap + column * (side + gap), gap), title, font=font, fill=_INK)
    for number, (said, view, panels) in enumerate(zip(notes, views, drawn, strict=True)):
        top = line + 2 * gap + number * row_height
        (sentence, *_) = overlay.wrapped(f"“{view.text}”", font, width - 2 * gap, most=1)
        pen.text((gap, top), sentence, font=font, fill=_INK)
        shown = [overlay.fitted(view.picture, side), *(panels.get(name) for name in names)]
        for column, picture in enumerate(shown):
            if picture is None:
                continue
            left = gap + column * (side + gap) + (side - picture.shape[1]) // 2
            below = top + line + (side - picture.shape[0]) // 2
            canvas.paste(Image.fromarray(picture), (left, below))
        for column, name in enumerate(names, start=1):
            if name in said:
                place = (gap + column * (side + gap), top + line + side + 1)
                pen.text(place, said[name], font=font, fill=_INK)
    return np.asarray(canvas)
