"""What is fetched from publishers, where it is kept and how long a server is waited for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import Count, NonNegative, Positive, Section


class Download(Section):
    """``dataset`` and ``accept`` are names of the table (``ris download --list``).

    ``table`` is a file in place of the one that comes with the package, with mirrors of your own.
    """

    dataset: str | None
    table: str | None
    folder: str
    images: Literal["zip", "needed"]
    accept: list[str]
    connections: Annotated[int, Field(ge=1, le=64)]
    connect_timeout_s: Positive
    read_timeout_s: Positive
    slowest_kb_s: NonNegative
    attempts: Count
    backoff_s: NonNegative
    backoff_limit_s: NonNegative
    keep_free_gb: NonNegative
