"""Where every artifact of a run lives: the one place that knows file names.

Big things that DVC tracks lie under ``paths.artifacts``; small things that a person reads lie under
``paths.results``. A path depends only on names (dataset, encoder, run, shard), never on positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config import Config


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of one configuration, relative to the working directory unless configured so."""

    artifacts: Path
    results: Path
    dataset: str
    shards: int

    @classmethod
    def of(cls, config: Config) -> Layout:
        return cls(
            artifacts=Path(config.paths.artifacts),
            results=Path(config.paths.results),
            dataset=config.dataset.name,
            shards=config.machine.shards,
        )

    # the miniature and its small CLIP
    @property
    def captions(self) -> Path:
        return self.artifacts / "miniature" / "captions.parquet"

    @property
    def small_clip(self) -> Path:
        return self.artifacts / "encoders" / "small_clip"

    @property
    def small_clip_files(self) -> dict[str, Path]:
        return {
            "weights": self.small_clip / "open_clip_model.safetensors",
            "architecture": self.small_clip / "open_clip_config.json",
            "vocabulary": self.small_clip / "vocabulary.json",
            "curves": self.small_clip / "curves.csv",
        }

    # the small SAM
    @property
    def mask_scenes(self) -> Path:
        return self.artifacts / "miniature" / "mask_scenes.parquet"

    @property
    def small_sam(self) -> Path:
        return self.artifacts / "encoders" / "small_sam"

    @property
    def small_sam_files(self) -> dict[str, Path]:
        return {
            "weights": self.small_sam / "sam.safetensors",
            "sizes": self.small_sam / "sam.json",
            "curves": self.small_sam / "curves.csv",
            "probe": self.small_sam / "probe.json",
        }

    @property
    def small_llm(self) -> Path:
        return self.artifacts / "encoders" / "small_llm" / "small_llm.gguf"

    @property
    def small_llm_files(self) -> dict[str, Path]:
        folder = self.small_llm.parent
        return {
            "model": self.small_llm,
            "quality": folder / "quality.json",
            "curves": folder / "curves.csv",
        }

    # weights as published
    def weights(self, file: str) -> Path:
        return self.artifacts / "weights" / file

    # tables of a dataset
    def table(self, name: str) -> Path:
        """``name``: expressions, images, truth or objects."""
        return self.artifacts / "datasets" / self.dataset / f"{name}.parquet"

    def proposals(self, shard: int) -> Path:
        folder = self.artifacts / "datasets" / self.dataset
        return folder / f"proposals-{shard}-of-{self.shards}.parquet"

    @property
    def all_proposals(self) -> list[Path]:
        return [self.proposals(shard) for shard in range(self.shards)]

    def cues(self, shard: int) -> Path:
        folder = self.artifacts / "datasets" / self.dataset
        return folder / f"cues-{shard}-of-{self.shards}.parquet"

    @property
    def all_cues(self) -> list[Path]:
        return [self.cues(shard) for shard in range(self.shards)]

    @property
    def cue_answers(self) -> Path:
        """What language models answered; undeclared on purpose, as the checkpoints are."""
        return self.artifacts / "cue_answers"

    # what a run makes
    def run(self, run: str) -> Path:
        return self.artifacts / "runs" / run

    def localizer(self, run: str) -> Path:
        return self.run(run) / "localizer.safetensors"

    def segmentor(self, run: str) -> Path:
        return self.run(run) / "segmentor.safetensors"

    def curves(self, run: str, stage: str) -> Path:
        """``stage``: localizer, irnet or segmentor."""
        return self.run(run) / f"{stage}_curves.csv"

    def responses(self, run: str) -> Path:
        return self.run(run) / "responses.parquet"

    def irnet_labels(self, run: str, shard: int) -> Path:
        return self.run(run) / "irnet_labels" / f"{shard}-of-{self.shards}.parquet"

    def all_irnet_labels(self, run: str) -> list[Path]:
        return [self.irnet_labels(run, shard) for shard in range(self.shards)]

    def irnet(self, run: str) -> Path:
        return self.run(run) / "irnet.safetensors"

    def pseudo_labels(self, run: str, shard: int) -> Path:
        return self.run(run) / "pseudo_labels" / f"{shard}-of-{self.shards}.parquet"

    def all_pseudo_labels(self, run: str) -> list[Path]:
        return [self.pseudo_labels(run, shard) for shard in range(self.shards)]

    def predictions(self, run: str) -> Path:
        return self.run(run) / "predictions.parquet"

    def checkpoints(self, run: str, stage: str, key: str) -> Path:
        """Undeclared on purpose: the workflow deletes declared outputs before a job starts."""
        return self.artifacts / "checkpoints" / f"{run}-{stage}-{key}"

    # what a person reads
    def run_metrics(self, run: str) -> Path:
        return self.results / "runs" / run / "metrics.json"

    def run_expressions(self, run: str) -> Path:
        return self.results / "runs" / run / "expressions.parquet"

    @property
    def metrics(self) -> Path:
        return self.results / "metrics.json"

    @property
    def ladder(self) -> Path:
        """A folder with a file a rung, for DVC, which shows a file as a row."""
        return self.results / "ladder"

    @property
    def ablation(self) -> Path:
        return self.results / "ablation.csv"

    @property
    def report(self) -> Path:
        return self.results / "report.html"

    @property
    def figures(self) -> Path:
        return self.results / "figures"
