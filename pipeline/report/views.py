"""What the pipeline made of one expression, read from its tables: picture, map and masks.

Only the rows of the image that is asked for are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import Convention, read_responses
from pipeline.metrics import peaks
from pipeline.records import ImageRecord
from pipeline.report.cases import KEYS, Key
from pipeline.safety import InputError
from pipeline.store import TableReader, map_decode, rle_decode

Mask = NDArray[np.bool_]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Sources:
    """The tables of a dataset and of one run, ``responses``, ``pseudo_labels`` and ``predictions``
    where they are among what the run measures (else None, no shard).
    """

    expressions: Path
    images: Path
    truth: Path
    responses: Path | None
    pseudo_labels: Sequence[Path]
    predictions: Path | None


@dataclass(frozen=True, slots=True)
class View:
    """One expression. picture uint8 (H, W, 3); masks bool (H, W); heat float32 (H, W) in [0, 1].

    Peaks are (x, y) in pixels: of the heat, and of the segmentor's logits. What there is not is
    None; there is no truth about a picture of the user's own.
    """

    text: str
    picture: NDArray[np.uint8]
    truth: Mask | None
    heat: NDArray[np.float32] | None
    heat_peak: Point | None
    pseudo_label: Mask | None
    prediction: Mask | None
    prediction_peak: Point | None


class Views:
    """Opens every table once; a context manager.

    Args:
        load: the picture of a record.
        text: the column of the expressions that the methods read.
        input_size: side of the localizer's input, as for ``evaluation.from_responses``.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        load: Callable[[ImageRecord], NDArray[np.uint8]],
        text: str,
        convention: Convention,
        input_size: int,
    ) -> None:
        self._load = load
        self._text = text
        self._convention = convention
        self._input_size = (input_size, input_size)
        self._open = ExitStack()
        with ExitStack() as opened:  # a table that is damaged must not leave the others open

            def reader(path: Path, kind: str) -> TableReader:
                return opened.enter_context(TableReader(path, kind=kind))

            self._expressions = reader(sources.expressions, "expressions")
            self._images = reader(sources.images, "images")
            self._truth = reader(sources.truth, "truth")
            self._predictions: TableReader | None = None
            if sources.predictions is not None:
                self._predictions = reader(sources.predictions, "predictions")
            self._responses: TableReader | None = None
            if sources.responses is not None:
                self._responses = reader(sources.responses, "responses")
            self._labels = [reader(path, "pseudo_labels") for path in sources.pseudo_labels]
            self._open = opened.pop_all()

    def view(self, key: Key) -> View:
        """:class:`InputError` if one of the tables lacks the expression."""
        text = _row(self._expressions, key)[self._text]
        record = ImageRecord(**_row(self._images, key, among=KEYS[:3]))
        annotated = _find(self._truth, key, among=KEYS[:4])
        prediction = peak = None
        if self._predictions is not None:
            predicted = _row(self._predictions, key)
            prediction, peak = _mask(predicted), (predicted["peak_x"], predicted["peak_y"])
        heat = self._heat(key, (record.height, record.width))
        return View(
            text=text,
            picture=self._load(record),
            truth=None if annotated is None else _mask(annotated),
            heat=heat,
            heat_peak=None if heat is None else _peak(heat),
            pseudo_label=self._pseudo_label(key),
            prediction=prediction,
            prediction_peak=peak,
        )

    def _heat(self, key: Key, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
        """The response as evaluation reads it."""
        if self._responses is None:
            return None
        row = _row(self._responses, key)
        raw = map_decode(row["map"], row["height"], row["width"])
        return read_responses(
            raw[None],
            size=(shape[0], shape[1]),
            input_size=self._input_size,
            convention=self._convention,
        )[0]

    def _pseudo_label(self, key: Key) -> Mask | None:
        """From the shard that has it; none where the split has no pseudo-labels."""
        for shard in self._labels:
            if (row := _find(shard, key, KEYS)) is not None:
                return _mask(row)
        return None

    def __enter__(self) -> Views:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()


def _find(reader: TableReader, key: Key, among: Sequence[str]) -> dict[str, Any] | None:
    """The row of a table with these of the key's parts."""
    wanted = dict(zip(KEYS, key, strict=True))
    for row in reader.image(key[2]).to_pylist():
        if all(row[name] == wanted[name] for name in among):
            found: dict[str, Any] = row
            return found
    return None


def _row(reader: TableReader, key: Key, among: Sequence[str] = KEYS) -> dict[str, Any]:
    row = _find(reader, key, among)
    if row is None:
        names = ", ".join(f"{name} {value}" for name, value in zip(KEYS, key, strict=True))
        kind = reader.manifest.kind
        raise InputError(f"{kind}: no row of {names}; run the step that writes that table again")
    return row


def _mask(row: dict[str, Any]) -> Mask:
    mask: Mask = rle_decode(row["rle"], row["height"], row["width"])
    return mask


def _peak(heat: NDArray[np.float32]) -> Point | None:
    """None where the response is nowhere positive: its peak would be the first pixel."""
    if not heat.any():
        return None
    x, y = peaks(heat[None])[0].tolist()
    return float(x), float(y)
