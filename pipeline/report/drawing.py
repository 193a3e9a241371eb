"""How every chart looks, and how it becomes the same bytes each time.

Charts are drawn on white; on a dark screen the page's style sheet turns their lightness around.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 130
PAPER, INK, LINE = "#ffffff", "#1d2329", "#d5dae0"

# Okabe and Ito's colours, told apart by most colour-blind readers too.
COLOURS: tuple[str, ...] = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#999999",
)

_SETTINGS: Any = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.fontsize": 8,
}


def draw(paint: Callable[[Figure], None], *, size: tuple[float, float]) -> bytes:
    """The PNG of a figure of ``size`` inches that ``paint`` fills; no date or version in it."""
    with rc_context():
        rcdefaults()  # not what the user has set for charts of their own
        rcParams.update(_SETTINGS)
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def grid_of(figure: Figure, count: int, *, columns: int) -> list[Axes]:
    """``count`` axes, row by row; the rest of the last row stays empty."""
    columns = max(1, min(columns, count))
    rows = max(1, -(-count // columns))
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for unused in axes[count:]:
        unused.set_axis_off()
    return axes[:count]
