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

from pipeline.config import check, read_yaml, run_config
from pipeline.layout import Layout
from pipeline.runs import (
    has_ablation,
    has_cues,
    has_irnet,
    is_supervised,
    learns_from_proposals,
    learns_to_segment,
    owner,
    run_rungs,
)
from pipeline.safety import InputError
from pipeline.steps.reading import sources_of
from pipeline.workflow.weights import WeightFiles


@dataclass(frozen=True, slots=True)
class Flow(WeightFiles):
    """The workflow of one configuration."""

    @property
    def resolved(self) -> Path:
        """The merged configuration that the jobs of a run read, wherever they run."""
        return self.layout.artifacts / "config.yaml"

    @property
    def any_run(self) -> str:
        """A regular expression for the name of any run."""
        return "|".join(re.escape(run) for run in self.runs)

    @property
    def folder(self) -> Path:
        """The dataset as it was published: drawn by the rule ``miniature``, or the user's own."""
        return Path(self.config.dataset.folder)

    @property
    def sources(self) -> list[Path]:
        """Files and folders of the user's own: an edited list must make the tables again."""
        dataset = self.config.dataset
        folders = [Path(other.folder) for other in dataset.exclude_images_of]
        if dataset.source != "folder":
            return folders
        paths = [*sources_of(dataset).values(), self.folder / "masks"]
        return [*folders, *(path for path in paths if path.exists())]

    @property
    def draws_its_data(self) -> bool:
        return self.config.dataset.source == "miniature"

    @property
    def fetches_its_data(self) -> bool:
        return self.config.dataset.source == "download"

    def benchmark(self, job: str) -> Path:
        """Where Snakemake writes how long ``job`` took and how much memory it held."""
        return self.layout.results / "benchmarks" / f"{job}.tsv"

    @property
    def across_nodes(self) -> dict[str, Any]:
        """What a training in several nodes asks of Slurm: a task on each of them (`launch`)."""
        nodes = self.config.machine.nodes
        if nodes == 1:
            return {}
        # 0: no task for each GPU, which the plugin would ask for where there are several tasks
        return {"nodes": nodes, "tasks": nodes, "tasks_per_gpu": 0, "mpi": "srun"}

    def owner(self, run: str, step: str) -> str:
        return owner(self.config, run, step)

    def is_supervised(self, run: str) -> bool:
        return is_supervised(run_config(self.config, run))

    def check_dataset(self) -> None:
        """InputError if the dataset to be fetched is none of the table."""
        self.catalogue.dataset(str(self.config.download.dataset))

    def localizer(self, run: str) -> Path:
        return self.layout.localizer(self.owner(run, "train_localizer"))

    def responses(self, run: str) -> Path:
        return self.layout.responses(self.owner(run, "respond"))

    def proposals(self, run: str, shard: str, *, step: str) -> list[Path]:
        """The shard's proposals if a refiner that ``step`` applies chooses among them."""
        section = run_config(self.config, run).pseudo_labels
        refiners = section.before_irnet if step == "label_irnet" else section.refine
        return [self.layout.proposals(int(shard))] if "proposal_snap" in refiners else []

    def cues(self, run: str) -> list[Path]:
        """Every shard if the run's localizer reads cues."""
        return self.layout.all_cues if has_cues(run_config(self.config, run)) else []

    def check_cues(self) -> None:
        """InputError if cues are to be made with a model or a prompt that nothing makes."""
        if not any(self.cues(run) for run in self.runs):
            return
        made = [self.layout.small_llm, *self.fetched_weights]
        for path in self.cue_files():
            if path not in made and not path.is_file():
                raise InputError(
                    f"cues.llm.model: {path}: no such file; give a GGUF file, or "
                    f"{self.layout.small_llm}, which the workflow makes"
                )

    def learned_proposals(self, run: str) -> list[Path]:
        """Every shard if the run's localizer learns from proposals."""
        settings = run_config(self.config, run)
        return self.layout.all_proposals if learns_from_proposals(settings) else []

    def irnet_labels(self, run: str) -> list[Path]:
        """What IRNet learns from: every shard."""
        return self.layout.all_irnet_labels(self.owner(run, "label_irnet"))

    def irnet(self, run: str) -> list[Path]:
        """IRNet's weights if it is among the run's refiners."""
        if not has_irnet(run_config(self.config, run)):
            return []
        return [self.layout.irnet(self.owner(run, "train_irnet"))]

    def irnet_trunk(self, run: str) -> list[Path]:
        """The small CLIP's files if it is what IRNet, among the run's refiners, sees with."""
        settings = run_config(self.config, run)
        trunk = settings.pseudo_labels.irnet.trunk
        if not has_irnet(settings) or trunk == "resnet50":
            return []
        return self.encoder(run) if trunk == "encoder" else self.critic(run)

    def pseudo_labels(self, run: str) -> list[Path]:
        """Every shard."""
        return self.layout.all_pseudo_labels(self.owner(run, "refine"))

    def teachers(self, run: str) -> list[Path]:
        """What the segmentor learns from: pseudo-labels, or the truth in a supervised run."""
        return [self.layout.table("truth")] if self.is_supervised(run) else self.pseudo_labels(run)

    def segmentor(self, run: str) -> list[Path]:
        """What the masks are made with: a trained segmentor, or the responses that prompt SAM."""
        if run_config(self.config, run).segmentor.method == "sam":
            return [self.responses(run)]
        return [self.layout.segmentor(self.owner(run, "train_segmentor"))]

    def predictions(self, run: str) -> Path:
        return self.layout.predictions(self.owner(run, "segment"))

    def rungs(self, run: str) -> list[Path]:
        """The masks and maps that are measured, from the first rung of the ladder to the last.

        A supervised run has only the last.
        """
        made = {
            "response": lambda: [self.responses(run)],
            "pseudo_label": lambda: self.pseudo_labels(run),
            "segmentor": lambda: [self.predictions(run)],
        }
        return [path for rung in run_rungs(run_config(self.config, run)) for path in made[rung]()]

    def curves(self, run: str) -> list[Path]:
        """The training curves of the run's stages."""
        stages = [] if self.is_supervised(run) else ["localizer"]
        stages += ["irnet"] if has_irnet(run_config(self.config, run)) else []
        stages += ["segmentor"] if learns_to_segment(run_config(self.config, run)) else []
        return [self.layout.curves(self.owner(run, f"train_{stage}"), stage) for stage in stages]

    def pictured(self) -> list[Path]:
        """What the report draws of all runs: maps, pseudo-labels, masks, curves and cues."""
        paths = [path for run in self.runs for path in (*self.rungs(run), *self.curves(run))]
        used = [path for run in self.runs for path in (*self.encoder(run), *self.critic(run))]
        if self.layout.small_clip_files["weights"] in used:
            paths.append(self.layout.small_clip_files["curves"])
        paths += [path for run in self.runs for path in self.cues(run)]
        if self.layout.all_cues[0] in paths and self.layout.small_llm in self.cue_files():
            paths.append(self.layout.small_llm_files["curves"])
        return list(dict.fromkeys(paths))

    def ablation(self) -> list[Path]:
        """The table of variants over their seeds, where a variant has several."""
        return [self.layout.ablation] if has_ablation(self.config) else []

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
    is_made = flow.draws_its_data or flow.fetches_its_data
    if is_made and flow.layout.artifacts not in flow.folder.parents:
        raise InputError(
            f"dataset.folder: the dataset is made (and deleted) there, so it must lie under "
            f"paths.artifacts {str(flow.layout.artifacts)!r} (given: {config.dataset.folder!r}); "
            "for data of your own set dataset.source: folder"
        )
    if flow.fetches_its_data:
        flow.check_dataset()
    flow.check_cues()
    for path in flow.fetched_weights:
        flow.source_of_weights(path.name)  # or its InputError
    return flow
