"""The table of what can be fetched (``published.yaml``), read and checked."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Self
from urllib.parse import quote, urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.safety import InputError, inside

_BUILT_IN = files("pipeline.datasets.download") / "published.yaml"


def _web_address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError("must be an http or https address without a name and password")
    return text


def _file_name(text: str) -> str:
    if "/" in text or text.startswith("."):
        raise ValueError("must be the plain name of a file")
    inside(".", text)
    return text


Address = Annotated[str, AfterValidator(_web_address)]
FileName = Annotated[str, AfterValidator(_file_name)]
Bytes = Annotated[int, Field(ge=1)]
_HEX = r"^[0-9a-f]+$"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Resource(_Part):
    """One file: where it is, and what it must be. ``bytes`` or ``at_most`` bounds what is read."""

    name: FileName
    addresses: Annotated[tuple[Address, ...], Field(min_length=1)]
    bytes: Bytes | None = None
    sha256: Annotated[str, Field(pattern=_HEX, min_length=64, max_length=64)] | None = None
    md5: Annotated[str, Field(pattern=_HEX, min_length=32, max_length=32)] | None = None
    at_most: Bytes | None = None

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if (self.bytes is None) == (self.at_most is None):
            raise ValueError("give bytes where the size is known, else at_most")
        return self

    @property
    def limit(self) -> int:
        """The most bytes that are read."""
        return self.bytes or self.at_most or 0

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts, with their ports, that the table itself names for this file."""
        return frozenset(urlsplit(address).netloc for address in self.addresses)

    @property
    def is_known(self) -> bool:
        """Is its content known beforehand, so that any copy can be told right or wrong?"""
        return self.sha256 is not None or self.md5 is not None


class Unpacked(_Part):
    """Limits of what an archive may unpack to; ``ratio`` to its own size."""

    files: Annotated[int, Field(ge=1)]
    bytes: Bytes
    ratio: Annotated[float, Field(ge=1)]


class Pictures(_Part):
    """Pictures that can be had one by one; ``{file}`` in an address stands for the file's name."""

    folder: FileName
    count: Annotated[int, Field(ge=1)]
    addresses: Annotated[tuple[Address, ...], Field(min_length=1)]
    mean_bytes: Bytes
    at_most: Bytes

    @model_validator(mode="after")
    def _addresses_name_the_file(self) -> Self:
        for address in self.addresses:
            if [field for _, field, _, _ in Formatter().parse(address) if field] != ["file"]:
                raise ValueError(f"{address} must hold {{file}} once")
        return self

    def resource(self, file: str) -> Resource:
        """One picture; InputError unless ``file`` is a plain name."""
        try:
            _file_name(file)
        except ValueError as error:
            raise InputError(f"{file!r:.200}: {error}, as those that can be fetched are") from None
        quoted = quote(file, safe="")  # or a name could ask for another address
        addresses = tuple(address.format(file=quoted) for address in self.addresses)
        return Resource(name=file, addresses=addresses, at_most=self.at_most)


class Source(_Part):
    """What is published together under one licence; an archive is alone in its source."""

    title: str
    licence: str
    licence_page: Address
    non_commercial: bool = False
    files: Annotated[tuple[Resource, ...], Field(min_length=1)]
    unpacked: Unpacked | None = None
    pictures: Pictures | None = None

    @model_validator(mode="after")
    def _an_archive_is_alone(self) -> Self:
        if self.unpacked and len(self.files) > 1:
            raise ValueError("a source with `unpacked` has one file, the archive")
        return self


class PublishedDataset(_Part):
    """A dataset: the source of its annotations, where they lie in it, the source of its images."""

    annotations: str
    folder: str
    images: str


class Catalogue(_Part):
    sources: dict[str, Source]
    datasets: dict[str, PublishedDataset]

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for name in self.sources:
            _file_name(name)
        for dataset in self.datasets.values():
            for name in (dataset.annotations, dataset.images):
                if name not in self.sources:
                    raise ValueError(f"datasets: {name} is no source of this table")
        names = [file.name for source in self.weights().values() for file in source.files]
        if len(set(names)) != len(names):
            raise ValueError("two sources of weights have files of one name")
        return self

    def weights(self) -> dict[str, Source]:
        """The sources that no dataset is made of and that are no archives."""
        used = {name for d in self.datasets.values() for name in (d.annotations, d.images)}
        return {
            name: source
            for name, source in self.sources.items()
            if name not in used and source.unpacked is None
        }

    def source_of_weights(self, file: str) -> str | None:
        """The name of the source that has weights of this file name; None if none has."""
        for name, source in self.weights().items():
            if any(resource.name == file for resource in source.files):
                return name
        return None

    def dataset(self, name: str) -> PublishedDataset:
        if name not in self.datasets:
            raise InputError(
                f"download.dataset: {name!r} is none of {', '.join(sorted(self.datasets))}"
            )
        return self.datasets[name]

    def checked(self, names: Iterable[str], *, key: str) -> list[str]:
        """``names``, each that of a source; InputError, naming ``key``, otherwise."""
        found = list(names)
        for name in found:
            if name not in self.sources:
                known = ", ".join(sorted(self.sources))
                raise InputError(f"{key}: {name!r} is no source; known sources: {known}")
        return found


def read_catalogue(path: Path | None) -> Catalogue:
    """The table at ``path``, or the one that comes with the package; InputError names mistakes."""
    name = str(path) if path is not None else "published.yaml"
    try:
        text = path.read_text("utf-8") if path is not None else _BUILT_IN.read_text("utf-8")
        content: Any = yaml.safe_load(text)
        return Catalogue.model_validate(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{name}: cannot be read ({error}); see download.table") from None
    except ValidationError as error:
        lines = [
            f"{name}: {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
        ]
        raise InputError("\n".join(lines)) from None
