"""``ris train-localizer``: Stage-1. It opens expressions and pictures, and nothing annotated.

PCNet's also opens what was made of them without annotations: cues, and class-agnostic proposals.
"""

from __future__ import annotations

from pipeline.config import Config, run_config
from pipeline.layout import Layout
from pipeline.steps import cues_and_proposals
from pipeline.steps.fitting import encoder_inside, expression_batches, held_out_batches, train
from pipeline.steps.inputs import files_of
from pipeline.steps.localizer_network import (
    build_localizer,
    is_judged,
    loss_starts,
    loss_weights,
)


def run(config: Config, *, run: str) -> None:
    """Train the run's localizer; write its weights and curves."""
    settings = run_config(config, run)
    section = settings.localizer
    layout = Layout.of(config)
    network = build_localizer(settings, with_critic=True)
    encoder = encoder_inside(network)
    told = cues_and_proposals.told(settings, network)
    train(
        settings,
        network,
        expression_batches(settings, section.training, encoder=encoder, masks=None, told=told),
        run=run,
        stage="train_localizer",
        section=section.training,
        epochs=section.training.epochs,
        loss_weights=loss_weights(settings),
        loss_starts=loss_starts(settings),
        inputs={
            **{name: layout.table(name) for name in ("expressions", "images")},
            **files_of(settings.encoder, name="encoder"),
            # The critic's weights are in no checkpoint, nor among the weights that training starts
            # from, yet the result follows from them.
            **(files_of(settings.critic, name="critic") if is_judged(settings) else {}),
            **cues_and_proposals.files(settings),
        },
        output=layout.localizer(run),
        curves=layout.curves(run, "localizer"),
        scales={"encoder.": section.training.encoder_scale},
        threads=config.machine.training_threads,
        held_out=held_out_batches(
            settings, section.training, encoder=encoder, masks=None, told=told
        ),
        result=section.training.result,
    )
