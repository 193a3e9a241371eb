"""Training curves: read as they were written, also while somebody else still writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.report.curves import curves_chart, read_curve, training_table
from pipeline.safety import InputError

HEADER = "step,epoch,learning_rate,loss,match,size,seconds,images_per_second\n"


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def test_columns_and_losses(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", HEADER + "1,0,0.1,3,2,1,6,10\n2,0,0.1,2,1.5,.5,12,30\n2,0,0.")
    curve = read_curve(path, title="a")
    assert curve.losses == ["loss", "match", "size"]
    assert curve.columns["step"] == [1, 2] and curve.columns["loss"] == [3, 2]
    (row,) = training_table([curve]).rows
    assert [cell.text for cell in row.cells] == ["2", "0.2", "30", "loss 2, match 1.5, size 0.5"]


@pytest.mark.parametrize("rows", ["", "1,0,0.1,3,2,1,6,10\n", "1,0,0.1,-3,0,nan,6,10\n" * 3])
def test_any_curve_can_be_drawn(tmp_path: Path, rows: str) -> None:
    curve = read_curve(write(tmp_path / "a.csv", HEADER + rows), title="a")
    training_table([curve])
    assert curves_chart([curve]).startswith(b"\x89PNG")


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", HEADER + "1,0,0.1,3,2,1,6,word\n"])
def test_another_file_is_named(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match=r"a\.csv: not a training curve"):
        read_curve(write(tmp_path / "a.csv", content), title="a")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv"):
        read_curve(tmp_path / "none.csv", title="a")
