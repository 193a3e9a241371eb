"""Views: the rows of just the expression that is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.report.cases import read_cases
from pipeline.report.views import Views
from pipeline.safety import InputError
from pipeline.steps.report import _measured, _views
from pipeline.store import TableReader, read_table, rle_decode
from tests.report.conftest import Finished
from tests.report.fabricated import SIDE


def views_of(finished: Finished, run: str = "weak") -> Views:
    return _views(
        finished.config, finished.layout, _measured(finished.config, finished.layout, run)
    )


def test_a_view_holds_the_rows_of_its_key(finished: Finished) -> None:
    cases = read_cases(finished.layout.run_expressions("weak"), split="testA", rung="segmentor")
    table = read_table(finished.layout.predictions("weak"), kind="predictions").to_pylist()
    with views_of(finished) as views:
        for case in cases[:: max(1, len(cases) // 6)]:
            view = views.view(case.key)
            (row,) = (r for r in table if r["sent_id"] == case.key[4])
            assert np.array_equal(view.prediction, rle_decode(row["rle"], SIDE, SIDE))
            assert view.picture.shape == (SIDE, SIDE, 3)
            both = (view.prediction & view.truth).sum() / (view.prediction | view.truth).sum()
            assert both == pytest.approx(case.iou["segmentor"])
            assert view.pseudo_label is not None
            both = (view.pseudo_label & view.truth).sum() / (view.pseudo_label | view.truth).sum()
            assert both == pytest.approx(case.iou["pseudo_label"])
            assert view.heat is not None and view.heat_peak is not None
            x, y = (int(value) for value in view.heat_peak)
            assert view.heat[y, x] == view.heat.max() == 1


def test_a_supervised_run_has_neither_map_nor_pseudo_label(finished: Finished) -> None:
    (case, *_) = read_cases(
        finished.layout.run_expressions("supervised"), split="testA", rung="segmentor"
    )
    with views_of(finished, "supervised") as views:
        view = views.view(case.key)
    assert view.heat is None and view.heat_peak is None and view.pseudo_label is None


def test_a_split_without_pseudo_labels_has_none(finished: Finished) -> None:
    (case, *_) = read_cases(finished.layout.run_expressions("weak"), split="val", rung="segmentor")
    with views_of(finished) as views:
        assert views.view(case.key).pseudo_label is None


def test_no_table_is_read_whole(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    (case, *_) = read_cases(
        finished.layout.run_expressions("weak"), split="testA", rung="segmentor"
    )

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("read whole")

    with views_of(finished) as views:
        monkeypatch.setattr(TableReader, "read", refuse)
        views.view(case.key)


def test_a_missing_expression_is_named(finished: Finished) -> None:
    (case, *_) = read_cases(
        finished.layout.run_expressions("weak"), split="testA", rung="segmentor"
    )
    unknown = replace(case, key=(*case.key[:4], 999_999))
    with views_of(finished) as views, pytest.raises(InputError, match="sent_id 999999"):
        views.view(unknown.key)
