"""What networks begin with: weights that the workflow makes, that it fetches, or the user's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import Config, Encoder, run_config
from pipeline.datasets.download import Catalogue, places_at
from pipeline.layout import Layout
from pipeline.runs import has_cues, step_settings
from pipeline.safety import InputError


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """Those of one configuration: of encoders, of SAM, and of the LLM that makes cues."""

    config: Config
    layout: Layout

    @property
    def runs(self) -> list[str]:
        return list(self.config.runs)

    def settings(self, step: str, run: str | None = None) -> dict[str, Any]:
        """The settings that ``step`` of ``run`` reads: if one changes, its rule runs again."""
        return step_settings(self.config, run, step)

    def encoder(self, run: str) -> list[Path]:
        """The small CLIP's files or the fetched weights of this run's encoder.

        None for an encoder whose weights open_clip fetches by itself.
        """
        return self._files_of(run_config(self.config, run).encoder)

    def critic(self, run: str) -> list[Path]:
        """Likewise for the frozen CLIP that judges responses."""
        return self._files_of(run_config(self.config, run).critic)

    def _files_of(self, encoder: Encoder) -> list[Path]:
        if Path(encoder.model) == self.layout.small_clip:
            files = self.layout.small_clip_files
            return [files[name] for name in ("weights", "architecture", "vocabulary")]
        return self._fetched_weights(encoder)

    def _fetched_weights(self, encoder: Encoder) -> list[Path]:
        """The file of the encoder's weights, if it is one that the rule ``weights`` makes."""
        return self._in_weights(encoder.pretrained)

    def _in_weights(self, file: str | None) -> list[Path]:
        path = Path(file or "")
        return [path] if path == self.layout.weights(path.name) else []

    @property
    def fetched_weights(self) -> list[Path]:
        """Of all encoders and SAMs of all runs, and of the LLM that makes their cues."""
        settings = [run_config(self.config, run) for run in self.runs]
        sections = [section for own in settings for section in (own.encoder, own.critic)]
        found = [path for section in sections for path in self._fetched_weights(section)]
        found += [path for own in settings for path in self._in_weights(own.sam.weights)]
        if any(has_cues(own) for own in settings) and self.config.cues.backend == "llm":
            found += self._in_weights(self.config.cues.llm.model)
        return found

    @property
    def catalogue(self) -> Catalogue:
        """What can be fetched."""
        section = self.config.download
        return places_at(section.folder, section.table).catalogue

    def source_of_weights(self, file: str) -> str:
        """What `ris download` calls the weights of this file name."""
        source = self.catalogue.source_of_weights(file)
        if source is None:
            raise InputError(
                f"encoder.pretrained, sam.weights, cues.llm.model: {self.layout.weights(file)} is "
                "nothing that can be fetched; `ris download --list` shows what can"
            )
        return source

    def sam(self, run: str | None, step: str) -> list[Path]:
        """The files of SAM if ``step`` (propose, label_irnet, refine, segment) reads it."""
        if "sam" not in self.settings(step, run):
            return []
        section = (self.config if run is None else run_config(self.config, run)).sam
        if section.weights is not None:  # fetched by the rule ``weights``, or the user's
            return [Path(section.weights)]
        small = [self.layout.small_sam_files[name] for name in ("weights", "sizes")]
        folder = Path(section.model)
        is_there = folder == self.layout.small_sam or folder.is_dir()
        return [folder / path.name for path in small] if is_there else []

    def cue_files(self) -> list[Path]:
        """What the rule ``decompose`` reads: the model, and the prompt where it is the user's."""
        section = self.config.cues
        if section.backend != "llm":
            return []
        return [Path(section.llm.model), *self.cue_prompt()]

    def cue_prompt(self) -> list[Path]:
        """The file of the prompt where it is the user's; the package's own count as code."""
        prompt = Path(self.config.cues.llm.prompt)
        return [prompt] if prompt.is_file() else []

    @staticmethod
    def loaded_mb(files: Iterable[Path | str]) -> int:
        """What models take in memory while they are read: twice their files, if these are there."""
        paths = [path for path in map(Path, files) if path.is_file()]
        return 2 * sum(path.stat().st_size for path in paths) // 1_000_000

    @property
    def cue_memory_mb(self) -> int:
        """What the rule ``decompose`` needs: the model in memory, and what is around it."""
        return 2000 + self.loaded_mb(self.cue_files())
