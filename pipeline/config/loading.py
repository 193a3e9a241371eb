"""From files to a checked configuration: merging overlays, and errors a person can act on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.config.schema import Config
from pipeline.config.section import MisfitError
from pipeline.config.variants import variants_of
from pipeline.safety import InputError


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the keys of ``overlay`` put over it, mapping by mapping; lists are replaced."""
    merged = dict(base)
    for key, value in overlay.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(old, value)
        else:
            merged[key] = value
    return merged


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; :class:`InputError` if it is missing, broken or no mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); run from the repository root "
            "or name the file with --config"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not valid YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"{path}: must be a mapping of keys, not a {type(content).__name__}")
    return content


def load(paths: Iterable[Path]) -> Config:
    """Merge the files in order and check the result, the overlays of every run included."""
    merged: dict[str, Any] = {}
    names = []
    for path in paths:
        merged = merge(merged, read_yaml(Path(path)))
        names.append(str(path))
    return check(merged, source=" + ".join(names))


def check(content: Mapping[str, Any], *, source: str = "config") -> Config:
    """``content`` as a :class:`Config`; one line of the error for each key that is wrong.

    A run whose overlay is null is dropped (so that an overlay file can leave out a default run).
    """
    content = dict(content)
    if isinstance(content.get("runs"), Mapping):
        content["runs"] = {k: v for k, v in content["runs"].items() if v is not None}
    config = _validate(content, source)
    settings: dict[str, Config] = {}
    for name, overlay in config.runs.items():
        outside = set(overlay) & RUN_INDEPENDENT
        if outside:
            raise InputError(
                f"{source}: runs.{name}.{sorted(outside)[0]}: is shared by all runs; "
                "set it at the top level"
            )
        settings[name] = _validate(merge(content, overlay), f"{source}: runs.{name}")
        proposed = config.pseudo_labels.splits
        if more := [s for s in settings[name].pseudo_labels.splits if s not in proposed]:
            raise InputError(
                f"{source}: runs.{name}.pseudo_labels.splits: {more[0]} has no proposals, which "
                f"all runs share; add it to pseudo_labels.splits at the top level, {proposed}"
            )
    variants = variants_of(settings)
    evaluated = config.dataset.evaluate
    for place, published in enumerate(config.report.published):
        if published.split not in evaluated:
            raise InputError(
                f"{source}: report.published.{place}.split: {published.split} is not measured; "
                f"dataset.evaluate has {', '.join(evaluated)}"
            )
        if unknown := [name for name in published.figures if name not in variants]:
            raise InputError(
                f"{source}: report.published.{place}.figures.{unknown[0]}: is no variant of the "
                f"runs; there are {', '.join(variants)}"
            )
    return config


RUN_INDEPENDENT = frozenset(
    {
        "paths",
        "machine",
        "dataset",
        "download",
        "miniature",
        "small_clip",
        "small_llm",
        "cues",
        "proposals",
        "report",
        "runs",
    }
)


def run_config(config: Config, run: str) -> Config:
    """The configuration of one run: the base with the run's overlay put over it."""
    if run not in config.runs:
        raise InputError(f"runs: there is no run {run!r}; known runs: {', '.join(config.runs)}")
    return _validate(merge(config.model_dump(), config.runs[run]), f"runs.{run}")


def _validate(content: Mapping[str, Any], source: str) -> Config:
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        lines = [f"{source}: {line}" for line in _explanations(error)]
        raise InputError("\n".join(lines)) from None


def _explanations(error: ValidationError) -> list[str]:
    """One line a wrong key; where a value may be of several types, what each of them asks for."""
    found: dict[tuple[int | str, ...], list[Any]] = {}
    for item in error.errors():
        place = tuple(part for part in item["loc"] if not _is_branch(part))
        found.setdefault(place, []).append(item)
    return [_explain(place, items) for place, items in found.items()]


def _explain(place: tuple[int | str, ...], items: list[Any]) -> str:
    """One mistake in a line: the key, what is allowed, what was given."""
    key, item = ".".join(map(str, place)), items[0]
    mistake = item.get("ctx", {}).get("error")
    if isinstance(mistake, MisfitError):
        return f"{key}.{mistake}".removeprefix(".")
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed here: {', '.join(_allowed(item['loc']))}"
    if item["type"] == "missing":
        return f"{key}: missing; config.yaml shows every key with its default"
    return f"{key}: {', or '.join(i['msg'] for i in items)} (given: {item['input']!r})"


def _is_branch(part: int | str) -> bool:
    """Is this part of a location no key but one of the types that a value may have?"""
    return isinstance(part, str) and part.startswith(("literal[", "constrained-", "[key]"))


def _allowed(location: tuple[int | str, ...]) -> list[str]:
    """The keys that the section around ``location`` knows."""
    section: Any = Config
    for part in location[:-1]:
        field = section.model_fields.get(part) if isinstance(part, str) else None
        if field is None:
            break
        section = field.annotation
        for candidate in getattr(section, "__args__", ()):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                section = candidate
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            return ["(a value)"]
    return sorted(section.model_fields)
