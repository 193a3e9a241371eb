"""The one page: everything inside it, nothing fetched, nothing run, every word escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.report.gallery import Card, data_uri
from pipeline.report.tables import Table

TEMPLATE = "template.html.j2"


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as PNG, with what it shows in words."""

    content: bytes
    description: str

    @property
    def uri(self) -> str:
        return data_uri(self.content, "png")


@dataclass(frozen=True, slots=True)
class Ablation:
    """Variants over their seeds: tables by split, the headline's first, and a chart of it."""

    tables: Mapping[str, Sequence[Table]]
    chart: Chart


@dataclass(frozen=True, slots=True)
class Page:
    """What the page says. ``headline`` tables are open, ``more`` are folded under a title.

    ``tiles`` are the few first numbers: name, value, explanation. ``gallery`` maps the name of a
    group to its cards. ``ablation`` is None where no variant has several seeds, ``cues`` where no
    run reads any. ``config`` is the configuration as YAML.
    """

    title: str
    verdict: str
    tiles: Sequence[tuple[str, str, str]]
    headline: Sequence[Table]
    more: Mapping[str, Sequence[Table]]
    ablation: Ablation | None
    ladder: Chart
    curves: Chart
    training: Table
    cues: Table | None
    split: str
    run: str
    gallery: Mapping[str, Sequence[Card]]
    failures: Chart
    failure_table: Table
    failure_meanings: Mapping[str, str]
    costs: Table | None
    versions: Table
    config: str


def render(page: Page) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("pipeline.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(TEMPLATE).render(page=page)
