"""Who needs what: the files and settings of every rule, read from the configuration.

Runs whose settings agree up to a step share that step's artifact (:func:`pipeline.runs.owner`), so
the rules ask here whose file to read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import Config, Encoder, check, read_yaml, run_config
from pipeline.layout import Layout
from pipeline.runs import is_supervised, owner, step_settings
from pipeline.safety import InputError


@dataclass(frozen=True, slots=True)
class Flow:
    """The workflow of one configuration."""

    config: Config
    layout: Layout

    @property
    def resolved(self) -> Path:
        """The merged configuration that the jobs of a run read, wherever they run."""
        return self.layout.artifacts / "config.yaml"

    @property
    def runs(self) -> list[str]:
        return list(self.config.runs)

    @property
    def any_run(self) -> str:
        """A regular expression for the name of any run."""
        return "|".join(re.escape(run) for run in self.runs)

    @property
    def folder(self) -> Path:
        """The dataset as it was published: drawn by the rule ``miniature``, or the user's own."""
        return Path(self.config.dataset.folder)

    @property
    def draws_its_data(self) -> bool:
        return self.config.dataset.source == "miniature"

    def settings(self, step: str, run: str | None = None) -> dict[str, Any]:
        """The settings that ``step`` of ``run`` reads: if one changes, its rule runs again."""
        return step_settings(self.config, run, step)

    def benchmark(self, job: str) -> Path:
        """Where Snakemake writes how long ``job`` took and how much memory it held."""
        return self.layout.results / "benchmarks" / f"{job}.tsv"

    def owner(self, run: str, step: str) -> str:
        return owner(self.config, run, step)

    def is_supervised(self, run: str) -> bool:
        return is_supervised(run_config(self.config, run))

    def encoder(self, run: str) -> list[Path]:
        """The small CLIP's files if it is this run's encoder; none for a published encoder."""
        return self._own_clip(run_config(self.config, run).encoder)

    def critic(self, run: str) -> list[Path]:
        """Likewise for the frozen CLIP that judges responses."""
        return self._own_clip(run_config(self.config, run).critic)

    def _own_clip(self, encoder: Encoder) -> list[Path]:
        if Path(encoder.model) != self.layout.small_clip:
            return []
        files = self.layout.small_clip_files
        return [files[name] for name in ("weights", "architecture", "vocabulary")]

    def localizer(self, run: str) -> Path:
        return self.layout.localizer(self.owner(run, "train_localizer"))

    def responses(self, run: str) -> Path:
        return self.layout.responses(self.owner(run, "respond"))

    def proposals(self, run: str, shard: str) -> list[Path]:
        """The shard's proposals if one of the run's refiners chooses among them."""
        refiners = run_config(self.config, run).pseudo_labels.refine
        return [self.layout.proposals(int(shard))] if "proposal_snap" in refiners else []

    def pseudo_labels(self, run: str) -> list[Path]:
        """Every shard."""
        return self.layout.all_pseudo_labels(self.owner(run, "refine"))

    def teachers(self, run: str) -> list[Path]:
        """What the segmentor learns from: pseudo-labels, or the truth in a supervised run."""
        return [self.layout.table("truth")] if self.is_supervised(run) else self.pseudo_labels(run)

    def segmentor(self, run: str) -> Path:
        return self.layout.segmentor(self.owner(run, "train_segmentor"))

    def predictions(self, run: str) -> Path:
        return self.layout.predictions(self.owner(run, "segment"))

    def rungs(self, run: str) -> list[Path]:
        """The masks and maps that are measured, from the first rung of the ladder to the last.

        A supervised run has only the last.
        """
        first = [] if self.is_supervised(run) else [self.responses(run), *self.pseudo_labels(run)]
        return [*first, self.predictions(run)]

    def curves(self, run: str) -> list[Path]:
        """The training curves of the run's stages."""
        stages = ["segmentor"] if self.is_supervised(run) else ["localizer", "segmentor"]
        return [self.layout.curves(self.owner(run, f"train_{stage}"), stage) for stage in stages]

    def pictured(self) -> list[Path]:
        """What the report draws of all runs: maps, pseudo-labels, masks and training curves."""
        paths = [path for run in self.runs for path in (*self.rungs(run), *self.curves(run))]
        if any(self.encoder(run) or self.critic(run) for run in self.runs):
            paths.append(self.layout.small_clip_files["curves"])
        return list(dict.fromkeys(paths))

    def measured(self) -> list[Path]:
        """What the report is made of: the metrics of every run."""
        return [
            path
            for run in self.runs
            for path in (self.layout.run_metrics(run), self.layout.run_expressions(run))
        ]


def flow_of(content: Mapping[str, Any], *, base: Path = Path("config.yaml")) -> Flow:
    """The workflow of a merged configuration; :class:`InputError` names what is wrong with it.

    The runs of ``base`` come first: the first of several equal runs owns what they share, and
    Snakemake puts the keys of an overlay before those of the file under it.
    """
    content = dict(content)
    if isinstance(content.get("runs"), Mapping):
        order = [*(read_yaml(base).get("runs") or {}), *content["runs"]]
        content["runs"] = {run: content["runs"][run] for run in order if run in content["runs"]}
    config = check(content)
    flow = Flow(config, Layout.of(config))
    if flow.draws_its_data and flow.layout.artifacts not in flow.folder.parents:
        raise InputError(
            f"dataset.folder: the miniature is drawn (and deleted) there, so it must lie under "
            f"paths.artifacts {str(flow.layout.artifacts)!r} (given: {config.dataset.folder!r}); "
            "for data of your own set dataset.source: folder"
        )
    return flow
