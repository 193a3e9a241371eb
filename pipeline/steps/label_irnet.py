"""``ris label-irnet``: what IRNet learns from, for one shard of the training images.

Sure foreground, sure background and the pixels not to be asked, from the response maps as the
refiners that stand before ``irnet`` leave them.
"""

from __future__ import annotations

import numpy as np

from pipeline.config import Config, run_config
from pipeline.layout import Layout
from pipeline.pseudo_labels import CrfKernels
from pipeline.pseudo_labels.irnet import LabelRule, evidence_of
from pipeline.runs import step_settings
from pipeline.steps.irnet_network import demand_irnet
from pipeline.steps.referents import refined_images
from pipeline.steps.refiners import build_refiners
from pipeline.store import digest_of, labels_encode, table_writer


def run(config: Config, *, run: str, shard: int) -> None:
    """Write one label map an image of the training split."""
    settings = run_config(config, run)
    demand_irnet(settings, run)
    layout = Layout.of(config)
    names, train = settings.pseudo_labels.before_irnet, settings.dataset.train
    images = refined_images(
        config,
        run,
        build_refiners(settings, names, irnet=None),
        splits=[train],
        shard=shard,
        with_proposals="proposal_snap" in names,
        title=f"label_irnet {run} {shard}",
    )
    section, crf = settings.pseudo_labels.irnet.labels, settings.pseudo_labels.crf
    rule = LabelRule(
        **section.model_dump(),
        kernels=CrfKernels(**crf.kernels.model_dump()),
        iterations=crf.iterations,
        gt_prob=crf.gt_prob,
    )
    with table_writer(
        layout.irnet_labels(run, shard),
        kind="irnet_labels",
        config_digest=digest_of(step_settings(config, run, "label_irnet")),
    ) as writer:
        for image in images:
            labels = rule(image.pixels, np.stack([evidence_of(s) for s in image.referents]))
            writer.append(
                {
                    "dataset": [image.expressions[0].dataset],
                    "split": [train],
                    "image_id": [image.image_id],
                    "height": [labels.shape[0]],
                    "width": [labels.shape[1]],
                    "labels": [labels_encode(labels)],
                }
            )
