"""What is measured of a run, and what the report shows beside it."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from pipeline.config.section import Count, MisfitError, Name, Section

Rung = Literal["response", "pseudo_label", "segmentor"]
Metric = Literal[
    "mIoU",
    "oIoU",
    "P@0.3",
    "P@0.5",
    "P@0.7",
    "P@0.9",
    "PointM",
    "PointIt",
    "BoxAcc",
    "ImgAcc",
    "InstAcc",
]


class Evaluation(Section):
    """How runs are measured. A run makes what its ``rungs`` need and nothing beyond.

    A run that learns from true masks has but the rung ``segmentor``.
    """

    convention: Literal["default", "tris", "lavt", "cris", "rela"]
    bootstrap: Annotated[int, Field(ge=0)]
    rungs: Annotated[list[Rung], Field(min_length=1)]

    @model_validator(mode="after")
    def _rungs_go_up(self) -> Evaluation:
        allowed = get_args(Rung)
        if self.rungs != [rung for rung in allowed if rung in self.rungs]:
            raise MisfitError(
                "rungs", self.rungs, f"some of {', '.join(allowed)}, each once, in this order"
            )
        return self


class Published(Section):
    """A published table that stands beside ours of one split.

    ``split`` and ``rung`` are those of ours that it is about; ``figures``: variant -> metric ->
    percent.
    """

    table: Annotated[str, Field(min_length=1)]
    split: Name
    rung: Rung
    figures: Annotated[dict[Name, dict[Metric, float]], Field(min_length=1)]


class Report(Section):
    gallery: Count
    published: list[Published]
