"""``ris``: one verb a workflow rule, plus ``predict``, ``demo`` and ``check``.

Heavy packages are imported inside the verbs, so that ``ris --help`` answers at once.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="ris",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Weakly-supervised referring image segmentation: one verb a step of the workflow.",
)

Configs = Annotated[
    list[Path] | None,
    typer.Option("--config", "-c", help="config.yaml and overlays, merged in order."),
]
Run = Annotated[str, typer.Option("--run", "-r", help="A name under `runs:` of the config.")]
TrainedRun = Annotated[
    str | None,
    typer.Option("--run", "-r", help="A trained run of the config; without it, the first."),
]
Shard = Annotated[int, typer.Option("--shard", help="Which shard, from 0 to machine.shards - 1.")]
Threads = Annotated[int, typer.Option("--threads", "-t", min=1, help="Threads of this process.")]


def _set_threads(threads: int) -> None:
    """Fix the threads of every numeric library before any of them is imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)


def _keep_memory() -> None:
    """Let the C library keep freed memory: tensors come and go every step, and giving their pages
    back each time costs as much as the arithmetic. Only on glibc; elsewhere nothing happens."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no block of its own for a large tensor
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    except (OSError, AttributeError):
        return


def _step(
    verb: str,
    configs: list[Path] | None,
    threads: int = 1,
    *,
    trains: bool = False,
    **arguments: Any,
) -> None:
    """Load the configuration, then the step's own module, then run it.

    A step that ``trains`` runs in as many processes as the configuration says.
    """
    _set_threads(threads)
    _keep_memory()
    from pipeline.config import load

    config = load(configs or [Path("config.yaml")])
    _check_shard(arguments.get("shard", 0), config.machine.shards)
    if trains:
        from pipeline.training.launch import launch

        machine = config.machine
        launch(sys.argv[1:], devices=machine.devices, nodes=machine.nodes, threads=threads)
    if "torch" in sys.modules:  # pragma: no cover - only when embedded in another program
        sys.modules["torch"].set_num_threads(threads)
    step = importlib.import_module(f"pipeline.steps.{verb}")
    step.run(config, **arguments)


def _check_shard(shard: int, shards: int) -> None:
    from pipeline.safety import InputError

    if not 0 <= shard < shards:
        raise InputError(
            f"--shard: {shard} is none of the {shards} that machine.shards asks for; "
            f"give 0 to {shards - 1}"
        )


@app.command()
def miniature(config: Configs = None, threads: Threads = 1) -> None:
    """Draw the procedural dataset and write it in REFER format."""
    _step("miniature", config, threads, processes=threads)


@app.command()
def download(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCES", help="What to fetch; without it, what the config needs."),
    ] = None,
    config: Configs = None,
    listed: Annotated[
        bool, typer.Option("--list", help="Only say what there is, under which licences.")
    ] = False,
    dataset_only: Annotated[
        bool, typer.Option("--dataset-only", help="Of what the config needs, no weights.")
    ] = False,
    threads: Threads = 1,
) -> None:
    """Fetch published data and weights, checked, with licences shown."""
    _step(
        "download",
        config,
        threads,
        sources=sources or [],
        listed=listed,
        dataset_only=dataset_only,
    )


@app.command()
def captions(config: Configs = None, threads: Threads = 1) -> None:
    """Draw other scenes with captions, to pretrain the small CLIP."""
    _step("captions", config, threads, processes=threads)


@app.command()
def pretrain(config: Configs = None, threads: Threads = 1) -> None:
    """Pretrain the small CLIP on captions."""
    _step("pretrain", config, threads, trains=True)


@app.command("mask-scenes")
def mask_scenes(config: Configs = None, threads: Threads = 1) -> None:
    """Draw other scenes with the masks of their objects, to pretrain the small SAM."""
    _step("mask_scenes", config, threads, processes=threads)


@app.command("pretrain-sam")
def pretrain_sam(config: Configs = None, threads: Threads = 1) -> None:
    """Pretrain the small SAM on the masks of other scenes than the dataset's."""
    _step("pretrain_sam", config, threads, trains=True)


@app.command("pretrain-llm")
def pretrain_llm(config: Configs = None, threads: Threads = 1) -> None:
    """Train the small LLM to decompose expressions, for PCNet's cues."""
    _step("pretrain_llm", config, threads, trains=True)


@app.command()
def tables(config: Configs = None, threads: Threads = 1) -> None:
    """Turn a published dataset into tables of expressions, images, truth and objects."""
    _step("tables", config, threads)


@app.command()
def decompose(shard: Shard, config: Configs = None, threads: Threads = 1) -> None:
    """Decompose expressions into cues, for one shard of the images."""
    _step("decompose", config, threads, shard=shard, processors=threads)


@app.command()
def propose(shard: Shard, config: Configs = None, threads: Threads = 1) -> None:
    """Make class-agnostic mask proposals for one shard of the images."""
    _step("propose", config, threads, shard=shard)


@app.command("train-localizer")
def train_localizer(run: Run, config: Configs = None, threads: Threads = 1) -> None:
    """Stage-1: learn response maps from expressions alone."""
    _step("train_localizer", config, threads, trains=True, run=run)


@app.command()
def respond(run: Run, config: Configs = None, threads: Threads = 1) -> None:
    """Store the response map of every expression."""
    _step("respond", config, threads, run=run)


@app.command("label-irnet")
def label_irnet(run: Run, shard: Shard, config: Configs = None, threads: Threads = 1) -> None:
    """Label what IRNet learns from, for one shard of the training images."""
    _step("label_irnet", config, threads, run=run, shard=shard)


@app.command("train-irnet")
def train_irnet(run: Run, config: Configs = None, threads: Threads = 1) -> None:
    """Learn edges and displacements for IRNet's random walk."""
    _step("train_irnet", config, threads, trains=True, run=run)


@app.command()
def refine(run: Run, shard: Shard, config: Configs = None, threads: Threads = 1) -> None:
    """Turn response maps into pseudo-labels, for one shard of the images."""
    _step("refine", config, threads, run=run, shard=shard)


@app.command("train-segmentor")
def train_segmentor(run: Run, config: Configs = None, threads: Threads = 1) -> None:
    """Stage-2: learn masks from pseudo-labels (or from true masks, for reference)."""
    _step("train_segmentor", config, threads, trains=True, run=run)


@app.command()
def segment(run: Run, config: Configs = None, threads: Threads = 1) -> None:
    """Predict the mask of every expression of the evaluation splits."""
    _step("segment", config, threads, run=run)


@app.command()
def evaluate(run: Run, config: Configs = None, threads: Threads = 1) -> None:
    """Measure every rung of the quality ladder against the truth."""
    _step("evaluate", config, threads, run=run)


@app.command()
def report(config: Configs = None, threads: Threads = 1) -> None:
    """Gather all runs into results/metrics.json and one HTML page."""
    _step("report", config, threads)


@app.command()
def predict(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    expressions: Annotated[
        list[str], typer.Argument(metavar="EXPRESSIONS", help="One or more expressions.")
    ],
    config: Configs = None,
    run: TrainedRun = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path(
        "predictions"
    ),
    threads: Threads = 1,
) -> None:
    """Segment what each expression means: mask PNG, overlay PNG and JSON."""
    _step("predict", config, threads, run=run, image=image, expressions=expressions, output=output)


@app.command()
def demo(
    image: Annotated[
        Path | None,
        typer.Argument(metavar="IMAGE", help="An image file; without it, a few held-out images."),
    ] = None,
    expressions: Annotated[
        list[str] | None,
        typer.Argument(metavar="EXPRESSIONS", help="What to look for in the image."),
    ] = None,
    config: Configs = None,
    run: TrainedRun = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder; by default demo in the results.")
    ] = None,
    threads: Threads = 1,
) -> None:
    """Show what a trained run sees, in one picture: image, response map and predicted mask."""
    texts = expressions or []
    _step("demo", config, threads, run=run, image=image, expressions=texts, output=output)


@app.command()
def check(config: Configs = None) -> None:
    """Check the configuration and say what is there and what is missing."""
    _step("check", config)


def main() -> None:
    """Run the command line; a mistake of the user's ends in one clear message, exit status 2."""
    from pipeline.safety import InputError

    try:
        app()
    except InputError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise SystemExit(2) from None
    except OSError as error:
        from pipeline.store import lacks_space

        if not lacks_space(error):
            raise
        typer.secho(f"error: the disk is full ({error}); make room and start again", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
