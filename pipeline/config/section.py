"""What every section of the configuration is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]


class Section(BaseModel):
    """A mapping of the configuration: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MisfitError(ValueError):
    """A value that is right by itself but not beside the others: key, value, what it may be."""

    def __init__(self, key: str, value: object, allowed: str) -> None:
        self.key, self.value, self.allowed = key, value, allowed
        super().__init__(f"{key}: {value!r} is given; it must be {allowed}")


def names_of(values: Iterable[str]) -> str:
    """Names as an error message lists them."""
    return ", ".join(values)


def weighted(weights: Section) -> list[str]:
    """The names of the losses with a weight above 0, in order."""
    return [name for name, weight in weights.model_dump().items() if weight > 0]
